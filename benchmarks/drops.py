"""Sockets whose network drops for two seconds again and again, while the state changes: who has the newest in the end.

Each socket behaves as the page does (static/timing.js): it comes back after a random wait that grows. Half of the drops
cut the connection; in the others nothing passes for as long, and then what was held back. Beside ours a server that
broadcasts and keeps nothing, through the same drops at the same time.
"""

import asyncio
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from msgspec import Struct, field

from benchmarks.contenders import FRAME, line
from benchmarks.crowd import PATIENCE, PING, PONG
from benchmarks.processes import await_port, free_port, module, percentile, program, say
from benchmarks.report import Findings, Goal, Table, milliseconds, spread
from benchmarks.servers import Speaker, handshake, serving
from benchmarks.size import Size

OURS, PEER = "room-server", "`websockets.broadcast()`"
AWAY_SECONDS, BEGIN_SECONDS, LAST_CHANGE_SECONDS = 2.0, 3.0, 4.0
"""Of a round: how long a drop lasts, within which time it begins, and when the last change is made: many are away."""
GAP, SETTLE_SECONDS = 0.2, 1.0
"""Seconds between two changes; and after all are back, for what is on its way."""
SHORTEST, FIRST_MOST, MOST, STEADY = 0.1, 1.0, 5.0, 5.0
"""The page's waits, and how long a socket must last for the next wait to be short again; seconds."""
VERSION = re.compile(rb'"version":(\d+)')


class Contender(Struct):
    """Who is measured; `phones[0]` never drops."""

    name: str
    phones: list["Phone"]
    change: Callable[[], object]
    shares: list[float] = field(default_factory=list)
    """Of the sockets that had the newest state in the end, by round."""

    def newest(self) -> int:
        """The version that everybody is to have."""
        return self.phones[0].version

    def count(self) -> None:
        """Note the share of this round."""
        dropping = self.phones[1:]
        self.shares.append(sum(one.version == self.newest() for one in dropping) / len(dropping))


