"""Fan-out and memory: from the hook's request, through Redis with fsync, to the last of N sockets; floor and peers.

Everyone is measured once a round, in turn with the floor, so that a noisy moment hits all. Whoever is measured has the
first core to itself: the others leave it for as long.
"""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

import click
from msgspec import Struct

from benchmarks.contenders import BY_WRITE, FLOOR, OURS, RECEIPTS, RECEIPTS_BY_WRITE, UWS, Peer, everyone
from benchmarks.processes import FIRST, OTHERS, await_rest, cpu_seconds, move, resident, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.size import Size

CPU_NOTE = "CPU: of the process that writes, the receipts of its browsers included."
BREATH_SECONDS = 10.0
"""The crowds of our server, which wait long for their turns, show this often that they are there."""
FLOOR_SHARE = {OURS: 0.95, RECEIPTS: 0.90, BY_WRITE: 0.85, RECEIPTS_BY_WRITE: 0.80}
"""Of the floor's frames a second, to reach."""
SOCKET_BYTES = 2_048
"""Of memory, to reach."""


class Lap(Struct, frozen=True):
    """What all rounds came to; `times` are seconds, by name, in the order of the rounds."""

    sockets: int
    made: Sequence[Peer]
    times: dict[str, list[float]]
    note: str

    def shares(self, name: str, other: str = FLOOR) -> list[float]:
        """Its speed, of somebody else's in the same rounds."""
        return [base / own for base, own in zip(self.times[other], self.times[name], strict=True)]

    def share(self, name: str) -> float:
        """Of the floor's speed in the same rounds."""
        return statistics.median(self.shares(name))

    def cpu(self, name: str) -> list[float]:
        """Seconds of each round."""
        (one,) = [one for one in self.made if one.name == name]
        return one.cpu[-len(self.times[name]) :]


def find(size: Size, parts: Sequence[str]) -> Findings:
    """All that can be had here, side by side: `fanout`, `memory` or both."""
    rounds = size.rounds if "fanout" in parts else 0
    with ExitStack() as stack:
        made, left_out = opened(stack, size.sockets)
        times: dict[str, list[float]] = {one.name: [] for one in made}
        for number in range(rounds):
            say(f"fan-out, round {number + 1} of {rounds}")
            for one in made:
                move(one.pid, FIRST)
                times[one.name].append(round_of(one))
                move(one.pid, OTHERS)
    lap = Lap(size.sockets, made, times, "\n".join(f"Left out: {reason}." for reason in left_out))
    tables, goals = [], []
    if rounds:
        tables.append(speed(lap))
        goals += [*speed_goals(lap), *cpu_goals(lap)]
    if "memory" in parts:
        tables.append(memory(lap))
        goals.append(memory_goal(lap))
    return Findings(tables, goals)


def opened(stack: ExitStack, sockets: int) -> tuple[list[Peer], list[str]]:
    """Everyone with a crowd, and why others are not there."""
    made, left_out = [], []
    for name, opener in everyone(sockets).items():
        say(f"fan-out: {name}")
        try:
            one = stack.enter_context(opener())
        except click.ClickException as error:
            left_out.append(f"{name}: {error.message}")
            say(f"left out: {error.message}")
            continue
        one.name = name
        stack.callback(one.crowd.close)
        gather(one, sockets)
        move(one.pid, OTHERS)
        made.append(one)
        for other in made:
            breathe(other)
    return made, left_out


def gather(one: Peer, sockets: int) -> None:
    """Let the crowd in, and note what it costs."""
    before = resident(one.pid)
    one.crowd.join(sockets)
    time.sleep(1)  # memory is read once the allocator and the garbage collector are at rest
    one.memory = (resident(one.pid) - before) / sockets
    for _ in range(2):  # warm
        round_of(one)


def round_of(one: Peer) -> float:
    """Seconds from telling until the last socket has heard; the last receipt is in when this returns."""
    breathe(one)
    cpu = cpu_seconds(one.pid)
    heard = one.crowd.hear()
    began = time.perf_counter()
    one.tell()
    lasted = heard() - began
    one.crowd.rest()
    await_rest(one.pid)
    one.cpu.append(cpu_seconds(one.pid) - cpu)
    return lasted


def breathe(one: Peer) -> None:
    """Let our server hear from its sockets, if it has not for a while."""
    if one.breathes and time.monotonic() - one.breathed > BREATH_SECONDS:
        one.crowd.breathe()
        one.breathed = time.monotonic()
        await_rest(one.pid)


def speed(lap: Lap) -> Table:
    """One line a peer; the ratio is to the floor of the same rounds."""
    rows = []
    for one in lap.made:
        took = lap.times[one.name]
        cpu = [seconds / lap.sockets * 1e6 for seconds in lap.cpu(one.name)]
        rows.append(
            [one.name, spread(lap.shares(one.name)), spread_of_milliseconds(took), spread(cpu, ".1f", " µs")]
        )  # fmt: skip
    note = f"{CPU_NOTE}\n\n{lap.note}".strip()
    title = f"Fan-out to {lap.sockets:,} sockets, {len(lap.times[FLOOR])} rounds"
    return Table(title, ["", "of the floor's speed", "last socket", "CPU of a frame"], rows, note)


def speed_goals(lap: Lap) -> list[Goal]:
    """The shares of the floor, and who is faster."""
    goals = [
        Goal(
            f"fan-out through Redis, {name}",
            f"≥ {share:.2f} of the floor",
            spread(lap.shares(name)),
            lap.share(name) >= share,
        )
        for name, share in FLOOR_SHARE.items()
    ]
    others = [name for name in lap.times if name not in {FLOOR, *FLOOR_SHARE}]
    best = max(others, key=lap.share)
    ahead = lap.shares(OURS, best)
    met = statistics.median(ahead) > 1
    return [*goals, Goal("fan-out beside the fastest peer", "> 1", f"{spread(ahead)} of {best}", met)]


def cpu_goals(lap: Lap) -> list[Goal]:
    """What a receipt costs beside the frame, and what a frame costs beside one of the peer that needs least."""
    frames, both = lap.cpu(OURS), lap.cpu(RECEIPTS)
    receipts = [(with_them - without) / without for with_them, without in zip(both, frames, strict=True)]
    goals = [Goal("CPU of a receipt", "≤ 1.00 of a frame", spread(receipts), statistics.median(receipts) <= 1)]
    if UWS in lap.times:
        ratios = [own / its for own, its in zip(frames, lap.cpu(UWS), strict=True)]
        met = statistics.median(ratios) <= 1
        goals.append(Goal("CPU of a frame", "≤ 1.00 of uWebSockets.js", spread(ratios), met))
    return goals


def memory(lap: Lap) -> Table:
    """What a socket costs each of them."""
    rows = [[one.name, f"{one.memory:,.0f}"] for one in lap.made]
    return Table(f"Memory of the process for each of {lap.sockets:,} sockets", ["", "bytes"], rows, lap.note)


def memory_goal(lap: Lap) -> Goal:
    """Ours, with every socket another lead's."""
    most = max(one.memory for one in lap.made if one.name in FLOOR_SHARE)
    return Goal("memory a socket", f"≤ {SOCKET_BYTES:,} bytes", f"{most:,.0f}", most <= SOCKET_BYTES)
