"""Chaos: webinar after webinar while everything is killed, frozen and cut off by a seeded plan; then the checks."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from room_server.core.messages import Role
from tests.chaos import checker
from tests.chaos.checker import Claim, Report, Stored
from tests.chaos.faults import Hands, plan
from tests.chaos.recorder import Recorder, token
from tests.chaos.show import Show
from tests.chaos.site import Site, Weight, embedded_site
from tests.crowds import Audience
from tests.support import eventually
from tests.telegram.bot_api import TOKEN, BotApi, bot_api, take_slowly

ROUND_SECONDS = 6.0
LEADS = range(1, 61)
READERS = 60
HEAL_SECONDS = 15.0
"""After the last fault: readers come back within a second, and the counts heal within ten."""

Say = Callable[[str], None]


class Storm:
    """One run; `seed` is all that its faults and its load are made from."""

    def __init__(self, site: Site, seed: int, say: Say) -> None:
        self._site = site
        self._seed = seed
        self._say = say
        self.recorder = Recorder(site.ports)
        self.shows: list[Show] = []
        self.done: Counter[str] = Counter()
        self.came_back = 0
        self._behind: list[str] = []
        self._backwards: list[str] = []
        self._miscounted: list[str] = []

    async def round(self, seconds: float, faults: bool = True) -> None:
        """One webinar; afterwards each reader must hold its end."""
        number = len(self.shows)
        seed = f"{self._seed}/{number}"
        blows = plan(random.Random(seed), seconds) if faults else []
        self._say(f"round {number}" + "".join(f"\n  {fault}" for fault in blows))
        show = Show(f"w{number}", LEADS, self.recorder, self._site.state.store)
        self.shows.append(show)
        await show.prepare(number)
        readers = Audience(f"/rooms/{show.name}/socket", token(Role.ATTENDEE), self._site.ports)
        hands = Hands(self._site, readers, random.Random(f"{seed}/readers"))
        async with self.recorder.lines():
            try:
                await readers.join(READERS)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(show.run(seconds, seed))
                    tasks.create_task(hands.strike(blows))
                await self._look(show, readers)
            finally:
                await readers.leave()
        self.done += hands.done

    async def _look(self, show: Show, readers: Audience) -> None:
        self._behind += await checker.newest(self._site.state.store, show.name, readers, HEAL_SECONDS)
        self._backwards += [f"{show.name}: {readers.backwards} states came late"] * bool(readers.backwards)
        wanted = {"attendee": len(readers.clients)}
        for port in self._site.ports:
            self._miscounted += await checker.counts(port, show.name, wanted, HEAL_SECONDS)
        self.came_back += readers.without

    async def rest(self) -> dict[str, Weight]:
        """Wait until all is told; what the processes hold then."""
        store = self._site.state.store
        for show in self.shows:
            await eventually(partial(checker.settled, store, show.name), f"all of {show.name} was told", 90)
        return await self._site.weights()

    async def report(self, api: BotApi, before: dict[str, Weight]) -> Report:
        """Everything that must be true."""
        store = self._site.state.store
        weighed = await checker.weighed(self._site, before, HEAL_SECONDS)
        stored = await Stored().read(store, [show.name for show in self.shows])
        rounds = len(self.shows)
        claims = [
            *checker.records(self.recorder, stored),
            *checker.leads(self.shows, stored),
            Claim("versions only grow", f"{READERS * rounds:,} readers, {self.came_back:,} came back", self._backwards),
            Claim("every reader holds the newest state", f"{READERS * rounds:,} readers", self._behind),
            Claim("counts are those of the open sockets", f"{2 * rounds} times", self._miscounted),
            *await checker.counters(store, stored),
            *await checker.messages(store, self.shows, api),
            weighed,
            checker.logs(self._site),
        ]
        return Report(self._done(), claims)

    def _done(self) -> list[str]:
        tries = ", ".join(f"{word} {count:,}" for word, count in self.recorder.answers.most_common())
        faults = ", ".join(f"{fault} {count}" for fault, count in sorted(self.done.items()))
        return [f"seed {self._seed}, {len(self.shows)} webinars", f"faults: {faults}", f"tries: {tries}"]


async def storm(folder: Path, seed: int, seconds: float, say: Say) -> Report:
    """A quiet webinar to begin with, then one after the other with faults, for so many seconds at least."""
    async with bot_api() as api:
        api.usual = take_slowly
        telegram = {"ROOM_SERVER_TELEGRAM_TOKEN": TOKEN, "ROOM_SERVER_TELEGRAM_BASE_URL": api.url}
        async with embedded_site(folder, **telegram) as site:
            say(f"{', '.join(site.hosts)} are ready")
            run = Storm(site, seed, say)
            await run.round(1.0, faults=False)
            before = await run.rest()
            say("everything is told and at rest")
            ends = time.monotonic() + seconds
            while len(run.shows) < 2 or time.monotonic() < ends:
                await run.round(min(seconds, ROUND_SECONDS))
            await run.rest()
            say("everything is told; the checks")
            return await run.report(api, before)