class Phone:
    """One socket and its network."""

    def __init__(self, port: int, request: bytes, chance: random.Random) -> None:
        self._port, self._request, self._chance = port, request, chance
        self._passes = asyncio.Event()
        self._passes.set()
        self._writer: asyncio.StreamWriter | None = None
        self._away = False
        self._awaited: tuple[float, int] | None = None
        """When the network was back after a cut, and the version that was the newest then."""
        self._asked = 0.0
        """When the handshake was sent."""
        self.open = False
        self.version = -1
        self.back: list[tuple[float, float]] = []
        """Seconds from each return of the network, and from the handshake after it, until the newest was there."""

    async def live(self) -> None:
        """As the page, for ever."""
        most = FIRST_MOST
        while True:
            since = time.perf_counter()
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._hold()
            if time.perf_counter() - since > STEADY:
                most = FIRST_MOST
            await asyncio.sleep(self._chance.uniform(SHORTEST, most))
            most = min(MOST, 2 * most)

    async def _hold(self) -> None:
        if self._away:
            return
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            self._asked = time.perf_counter()
            self._writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 503"):
                raise ConnectionError  # the page tries again
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(head.decode(errors="replace"))
            self.open = True
            while data := await reader.read(65536):
                await self._passes.wait()
                self._take(data, self._writer)
        finally:
            self.open = False
            self._writer.close()

    def _take(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for found in VERSION.finditer(data):
            self.version = int(found[1])
        if data[-10:-8] == PING:
            writer.write(PONG + data[-8:])
        if self._awaited and self.version >= self._awaited[1]:
            now = time.perf_counter()
            self.back.append((now - self._awaited[0], now - self._asked))
            self._awaited = None

    async def drop(self, contender: Contender) -> None:
        """Once, at some moment of the round, in one of the two ways."""
        await asyncio.sleep(self._chance.uniform(0, BEGIN_SECONDS))
        self._away, self._awaited = True, None
        self._passes.clear()
        if cut := self._chance.random() < 1 / 2 and self._writer is not None:
            self._writer.transport.abort()
        await asyncio.sleep(AWAY_SECONDS)
        self._away = False
        if cut:
            self._awaited = (time.perf_counter(), contender.newest())
        self._passes.set()


def find(size: Size) -> Findings:
    """Both at the same time."""
    with ExitStack() as stack:
        made = [stack.enter_context(opener(size.dropping)) for opener in (ours, peer)]
        asyncio.run(observe(made, size.rounds))
    return told(made)


@contextmanager
def ours(number: int) -> Iterator[Contender]:
    """Our server."""
    with serving() as server:
        yield Contender(OURS, phones(server.port, server.handshakes(range(1, number + 2))), Speaker(server).change)


@contextmanager
def peer(number: int) -> Iterator[Contender]:
    """A server that sends what it is told to those who are there."""
    port = free_port()
    with program([*module("benchmarks.peers.broadcast"), str(port), str(FRAME)]) as child:
        await_port(port, child)
        yield Contender(PEER, phones(port, [handshake(port)] * (number + 1)), lambda: line(child))


def phones(port: int, requests: Sequence[bytes]) -> list[Phone]:
    """The same drops and waits in each run and for each contender."""
    chances = (random.Random(number) for number in range(len(requests)))  # noqa: S311 - no secret
    return [Phone(port, request, chance) for request, chance in zip(requests, chances, strict=True)]


async def observe(made: Sequence[Contender], rounds: int) -> None:
    """All rounds."""
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(phone.live()) for contender in made for phone in contender.phones]
        for number in range(rounds):
            await connected(made)
            say(f"drops, round {number + 1} of {rounds}")
            async with asyncio.TaskGroup() as round_of_drops:
                for contender in made:
                    round_of_drops.create_task(change(contender))
                    for phone in contender.phones[1:]:
                        round_of_drops.create_task(phone.drop(contender))
            await connected(made)
            for contender in made:
                contender.count()
        for life in lives:
            life.cancel()


async def connected(made: Sequence[Contender]) -> None:
    """Return when all sockets are open, and what was on its way has come. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not all(phone.open for contender in made for phone in contender.phones):  # noqa: ASYNC110 - sockets
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_SECONDS)


async def change(contender: Contender) -> None:
    """One change after the other, the last while many are away."""
    until = time.perf_counter() + LAST_CHANGE_SECONDS
    while time.perf_counter() < until:
        await asyncio.to_thread(contender.change)
        await asyncio.sleep(GAP)


def told(made: Sequence[Contender]) -> Findings:
    """The table and the goal."""
    rows = []
    for one in made:
        back, asked = zip(*[took for phone in one.phones for took in phone.back] or [(math.nan, math.nan)], strict=True)
        shown = [f"{percentile(back, share):.1f} s" for share in (0.5, 1)]
        share = spread([100 * part for part in one.shares], ".1f", " %")
        rows.append(
            [one.name, share, *shown, milliseconds(percentile(asked, 0.5)), milliseconds(percentile(asked, 0.99))]
        )
    rounds, number = len(made[0].shares), len(made[0].phones) - 1
    head = ["", "have the newest in the end", "cut: after the network was back, p50", "longest",
            "after the handshake was sent, p50", "p99"]  # fmt: skip
    title = f"{number:,} sockets whose network drops for {AWAY_SECONDS:g} s in each of {rounds} rounds"
    note = f"{PEER} keeps no state: who missed the last change never gets it, and has no time here. After the " \
           f"network was back the page waits before it tries again, {MOST:g} s at most."  # fmt: skip
    least = min(made[0].shares)
    goal = Goal("sockets whose network drops again and again: they have the newest state in the end", "100 %",
                rows[0][1], least == 1)  # fmt: skip
    return Findings([Table(title, head, rows, note)], [goal])
