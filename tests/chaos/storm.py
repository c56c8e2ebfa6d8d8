"""Chaos: webinar after webinar while everything is killed, frozen and cut off by a seeded plan; then the checks."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from room_server.core.messages import Role
from room_server.state.outbox import Outbox
from tests.chaos import checker, promises
from tests.chaos.checker import Claim, Report, Stored
from tests.chaos.faults import Row, Scene, plan, strike
from tests.chaos.grounds import GROUNDS, Ground
from tests.chaos.importing import Forgotten, forget_beside_import
from tests.chaos.observer import Observer
from tests.chaos.promises import Epochs, Sending
from tests.chaos.recorder import Recorder, token
from tests.chaos.show import Show
from tests.chaos.site import Site, Weight
from tests.crowds import Audience
from tests.telegram.bot_api import TOKEN, BotApi, bot_api, take_slowly

ROUND_SECONDS = 6.0
QUIET_SECONDS = 1.0
APART = (-60, 0, 0, 60)
"""Seconds that the clocks of the processes are ahead of ours at first."""
REST_SECONDS = 3.0
"""How long signs of life are looked at while nothing is wrong but clocks."""
HEAL_SECONDS = 30.0
"""After the last fault: readers come back within a second, and counts heal within ten; on a busy machine too."""
END_SECONDS = 200.0
"""After the last webinar: the clocks of whoever ends it and of whoever evaluates it may be two minutes apart."""

HURTS_A_WORKER = re.compile(r"(?!step )\S+ worker-")
FORGOTTEN, STRIDE = 5_000_000, 10_000
"""Leads that are forgotten, of which each import has one, and the distance between two imports' leads."""

Say = Callable[[str], None]


class Play(NamedTuple):
    """A webinar of a round, its readers, and how often its primary's place had changed before."""

    show: Show
    readers: Audience
    promotions: int


