"""The rehearsal: a whole webinar on two web processes, a worker and a Cluster, while one of each is killed."""

import asyncio
import subprocess
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from signal import Signals
from typing import NamedTuple

from redis import Redis

from room_server.config import Settings
from room_server.core.messages import Role
from room_server.errors import StateUnavailable
from room_server.state import catalogue
from room_server.state.keys import slot
from room_server.state.opening import open_state
from tests.chaos import checker
from tests.chaos.checker import Claim, Report, Stored
from tests.chaos.recorder import Recorder, token
from tests.chaos.show import Show
from tests.chaos.site import Site, Weight
from tests.cluster import follow, form, processes, until, url_of
from tests.crowds import Audience, many_descriptors
from tests.support import eventually

PARTITIONS = 6
WEBINAR = "launch"
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
HEAL_SECONDS = 30.0
FEW = 100
"""Leads that are evaluated at a stroke."""

Say = Callable[[str], None]


class Size(NamedTuple):
    """How large it is: sockets, leads on the roster, seconds on air."""

    sockets: int
    leads: int
    seconds: float


class Primary:
    """The primary that holds the webinar, and the replica that takes its place."""

    def __init__(self, started: dict[int, subprocess.Popen[bytes]], port: int, follower: int) -> None:
        self._started = started
        self._port, self._follower = port, follower
        self.away = 0.0
        """Seconds until the replica had taken over."""

    def signal(self, number: Signals) -> None:
        """To the primary."""
        self._started[self._port].send_signal(number)

    async def kill(self) -> None:
        """`kill -9`; once its replica has taken over by itself it comes back, as that one's replica."""
        began, dead = time.monotonic(), self._started[self._port]
        dead.kill()
        await to_thread(dead.wait)
        with Redis(port=self._follower) as heir, Redis(port=self._port) as former:
            await to_thread(until, lambda: heir.role()[0] == b"master")
            self.away = time.monotonic() - began
            self._started[self._port] = subprocess.Popen(dead.args, stdout=subprocess.DEVNULL)
            await to_thread(until, lambda: former.info("replication").get("master_link_status") == "up")

    async def hand_back(self) -> None:
        """A planned fail-over: the former primary takes its place again, with all that its heir had."""
        with Redis(port=self._port) as former, Redis(port=self._follower) as heir:
            await to_thread(until, lambda: former.cluster("FAILOVER"))
            await to_thread(until, lambda: former.role()[0] == b"master")
            await to_thread(until, lambda: heir.info("replication").get("master_link_status") == "up")


@asynccontextmanager
async def cluster_site(folder: Path) -> AsyncIterator[tuple[Site, Primary]]:
    """Three primaries with a replica each, two web processes and a worker; a hook is answered once a replica has it."""
    async with AsyncExitStack() as stack:
        started = stack.enter_context(processes(6, **DURABLE))
        primaries, followers = list(started)[:3], list(started)[3:]
        await to_thread(form, primaries)
        couples = zip(primaries, followers, strict=True)
        await asyncio.gather(*(to_thread(follow, primaries, follower, leader) for leader, follower in couples))
        settings = Settings(redis_url=url_of(primaries), partitions=PARTITIONS, replicas=1, evaluation_grace=0.5)
        state = await stack.enter_async_context(open_state(settings))
        site = Site(state, folder)
        place = slot(state.store.keys.tag(WEBINAR)) * 3 // 16384
        site.others["primary"] = primary = Primary(started, primaries[place], followers[place])
        for name in ("web-0", "web-1", "worker-0"):
            site.add(name, ROOM_SERVER_REDIS_URL=url_of(primaries), ROOM_SERVER_REPLICAS="1")
        stack.push_async_callback(site.end)
        await site.start()
        yield site, primary


