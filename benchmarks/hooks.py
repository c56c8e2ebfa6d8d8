"""Hooks a second, durable, the whole path: a lead's token is verified, the facts are known, decided on and committed.

Each hook is another lead that enters a live webinar. Beside it plain Starlette endpoints that do the same by redis-py
(peers/plain_hooks.py). The load is a C program on another core, where Valkey is, too; what one core can do follows from
the CPU seconds of the server.
"""

import itertools
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from benchmarks.processes import await_port, cpu_seconds, free_port, load, module, percentile, program, say
from benchmarks.report import Findings, Goal, Table, milliseconds, spread
from benchmarks.servers import SECRET, Server, Speaker, running, serving, valkey
from benchmarks.size import Size

CALLERS = (1, 64, 256)
OURS = "room-server"
LINE, POOL = "Starlette, one command after the other", "Starlette, a connection for each command"
KNOWN = ", loading nothing"
PEERS = {LINE: ("line",), POOL: ("pool",), LINE + KNOWN: ("line", "known"), POOL + KNOWN: ("pool", "known")}
"""The words of peers/plain_hooks.py for each. Our server loads nothing either: it has a copy of the room."""
TIMES = {LINE: 2.5, LINE + KNOWN: 2.5, POOL: 1.3, POOL + KNOWN: 1.3}
GOAL_CALLERS = 64
EIGHTH = 8
"""What is so much slower sends only a part."""


class Run(Struct):
    """All rounds of one server with so many callers."""

    rates: list[float]
    costs: list[float]
    """CPU seconds of the server for each hook."""
    took: list[float]


Runs = dict[tuple[str, int], Run]


def find(size: Size) -> Findings:
    """Every server with every number of callers, in turn; the first round is for warming."""
    leads = itertools.count(1)
    runs: Runs = {(name, callers): Run([], [], []) for callers in CALLERS for name in (OURS, *PEERS)}
    with ExitStack() as stack:
        servers = {OURS: stack.enter_context(serving())}
        Speaker(servers[OURS])
        for name, words in PEERS.items():
            servers[name] = stack.enter_context(plain(*words))
        for server in servers.values():
            send(Run([], [], []), server, GOAL_CALLERS, fresh(leads, size.hooks // EIGHTH))
        for number in range(size.rounds):
            say(f"hooks, round {number + 1} of {size.rounds}")
            for (name, callers), run in runs.items():
                slow = callers == 1 or name.startswith(LINE)
                send(run, servers[name], callers, fresh(leads, size.hooks // (EIGHTH if slow else 1)))
    return told(runs, size.rounds)


@contextmanager
def plain(*words: str) -> Iterator[Server]:
    """The plain endpoint, with the first core to itself, and a live webinar in a Valkey of its own."""
    with valkey() as url:
        with running({"ROOM_SERVER_REDIS_URL": url}) as ours:
            Speaker(ours)
        port = free_port()
        with program([*module("benchmarks.peers.plain_hooks"), str(port), url, SECRET, *words]) as child:
            await_port(port, child)
            yield Server(port, child.pid, url)


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
    run.took += done.took


def told(runs: Runs, rounds: int) -> Findings:
    """The table and the goals."""
    rows = []
    for (name, callers), run in runs.items():
        cost = statistics.median(run.costs)
        rows.append([
            f"{callers} callers, {name}" if callers > 1 else f"1 caller, {name}",
            spread(run.rates, ",.0f"),
            "–" if name == OURS else spread(times(runs, name, callers)),
            f"{cost * 1e6:.0f} µs",
            f"{1 / max(cost, 1e-9):,.0f}",
            milliseconds(percentile(run.took, 0.5)),
            milliseconds(percentile(run.took, 0.99)),
        ])  # fmt: skip
    head = ["", "hooks/s", "ours is so many times as fast", "CPU of each", "of one core a second", "p50", "p99"]
    return Findings(
        [Table(f"Hooks, each on disk before its answer, median of {rounds} rounds (lowest–highest)", head, rows)],
        [goal(runs, name) for name in PEERS],
    )


def goal(runs: Runs, name: str) -> Goal:
    """How our server is to stand beside a peer."""
    measured, least = times(runs, name, GOAL_CALLERS), TIMES[name]
    what = f"durable hooks, {GOAL_CALLERS} callers, beside {name}"
    return Goal(what, f"≥ {least:g} times", spread(measured), statistics.median(measured) >= least)


def times(runs: Runs, name: str, callers: int) -> list[float]:
    """How many times as fast as this peer our server was, in each round."""
    ours, others = runs[OURS, callers].rates, runs[name, callers].rates
    return [one / other for one, other in zip(ours, others, strict=True)]
