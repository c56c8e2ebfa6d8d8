"""A site that may be hurt: web processes, workers and Redis, each started again after it was killed."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from room_server.config import Settings
from room_server.protocols.bounded_http import bind
from room_server.state.keys import SLOTS, slot
from room_server.state.startup import State
from tests.chaos.couples import Couple
from tests.clocks import Clock, sweep
from tests.crowds import descriptors, memory
from tests.outage import answers
from tests.proxy import Proxy
from tests.support import TOKEN_SECRET, eventually, wait_until
from tests.terminal import clean

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
"""For a process to be ready, begun as often as it takes: it may be born while its Redis is away."""
ANSWER_SECONDS = 30.0
LOOKS = 20
GRACE = 2.0
"""Seconds from the end of a webinar to its evaluation: a clock that is set back just then must not lengthen them."""
ENVIRONMENT = {
    "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
    "ROOM_SERVER_EVALUATION_GRACE": str(GRACE),
    "ROOM_SERVER_MAX_SOCKETS_PER_PERSON": "0",
    "ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0",
    "ROOM_SERVER_MAX_READS_PER_PERSON": "0",
}
SETTINGS = Settings(token_secret=TOKEN_SECRET, evaluation_grace=GRACE)


class Weight(NamedTuple):
    """What a process holds: tasks by what they do, file descriptors, bytes of memory."""

    tasks: dict[str, int]
    descriptors: int
    memory: int


class Victim(Protocol):
    """A process that may be hurt."""

    def signal(self, number: signal.Signals) -> None:
        """As `kill` does."""

    async def kill(self) -> None:
        """`kill -9`; returns when it is there again."""


class Host:
    """A web process or a worker, with a clock of its own; its log stays in the folder."""

    def __init__(self, name: str, folder: Path, words: tuple[str, ...], environment: dict[str, str]) -> None:
        self.name = name
        self.lives = 0
        self.serves = False
        """Whether it has said that it is ready, in its present life."""
        self.port: int | None = None
        """Where a web process listens."""
        self.clock = Clock(folder / f"{name}.clock", cached=1)
        self._words = words
        self._environment = {**ENVIRONMENT, **environment, **self.clock.environment()}
        self.log, self._tasks = folder / f"{name}.log", folder / f"{name}.tasks"
        self._process: Process | None = None

    async def start(self) -> None:
        """Begin a life; one that ends before it is ready is begun again, as platforms do."""
        self.lives += 1
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.chaos.watched", str(self._tasks), *self._words),
                    env=clean(**self._environment), stdout=PIPE, stderr=log, start_new_session=True, cwd=ROOT,
                )  # fmt: skip
            if await self._is_ready(self._process):
                self.serves = True
                return
        raise TimeoutError(f"no {self.name} could be started; its log:\n{self.log.read_text()[-2000:]}")

    async def _is_ready(self, process: Process) -> bool:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if line.startswith(b"ready "):
                return True
        await process.wait()
        sweep(process.pid)
        return False

    @property
    def pid(self) -> int:
        """Of its present life."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """To this process alone, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def has_ended(self) -> bool:
        """Whether it was ready, and has ended since, though nobody killed it."""
        return self.serves and self._process is not None and self._process.returncode is not None

    async def kill(self) -> None:
        """`kill -9`, and another life."""
        await self.end()
        await self.start()

    async def end(self) -> None:
        """For good, if it was begun."""
        self.serves = False
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        sweep(self.pid)

    async def weight(self) -> Weight:
        """What the process holds now; its tasks are told until they are twice the same, as they are at rest."""
        tasks, again = await self._told_tasks(), await self._told_tasks()
        for _ in range(LOOKS):
            if tasks == again:
                break
            tasks, again = again, await self._told_tasks()
        return Weight(again, descriptors(self.pid), memory(self.pid))

    async def _told_tasks(self) -> dict[str, int]:
        self._tasks.unlink(missing_ok=True)
        self.signal(signal.SIGUSR1)
        await wait_until(self._tasks.exists, f"{self.name} told of its tasks", ANSWER_SECONDS)
        return msgspec.json.decode(self._tasks.read_bytes(), type=dict[str, int])


class Embedded:
    """The embedded server in a data folder, which its keeper starts again."""

    def __init__(self, data: Path, url: str) -> None:
        self._data = data
        self.url = url

    def _pid(self) -> int | None:
        """None: the keeper is just writing it."""
        return int((self._data / "server").read_text() or 0) or None

    def signal(self, number: signal.Signals) -> None:
        """As `kill` does."""
        pid = self._pid()
        assert pid is not None, "only `kill` has another one started, and waits for it"
        os.kill(pid, number)

    async def kill(self) -> None:
        """`kill -9`; returns when the keeper's next one answers."""
        old = self._pid()
        self.signal(signal.SIGKILL)
        await wait_until(lambda: self._pid() not in {None, old}, "the keeper started another server", START_SECONDS)
        await eventually(lambda: answers(self.url), "it answers", START_SECONDS)


class Site:
    """All that runs, by name; `state` is the tests' own way to what is stored, which nothing hurts but Redis."""

    def __init__(self, state: State, folder: Path) -> None:
        self.state = state
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self.ports: list[int] = []
        self.proxies: dict[str, Proxy] = {}
        """What lies between a process and Redis, where there is anything."""
        self.others: dict[str, Victim] = {}
        self.couples: list[Couple] = []
        """The primaries of the Cluster in the order of their slots, each with its replica; none on one server."""
        self.server_clocks: tuple[Clock, ...] = ()
        """Those of all servers, where they can be set."""

    @property
    def settings(self) -> Settings:
        """With which another process opens the same state."""
        return Settings(redis_url=self.state.url, replicas=1 if self.couples else 0, evaluation_grace=GRACE)

    def victims(self) -> dict[str, Victim]:
        """Whoever may be killed or frozen."""
        return {**self.hosts, **self.others, **{couple.name: couple for couple in self.couples}}

    def couple(self, tag: str) -> int:
        """Which primary holds this partition, by its place."""
        return slot(tag) * max(1, len(self.couples)) // SLOTS

    def partitions(self, place: int) -> set[str]:
        """The partitions, by tag, that the primary in this place holds."""
        return {tag for tag in self.state.store.keys.tags if self.couple(tag) == place}

    def one_on_each(self, stem: str) -> list[str]:
        """Names of webinars, one for each primary, in their order."""
        keys = self.state.store.keys
        return [
            next(name for number in count() if self.couple(keys.tag(name := f"{stem}-{number}")) == place)
            for place in range(max(1, len(self.couples)))
        ]

    def add(self, name: str, **environment: str) -> Host:
        """One more process, not begun yet: `web-0`, `worker-1`."""
        words: tuple[str, ...] = ("worker",)
        port = None
        if name.startswith("web"):
            with bind("127.0.0.1", 0) as free:
                port = int(free.getsockname()[1])
            self.ports.append(port)
            words = ("web", "--port", str(port))
        made = self.hosts[name] = Host(name, self.folder, words, environment)
        made.port = port
        return made

    async def start(self) -> None:
        """Begin all processes."""
        await asyncio.gather(*(host.start() for host in self.hosts.values()))

    async def end(self) -> None:
        """End them."""
        await asyncio.gather(*(host.end() for host in self.hosts.values()))

    async def weights(self) -> dict[str, Weight]:
        """What each process holds that has lived from the beginning."""
        lived = {name: host for name, host in self.hosts.items() if host.lives == 1 and not host.has_ended}
        return {name: await host.weight() for name, host in lived.items()}