class Rehearsal:
    """One run."""

    def __init__(self, site: Site, primary: Primary, size: Size, say: Say) -> None:
        self._site = site
        self._primary = primary
        self._size = size
        self._say = say
        self._store = site.state.store
        self.recorder = Recorder(site.ports)
        self.show = Show(WEBINAR, range(1, size.leads + 1), self.recorder, self._store)
        self.readers = self._audience(*site.ports)
        self.found: list[Claim] = []

    def _audience(self, *ports: int) -> Audience:
        return Audience(f"/rooms/{WEBINAR}/socket", token(Role.ATTENDEE), list(ports))

    async def _warmed(self) -> dict[str, Weight]:
        """What the processes hold once each has had the whole crowd, which has left: from then on nothing may grow."""
        for port in self._site.ports:
            crowd = self._audience(port)
            try:
                await crowd.join(self._size.sockets)
            finally:
                await crowd.leave()
        for port in self._site.ports:
            assert await checker.counts(port, WEBINAR, {}, HEAL_SECONDS) == []
        return await self._site.weights()

    async def run(self) -> None:
        """From the schedule to the last message."""
        await self.show.prepare(0)
        before = await self._warmed()
        async with self.recorder.lines():
            try:
                began = time.monotonic()
                await self.readers.join(self._size.sockets)
                self._say(f"{self._size.sockets:,} sockets hold the state, {time.monotonic() - began:.1f} s")
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.show.run(self._size.seconds, WEBINAR))
                    tasks.create_task(self._strike())
                self._say("the webinar has ended")
                await self._kill_the_worker()
                await self._look()
            finally:
                await self.readers.leave()
        await eventually(partial(checker.settled, self._store, WEBINAR), "everybody was told", 90)
        self._say("everybody is classified and told; the checks")
        self.found += [await checker.weighed(self._site, before, HEAL_SECONDS), checker.logs(self._site)]

    async def _strike(self) -> None:
        """The primary, which gets its place back later, and a web process, in the middle of the webinar."""

        async def kill(victim: str, share: float) -> None:
            await asyncio.sleep(share * self._size.seconds)  # its own moment
            await self._site.victims()[victim].kill()
            self._say(f"{victim} was killed, and is there again")

        async def fail_over_and_back() -> None:
            await kill("primary", 0.1)
            await self._primary.hand_back()
            self._say("primary has its place again")

        await asyncio.gather(fail_over_and_back(), kill("web-0", 0.5))

    async def _kill_the_worker(self) -> None:
        """In the middle of the evaluation; before it, when it is too short to have a middle."""
        done = 0

        async def evaluates() -> bool:
            nonlocal done
            try:
                done, _ = await catalogue.classified(self._store, WEBINAR)
            except StateUnavailable:
                return False
            return done > len(self.show.answered)

        if self._size.leads > FEW:
            await eventually(evaluates, "the evaluation goes on", HEAL_SECONDS)
        await self._site.hosts["worker-0"].kill()
        self._say(f"worker-0 was killed with {done} of {self._size.leads} classified, and is there again")

    async def _look(self) -> None:
        number, wanted = self._size.sockets, {"attendee": self._size.sockets}
        behind = await checker.newest(self._store, WEBINAR, self.readers, HEAL_SECONDS)
        backwards = [f"{self.readers.backwards} states came late"] * bool(self.readers.backwards)
        wrong = [
            line for port in self._site.ports for line in await checker.counts(port, WEBINAR, wanted, HEAL_SECONDS)
        ]
        self.found += [
            Claim("versions only grow", f"{number:,} readers, {self.readers.without:,} came back", backwards),
            Claim("every reader holds the newest state", f"{number:,} readers", behind),
            Claim("counts are those of the open sockets", "asked of both web processes", wrong),
        ]

    async def report(self) -> Report:
        """Everything that must be true."""
        stored = await Stored().read(self._store, [WEBINAR])
        claims = [
            *checker.records(self.recorder, stored),
            *checker.leads([self.show], stored),
            *self.found,
            *await checker.counters(self._store, stored),
        ]
        tries = ", ".join(f"{word} {count:,}" for word, count in self.recorder.answers.most_common())
        done = [
            f"{self._size.sockets:,} sockets, {self._size.leads:,} leads, {self._size.seconds:g} s on air",
            f"killed: web-0, worker-0, and a primary whose replica took over after {self._primary.away:.1f} s",
            f"tries: {tries}",
        ]
        return Report(done, claims)


async def rehearse(folder: Path, size: Size, say: Say) -> Report:
    """Everything from the first server to the report."""
    with many_descriptors():
        async with cluster_site(folder) as (site, primary):
            say(f"a Cluster of three with a replica each, {', '.join(site.hosts)} are ready")
            run = Rehearsal(site, primary, size, say)
            await run.run()
            return await run.report()
