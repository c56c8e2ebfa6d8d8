"""Hooks a second, durable, the whole path: a lead's token is verified, the records loaded, decided on, committed.

Each hook is another lead that enters a live webinar. Beside it the same server without shared pipelines. The load is
a C program on another core, where Valkey is, too; what one core can do follows from the CPU seconds of the server.
"""

import itertools
import statistics
from collections.abc import Iterator
from contextlib import ExitStack

from msgspec import Struct

from benchmarks.processes import cpu_seconds, load, percentile, say
from benchmarks.report import Findings, Goal, Table, milliseconds
from benchmarks.servers import PRODUCT, Server, Speaker, serving
from benchmarks.size import Size

CALLERS = (1, 64, 256)
SHARED = "room-server"
POOL = "each command on a connection of its own"
LINE = "one command after the other"
LAUNCHERS = {
    SHARED: [PRODUCT],
    POOL: ["benchmarks.peers.unshared", "pool"],
    LINE: ["benchmarks.peers.unshared", "line"],
}
OVERRUN = (LINE, 256)
"""So many would wait longer than a hook may take, and be refused."""
TO_REACH, TIMES, GOAL_CALLERS = 5_000, 1.5, 64
EIGHTH = 8
"""What is so much slower sends only a part."""


class Run(Struct):
    """All rounds of one server with so many callers."""

    rates: list[float]
    costs: list[float]
    """CPU seconds of the server for each hook."""
    took: list[float]
    clients: list[float]
    """Share of a core that the client needed."""

    def rate(self) -> float:
        """Hooks a second."""
        return statistics.median(self.rates)


Runs = dict[tuple[str, int], Run]


def find(size: Size) -> Findings:
    """Every server with every number of callers, in turn; the first round is for warming."""
    leads = itertools.count(1)
    kinds = [(name, callers) for callers in CALLERS for name in LAUNCHERS if (name, callers) != OVERRUN]
    runs: Runs = {kind: Run([], [], [], []) for kind in kinds}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(launcher)) for name, launcher in LAUNCHERS.items()}
        for server in servers.values():
            Speaker(server)
            send(Run([], [], [], []), server, 64, fresh(leads, size.hooks // EIGHTH))
        for number in range(size.rounds):
            say(f"hooks, round {number + 1} of {size.rounds}")
            for (name, callers), run in runs.items():
                slow = callers == 1 or name == LINE
                send(run, servers[name], callers, fresh(leads, size.hooks // (EIGHTH if slow else 1)))
    return told(runs, size.rounds)


def fresh(leads: Iterator[int], number: int) -> list[int]:
    """Leads that were not here before."""
    return list(itertools.islice(leads, number))


def send(run: Run, server: Server, callers: int, leads: list[int]) -> None:
    """One round."""
    requests = server.entered(leads)
    before = cpu_seconds(server.pid)
    done = load(server.port, min(callers, len(leads)), requests)
    run.costs.append((cpu_seconds(server.pid) - before) / len(leads))
    run.rates.append(len(leads) / done.seconds)
    run.clients.append(done.client_cpu / done.seconds)
    run.took += done.took


def told(runs: Runs, rounds: int) -> Findings:
    """The table and the goals."""
    rows = []
    for (name, callers), run in runs.items():
        cost = statistics.median(run.costs)
        rows.append([
            f"{callers} callers, {name}" if callers > 1 else f"1 caller, {name}",
            f"{run.rate():,.0f}",
            f"{ratio(runs, name, callers):.2f}",
            f"{cost * 1e6:.0f} µs",
            f"{1 / max(cost, 1e-9):,.0f}",
            milliseconds(percentile(run.took, 0.5)),
            milliseconds(percentile(run.took, 0.99)),
        ])  # fmt: skip
    head = ["", "hooks/s", "of ours", "CPU of each", "of one core a second", "p50", "p99"]
    ours = runs[SHARED, GOAL_CALLERS].rate()
    times = 1 / ratio(runs, POOL, GOAL_CALLERS)
    goals = [
        Goal(f"durable hooks a second, {GOAL_CALLERS} callers", f"≥ {TO_REACH:,}", f"{ours:,.0f}", ours >= TO_REACH),
        Goal("the same beside the endpoint without shared pipelines", f"≥ {TIMES} times", f"{times:.2f} times",
             times >= TIMES),
    ]  # fmt: skip
    return Findings([Table(f"Hooks, each on disk before its answer, median of {rounds} rounds", head, rows)], goals)


def ratio(runs: Runs, name: str, callers: int) -> float:
    """To our server's speed in the same rounds."""
    own, ours = runs[name, callers].rates, runs[SHARED, callers].rates
    return statistics.median(one / other for one, other in zip(own, ours, strict=True))
