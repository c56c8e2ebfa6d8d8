"""Watches the processes from outside: what they say of themselves, and what readers of a room on each primary are told.

It notes what it saw; whether that is right is for claims.py to say.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from room_server.core.messages import Role
from tests.chaos.recorder import BROKEN, Recorder, bearer, token
from tests.chaos.site import Host, Site
from tests.crowds import Audience
from tests.support import eventually, room, transactions

READERS = 6
"""Of each room that is only watched."""
SHOWN_SECONDS = 20.0
"""In which whatever must be true while a primary is away has come true: lines are given up, rooms re-read, and more."""
WELL_SECONDS = 60.0
CHANGES = 8
"""Of each room on another primary while one is away."""
LOOK_EVERY = 0.2
ACT_EVERY = 0.1
ANSWER_SECONDS = 5.0


class Readiness(NamedTuple):
    """What a web process said at /readyz while the partitions `gone` were away, and which of them it named."""

    process: str
    status: int
    named: frozenset[str]
    gone: frozenset[str]


class Told(NamedTuple):
    """A change of a room on another primary than the one that was away, and whether all readers were told in time."""

    webinar_id: str
    told: bool


class Living(NamedTuple):
    """Which processes that serve had no sign of life in the counts of a web process."""

    process: str
    missing: frozenset[str]


class Observer:
    """One run; `recorder` sends the hooks that change the rooms which are only watched."""

    def __init__(self, site: Site, recorder: Recorder) -> None:
        self._site = site
        self._recorder = recorder
        self._visible: set[str] = set()
        self._speaking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One change at a time in each room: then a repeat is only ever its own."""
        self.rooms: dict[str, Audience] = {}
        """The rooms that are only watched, one on each primary in their order, and their readers."""
        self.readiness: list[Readiness] = []
        """Each refusal, and the last answer, of each process and each time that a primary was away."""
        self.told: list[Told] = []
        self.bereft: list[Living] = []
        """Signs of life while a primary was away: the last look of each process each time."""
        self.at_rest: list[Living] = []
        """Signs of life while nothing was wrong but the clocks."""

    async def prepare(self) -> None:
        """Make the rooms that are only watched, and let readers in."""
        for name in self._site.one_on_each("watched"):
            await transactions(self._site.state.store).create(room(name))
            readers = self.rooms[name] = Audience(f"/rooms/{name}/socket", token(Role.ATTENDEE), self._site.ports)
            await readers.join(READERS)

    async def leave(self) -> None:
        """Readers go."""
        for readers in self.rooms.values():
            await readers.leave()

    async def all_is_well(self) -> None:
        """Wait until every process is ready, misses no partition, and every reader has a socket."""

        async def well() -> bool:
            answers = [await self._ready(host) for host in self._webs()]
            connected = all(one.line is not None for readers in self.rooms.values() for one in readers.clients)
            return connected and all(answer == (200, frozenset()) for answer in answers)

        await eventually(well, "every process is ready", WELL_SECONDS)

    async def watch_without(self, place: int, seconds: float) -> None:
        """The primary in this place is away: look for so many seconds at least, until all is shown or time is up."""
        gone = frozenset(self._site.partitions(place))
        others = [name for number, name in enumerate(self.rooms) if number != place]
        began = time.monotonic()
        async with asyncio.TaskGroup() as looks:
            for host in self._webs():
                looks.create_task(self._watch_ready(host, gone, began + seconds))
            for name in others:
                looks.create_task(self._watch_told(name))
        self.bereft += await asyncio.gather(*(self._watch_living(host) for host in self._webs()))

    async def watch_at_rest(self, seconds: float) -> None:
        """Nothing is wrong but clocks: look at the signs of life for so many seconds, once all were there."""
        for host in self._webs():
            await self._watch_living(host)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.at_rest += [await self._living(host) for host in self._webs()]
            await asyncio.sleep(LOOK_EVERY)

    async def _watch_ready(self, host: Host, gone: frozenset[str], until: float) -> None:
        ends = time.monotonic() + SHOWN_SECONDS
        while True:
            status, named = await self._ready(host)
            shown = (status, named) == (200, gone) and time.monotonic() >= until
            if status != 200 or shown or time.monotonic() > ends:
                self.readiness.append(Readiness(host.name, status, named, gone))
            if shown or time.monotonic() > ends:
                return
            await asyncio.sleep(LOOK_EVERY)

    @asynccontextmanager
    async def acting(self, place: int) -> AsyncIterator[None]:
        """The room on this primary is changed again and again; each change is asked for until it is made."""
        over = asyncio.Event()

        async def act() -> None:
            while not over.is_set():
                await self._change(list(self.rooms)[place])
                await asyncio.sleep(ACT_EVERY)  # the speaker's own pace

        task = asyncio.create_task(act())
        try:
            yield
        finally:
            over.set()
            await task

    async def _change(self, name: str) -> dict[str, Any] | None:
        """Show its call to action, or hide it; the answer, None when there was none for long."""
        async with self._speaking[name]:
            self._visible ^= {name}
            hook = "core_webinar_set_cta_visibility"
            return await self._recorder.ask(hook, webinar_id=name, visible=name in self._visible)

    async def _watch_told(self, name: str) -> None:
        """Change it time after time, and wait until all its readers know each of them."""
        for _ in range(CHANGES):
            told = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHOWN_SECONDS):
                    answer = await self._change(name)
                    while answer is not None and not told:
                        told = all(one.shown[1] >= answer["version"] for one in self.rooms[name].clients)
                        await asyncio.sleep(LOOK_EVERY)
            self.told.append(Told(name, told))
            if not told:
                return

    async def _watch_living(self, host: Host) -> Living:
        """The first look at which all are there; the last one in vain."""
        ends = time.monotonic() + SHOWN_SECONDS
        while (seen := await self._living(host)).missing and time.monotonic() < ends:
            await asyncio.sleep(LOOK_EVERY)
        return seen

    def _webs(self) -> Iterable[Host]:
        return [host for host in self._site.hosts.values() if host.port]

    async def _ready(self, host: Host) -> tuple[int, frozenset[str]]:
        """The status and the partitions that are said to be away; 0 without an answer."""
        answer = await _get(host, "/readyz")
        if answer is None:
            return 0, frozenset()
        return answer.status_code, frozenset(answer.json()["parts"].get("partitions_away", ()))

    async def _living(self, host: Host) -> Living:
        answer = await _get(host, "/monitor/counts")
        nodes: list[Any] = answer.json()["nodes"] if answer is not None and answer.status_code == 200 else []
        pids = {int(node["node"].split("-")[-2]) for node in nodes}
        serving = {name: one.pid for name, one in self._site.hosts.items() if one.serves}
        missing = frozenset(name for name, pid in serving.items() if pid not in pids)
        return Living(host.name, missing)


async def _get(host: Host, path: str) -> httpx.Response | None:
    headers = bearer(Role.MONITOR)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{host.port}", timeout=ANSWER_SECONDS) as http:
        try:
            return await http.get(path, headers=headers)
        except BROKEN:
            return None
