"""The rehearsal: a whole webinar on two web processes, a worker and a Cluster, while each of them is hurt once."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from room_server.core.messages import Role
from room_server.errors import StateUnavailable
from room_server.state import webinars
from room_server.state.outbox import Outbox
from tests.chaos import checker, promises
from tests.chaos.checker import Claim, Report, Stored
from tests.chaos.decks import rehearsed
from tests.chaos.faults import Scene, strike
from tests.chaos.grounds import cluster_site
from tests.chaos.importing import Forgotten, forget_beside_import
from tests.chaos.observer import Observer
from tests.chaos.promises import Epochs, Sending
from tests.chaos.recorder import Recorder, token
from tests.chaos.show import Show
from tests.chaos.site import Site, Weight
from tests.crowds import Audience, many_descriptors
from tests.support import eventually

PARTITIONS = 6
WEBINAR = "launch"
CLOCKS = {"web-0": 0, "web-1": -60, "worker-0": 60}
"""Seconds that the clocks of the processes are ahead of ours."""
FORGOTTEN = 1_000_000
"""A lead that is forgotten."""
HEAL_SECONDS = 30.0
REST_SECONDS = 3.0
"""How long signs of life are looked at while nothing is wrong but clocks."""
FEW = 100
"""Leads that are evaluated at a stroke."""

Say = Callable[[str], None]


class Size(NamedTuple):
    """How large it is: sockets, leads on the roster, seconds on air."""

    sockets: int
    leads: int
    seconds: float


class Rehearsal:
    """One run."""

    def __init__(self, site: Site, size: Size, say: Say) -> None:
        self._site = site
        self._size = size
        self._say = say
        self._store = site.state.store
        self.recorder = Recorder(site.ports)
        self.observer = Observer(site, self.recorder)
        self.show = Show(WEBINAR, range(1, size.leads + 1), self.recorder, self._store)
        self.readers = self._audience(*site.ports)
        self._scene = Scene(site, self.observer, [self.readers], random.Random(WEBINAR))
        self._place = site.couple(self._store.keys.tag(WEBINAR))
        self._forgotten: list[Forgotten] = []
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
            assert await checker.counts(port, self._open({}), HEAL_SECONDS) == []
        return await self._site.weights()

    def _open(self, more: dict[str, int]) -> dict[str, int]:
        """Sockets that are open, by webinar: those of the rooms that are only watched, and `more`."""
        return {name: len(readers.clients) for name, readers in self.observer.rooms.items()} | more

    async def run(self) -> None:
        """From the schedule to the last message."""
        for name, ahead in CLOCKS.items():
            self._site.hosts[name].clock.step(ahead)
        await self.show.prepare(0)
        async with self.recorder.lines():
            await self.observer.prepare()
            try:
                before = await self._warmed()
                await self.observer.watch_at_rest(REST_SECONDS)
                began = time.monotonic()
                await self.readers.join(self._size.sockets)
                self._say(f"{self._size.sockets:,} sockets hold the state, {time.monotonic() - began:.1f} s")
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._hold())
                    tasks.create_task(strike(self._scene, rehearsed(self._place, self._size.seconds)))
                    tasks.create_task(self._forget())
                await self._look()
            finally:
                await self.readers.leave()
                await self.observer.leave()
        await eventually(partial(checker.settled, self._store, WEBINAR), "everybody was told", 90)
        self._say("everybody is classified and told; the checks")
        self.found += [await checker.weighed(self._site, before, HEAL_SECONDS)]
        self.found += [checker.living(self._site), checker.logs(self._site)]

    async def _hold(self) -> None:
        """The webinar, and what follows it."""
        await self.show.run(self._size.seconds, WEBINAR)
        self._say("the webinar has ended")
        await self._kill_the_worker()

    async def _forget(self) -> None:
        site = self._site
        self._forgotten.append(await forget_beside_import(site.state, site.settings, "import", FORGOTTEN))

    async def _kill_the_worker(self) -> None:
        """In the middle of the evaluation; before it, when it is too short to have a middle."""
        done = 0

        async def evaluates() -> bool:
            nonlocal done
            try:
                done, _ = await webinars.evaluation_progress(self._store, WEBINAR)
            except StateUnavailable:
                return False
            return done > len(self.show.answered)

        if self._size.leads > FEW:
            await eventually(evaluates, "the evaluation goes on", HEAL_SECONDS)
        await self._site.hosts["worker-0"].kill()
        self._scene.done["kill worker-0"] += 1
        self._say(f"worker-0 was killed with {done} of {self._size.leads} classified, and is there again")

    async def _look(self) -> None:
        number = self._size.sockets
        behind = await checker.newest(self._store, WEBINAR, self.readers, HEAL_SECONDS)
        backwards = [f"{self.readers.backwards} states came late"] * bool(self.readers.backwards)
        wanted = self._open({WEBINAR: number})
        wrong = [line for port in self._site.ports for line in await checker.counts(port, wanted, HEAL_SECONDS)]
        promotions = self._site.couples[self._place].promotions
        epochs = Epochs(WEBINAR, len(self.readers.epochs), 1 + promotions, self.readers.returned)
        self.found += [
            Claim("versions only grow", f"{number:,} readers, {self.readers.without:,} came back", backwards),
            *promises.epochs([epochs]),
            Claim("every reader holds the newest state", f"{number:,} readers", behind),
            Claim("counts are those of the open sockets", "asked of both web processes", wrong),
        ]

    async def report(self) -> Report:
        """Everything that must be true."""
        stored = await Stored().read(self._store, [WEBINAR, *self.observer.rooms])
        known = [held.delivery async for held in Outbox(self._store).deliveries(WEBINAR)]
        claims = [
            *checker.records(self.recorder, stored),
            promises.repeats(self.recorder, stored),
            *checker.leads([self.show], stored),
            *self.found,
            *await checker.counters(self._store, stored),
            *promises.sending(Sending(known, None, 1)),
            promises.forgotten(self._forgotten),
            promises.at_rest(self.observer.at_rest, CLOCKS),
            promises.readiness(self.observer.readiness),
            promises.told(self.observer.told),
            promises.bereft(self.observer.bereft),
        ]
        tries = ", ".join(f"{word} {count:,}" for word, count in self.recorder.answers.most_common())
        done = [
            f"{self._size.sockets:,} sockets, {self._size.leads:,} leads, {self._size.seconds:g} s on air",
            f"faults: {', '.join(sorted(self._scene.done))}",
            f"tries: {tries}",
        ]
        return Report(done, claims)


async def rehearse(folder: Path, size: Size, say: Say) -> Report:
    """Everything from the first server to the report."""
    with many_descriptors():
        async with cluster_site(folder, CLOCKS, PARTITIONS) as site:
            say(f"a Cluster of three with a replica each, {', '.join(site.hosts)} are ready")
            run = Rehearsal(site, size, say)
            await run.run()
            return await run.report()
