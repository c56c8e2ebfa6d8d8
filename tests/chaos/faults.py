"""What goes wrong, and when: rows of a table, a plan that a seed deals from them, and the scene of its faults.

The tables are in decks.py. A row names its own hand: a function in process_faults.py or server_faults.py.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from tests.chaos.observer import Observer
from tests.chaos.site import Site
from tests.crowds import Audience, Client


class Scene:
    """What faults befall: the site, the readers of this round, and who observes meanwhile."""

    def __init__(self, site: Site, observer: Observer, readers: Sequence[Audience], chance: random.Random) -> None:
        self.site = site
        self.observer = observer
        self.readers = readers
        self.chance = chance
        self.busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Whom a fault has for itself at the moment."""
        self.done: Counter[str] = Counter()

    def some_readers(self) -> list[Client]:
        """A third of them."""
        clients = [client for audience in self.readers for client in audience.clients]
        return self.chance.sample(clients, len(clients) // 3)


class Fault(NamedTuple):
    """What happens `at` seconds from the beginning of a round, to whom, and for how many seconds."""

    at: float
    row: "Row"
    victim: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        return f"{self.at:6.2f} s  {self.row.kind} {self.victim}{lasts}"


Hand = Callable[[Scene, Fault], Awaitable[None]]


class Row(NamedTuple):
    """A kind of fault."""

    kind: str
    victims: tuple[str, ...]
    """One of them is dealt."""
    hand: Hand
    """Carries it out, and returns when it is over and whoever was killed is there again."""
    lasts: tuple[float, float] = (0.0, 0.0)
    """Seconds, from and to."""
    begins: tuple[float, float] = (0.0, 1.0)
    """In which part of the round, from and to."""
    alone: tuple[str, ...] = ()
    """Who has to be left in peace meanwhile, besides the victim."""


def plan(chance: random.Random, seconds: float, deck: Sequence[Row]) -> list[Fault]:
    """Each row once within so many seconds, by chance alone: the same chance, the same plan."""
    faults = [
        Fault(seconds * chance.uniform(*row.begins), row, chance.choice(row.victims), chance.uniform(*row.lasts))
        for row in deck
    ]
    return sorted(faults, key=lambda fault: fault.at)


async def strike(scene: Scene, faults: Sequence[Fault]) -> None:
    """All of them, each at its moment or as soon as its victim has got over the one before."""
    async with asyncio.TaskGroup() as blows:
        for fault in faults:
            blows.create_task(_blow(scene, fault))


async def _blow(scene: Scene, fault: Fault) -> None:
    await asyncio.sleep(fault.at)  # the blow's own moment
    async with AsyncExitStack() as stack:
        for name in sorted({fault.victim, *fault.row.alone}):  # in one order, so that no two wait for each other
            await stack.enter_async_context(scene.busy[name])
        await fault.row.hand(scene, fault)
    scene.done[f"{fault.row.kind} {fault.victim}"] += 1
