"""What goes wrong, and when: a seeded plan, and the hands that carry it out."""

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.chaos.site import Site
from tests.crowds import Audience, Client

DECK = (
    *(("kill", "web-0"), ("kill", "worker-0"), ("kill", "redis")),
    *(("freeze", "web"), ("freeze", "worker"), ("freeze", "redis")),
    *((kind, "any") for kind in ("cut", "half-close", "delay", "hang", "lose")),
    *((kind, "readers") for kind in ("drop", "deafen")),
)
"""Each fault of a round: what happens, and to whom. `web-1` and `worker-1` are never killed, and so can be weighed."""
WORST = {"freeze": 3.0, "delay": 2.0, "hang": 3.0, "deafen": 3.0}
"""Seconds that it lasts at most."""
LATE = 0.3
"""Seconds by which every reply is late while there is a delay."""
LOST = 5
"""Replies that are lost at a time."""


class Fault(NamedTuple):
    """What happens `at` seconds from the beginning of a round, to whom, and for how many seconds."""

    at: float
    kind: str
    victim: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.kind} {self.victim}" + (f" for {self.seconds:.2f} s" if self.seconds else "")


def plan(chance: random.Random, seconds: float) -> list[Fault]:
    """The whole deck within so many seconds, by chance alone: the same chance, the same plan."""
    return sorted(
        Fault(
            chance.uniform(0, seconds),
            kind,
            f"{victim}-{chance.randrange(2)}" if victim in {"web", "worker"} else _named(chance, victim),
            chance.uniform(0.1, WORST.get(kind, 0)) if kind in WORST else 0.0,
        )
        for kind, victim in DECK
    )


def _named(chance: random.Random, victim: str) -> str:
    return f"{chance.choice(('web', 'worker'))}-{chance.randrange(2)}" if victim == "any" else victim


class Hands:
    """Carry a plan out; one fault at a time for each victim."""

    def __init__(self, site: Site, readers: Audience, chance: random.Random) -> None:
        self._site = site
        self._readers = readers
        self._chance = chance
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ways: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "delay": self._delay,
            "hang": self._hang,
            "cut": self._cut,
            "half-close": self._half_close,
            "lose": self._lose,
            "drop": self._drop,
            "deafen": self._deafen,
        }
        self.done: Counter[str] = Counter()

    async def strike(self, faults: list[Fault]) -> None:
        """All of them, each at its moment; returns when the last is over and whoever was killed is there again."""
        await asyncio.gather(*(self._blow(fault) for fault in faults))

    async def _blow(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)  # the blow's own moment
        async with self._busy[fault.victim]:
            await self._ways[fault.kind](fault)
        self.done[f"{fault.kind} {fault.victim}"] += 1

    async def _kill(self, fault: Fault) -> None:
        await self._site.victims()[fault.victim].kill()

    async def _freeze(self, fault: Fault) -> None:
        victim = self._site.victims()[fault.victim]
        victim.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)  # how long it says nothing
        victim.signal(signal.SIGCONT)

    async def _delay(self, fault: Fault) -> None:
        proxy = self._site.proxies[fault.victim]
        proxy.delay = LATE
        await asyncio.sleep(fault.seconds)  # how long replies are late
        proxy.delay = 0.0

    async def _hang(self, fault: Fault) -> None:
        proxy = self._site.proxies[fault.victim]
        proxy.freeze()
        await asyncio.sleep(fault.seconds)  # how long nothing passes
        proxy.thaw()

    async def _cut(self, fault: Fault) -> None:
        self._site.proxies[fault.victim].cut()

    async def _half_close(self, fault: Fault) -> None:
        self._site.proxies[fault.victim].half_close()

    async def _lose(self, fault: Fault) -> None:
        for _ in range(LOST):
            self._site.proxies[fault.victim].lose_reply_to(b"EVALSHA")

    async def _drop(self, _: Fault) -> None:
        for client in self._some():
            if client.line is not None:
                client.line.hang_up()

    async def _deafen(self, fault: Fault) -> None:
        deaf = [client.line.transport for client in self._some() if client.line is not None]
        for transport in deaf:
            if transport is not None and not transport.is_closing():
                transport.pause_reading()
        await asyncio.sleep(fault.seconds)  # how long they read nothing
        for transport in deaf:
            if transport is not None and not transport.is_closing():
                transport.resume_reading()

    def _some(self) -> list[Client]:
        """A third of the readers."""
        return self._chance.sample(self._readers.clients, len(self._readers.clients) // 3)