class Storm:
    """One run; `seed` is all that its faults and its load are made from."""

    def __init__(self, site: Site, ground: Ground, seed: int, say: Say) -> None:
        self._site, self._store = site, site.state.store
        self._ground = ground
        self._seed = seed
        self._say = say
        self.recorder = Recorder(site.ports)
        self.observer = Observer(site, self.recorder)
        self.shows: list[Show] = []
        self.done: Counter[str] = Counter()
        self.rounds = 0
        self.came_back = 0
        self._behind: list[str] = []
        self._backwards: list[str] = []
        self._miscounted: list[str] = []
        self._epochs: list[Epochs] = []
        self._forgotten: list[Forgotten] = []

    def set_clocks(self) -> dict[str, int]:
        """Those of all processes, apart by chance; how far each is ahead."""
        ahead = random.Random(f"{self._seed}/clocks").sample(APART, len(APART))
        for host, seconds in zip(self._site.hosts.values(), ahead, strict=True):
            host.clock.step(seconds)
        return dict(zip(self._site.hosts, ahead, strict=True))

    async def round(self, seconds: float, deal: Callable[[random.Random], Sequence[Row]]) -> None:
        """One webinar on each primary, with what `deal` gives; afterwards each reader must hold its end."""
        number, self.rounds = self.rounds, self.rounds + 1
        seed = f"{self._seed}/{number}"
        chance = random.Random(seed)
        faults = plan(chance, seconds, deal(chance))
        self._say(f"round {number}" + "".join(f"\n  {fault}" for fault in faults))
        plays = [await self._play(name) for name in self._site.one_on_each(f"w{number}")]
        scene = Scene(self._site, self.observer, [play.readers for play in plays], random.Random(f"{seed}/scene"))
        try:
            for play in plays:
                await play.readers.join(self._ground.readers)
            async with asyncio.TaskGroup() as tasks:
                for play in plays:
                    tasks.create_task(play.show.run(seconds, f"{seed}/{play.show.name}"))
                tasks.create_task(strike(scene, faults))
                tasks.create_task(self._forget(f"import-{number}", number))
            await self._look(plays)
        finally:
            for play in plays:
                await play.readers.leave()
        self.done += scene.done

    async def _play(self, name: str) -> Play:
        show = Show(name, range(1, self._ground.leads + 1), self.recorder, self._store)
        await show.prepare(len(self.shows))
        self.shows.append(show)
        readers = Audience(f"/rooms/{name}/socket", token(Role.ATTENDEE), self._site.ports)
        return Play(show, readers, self._promotions(name))

    def _promotions(self, name: str) -> int:
        """How often the place of the webinar's primary has changed."""
        couples = self._site.couples
        return couples[self._site.couple(self._store.keys.tag(name))].promotions if couples else 0

    async def _forget(self, name: str, number: int) -> None:
        lead = FORGOTTEN + STRIDE * number
        self._forgotten.append(await forget_beside_import(self._site.state, self._site.settings, name, lead))

    async def _look(self, plays: Sequence[Play]) -> None:
        """What readers hold and what is counted, once all faults of the round are over."""
        for show, readers, _ in plays:
            self._behind += await checker.newest(self._store, show.name, readers, HEAL_SECONDS)
            self._backwards += [f"{show.name}: {readers.backwards} states came late"] * bool(readers.backwards)
            self.came_back += readers.without
        held = self.observer.rooms | {show.name: readers for show, readers, _ in plays}
        wanted = {name: len(readers.clients) for name, readers in held.items()}
        for port in self._site.ports:
            self._miscounted += await checker.counts(port, wanted, HEAL_SECONDS)
        for show, readers, promotions in plays:
            self._note_epochs(show.name, readers, promotions)

    def _note_epochs(self, name: str, readers: Audience, before: int = 0) -> None:
        explained = 1 + self._promotions(name) - before
        self._epochs.append(Epochs(name, len(readers.epochs), explained, readers.returned))

    async def end(self) -> list[str]:
        """Wait until all is told; the webinars of which something is still to come when time is up."""
        ends = time.monotonic() + END_SECONDS
        open_still = [show.name for show in self.shows]
        while open_still and time.monotonic() < ends:
            open_still = [name for name in open_still if not await checker.settled(self._store, name)]
            await asyncio.sleep(0.1)
        return open_still

    async def report(self, api: BotApi, before: dict[str, Weight], clocks: dict[str, int]) -> Report:
        """Everything that must be true."""
        unsettled = await self.end()
        self._say("everything is told, or never will be; the checks")
        for name, readers in self.observer.rooms.items():
            self._note_epochs(name, readers)
        weighed = await checker.weighed(self._site, before, HEAL_SECONDS)
        stored = await Stored().read(self._store, [*(show.name for show in self.shows), *self.observer.rooms])
        claims = [
            *checker.records(self.recorder, stored),
            promises.repeats(self.recorder, stored),
            *checker.leads(self.shows, stored),
            promises.ended(unsettled, len(self.shows)),
            *self._told(),
            *await checker.counters(self._store, stored),
            *await checker.messages(self._store, self.shows, api),
            *promises.sending(await self._sending(api)),
            promises.forgotten(self._forgotten),
            promises.at_rest(self.observer.at_rest, clocks),
            *self._without_a_primary(),
            weighed,
            checker.living(self._site),
            checker.logs(self._site),
        ]
        return Report(self._done(), claims)

    def _told(self) -> list[Claim]:
        """What readers saw."""
        number = self._ground.readers * len(self.shows)
        return [
            Claim("versions only grow", f"{number:,} readers, {self.came_back:,} came back", self._backwards),
            *promises.epochs(self._epochs),
            Claim("every reader holds the newest state", f"{number:,} readers", self._behind),
            Claim("counts are those of the open sockets", f"{2 * self.rounds} times", self._miscounted),
        ]

    def _without_a_primary(self) -> list[Claim]:
        """What was seen while one was away; on one server none can be."""
        if not self._site.couples:
            return []
        seen = self.observer
        return [promises.readiness(seen.readiness), promises.told(seen.told), promises.bereft(seen.bereft)]

    async def _sending(self, api: BotApi) -> Sending:
        known = [held.delivery for show in self.shows async for held in Outbox(self._store).deliveries(show.name)]
        befell = sum(number for fault, number in self.done.items() if HURTS_A_WORKER.match(fault))
        return Sending(known, Counter(tried.chat_id for tried in api.tries), befell)

    def _done(self) -> list[str]:
        tries = ", ".join(f"{word} {count:,}" for word, count in self.recorder.answers.most_common())
        faults = ", ".join(f"{fault} {count}" for fault, count in sorted(self.done.items()))
        return [
            f"{self._ground.name}, seed {self._seed}, {len(self.shows)} webinars",
            f"faults: {faults}",
            f"tries: {tries}",
        ]


async def storm(folder: Path, where: str, seed: int, seconds: float, say: Say) -> Report:
    """A quiet round to begin with, then one after the other with faults, for so many seconds at least."""
    ground = GROUNDS[where]
    async with bot_api() as api:
        api.usual = take_slowly
        telegram = {"ROOM_SERVER_TELEGRAM_TOKEN": TOKEN, "ROOM_SERVER_TELEGRAM_BASE_URL": api.url}
        async with ground.opened(folder, **telegram) as site:
            run = Storm(site, ground, seed, say)
            clocks = run.set_clocks()
            say(f"ready: {', '.join(f'{name} {ahead:+d} s' for name, ahead in clocks.items())}")
            async with run.recorder.lines():
                await run.observer.prepare()
                try:
                    await run.round(QUIET_SECONDS, lambda _: ())
                    await run.end()
                    await run.observer.watch_at_rest(REST_SECONDS)
                    before = await site.weights()
                    say("everything is told and at rest")
                    ends = time.monotonic() + seconds
                    while run.rounds < 2 or time.monotonic() < ends:
                        await run.round(min(seconds, ROUND_SECONDS), ground.deal)
                    if ground.last:
                        await run.round(min(seconds, ROUND_SECONDS), lambda _: ground.last)
                finally:
                    await run.observer.leave()
            return await run.report(api, before, clocks)
