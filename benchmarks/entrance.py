"""Everybody enters: within five seconds of the start each of a waiting crowd sends a hook, with a token of its own.

The hooks come evenly, each on a connection of its own, whether those before are answered or not: what waits for the
server counts. The start goes to all sockets at the same time, and their receipts come back. Each round has a server of
its own, since a webinar starts once.
"""

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from benchmarks.crowd import DistantCrowd
from benchmarks.processes import Load, await_rest, cpu_seconds, pace, percentile, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size

SECONDS = 5.0
"""All enter within so many of the start."""
LATEST = 1.05
"""Times that, until the last hook is answered; to reach."""
CALM_SHARE = 10
"""In the calm afterwards hooks come so many times more slowly, for as long."""


class Side(NamedTuple):
    """Hooks of one round."""

    load: Load
    core: float
    """Share of its core that the server took, all that it did at the same time included."""


class Round(NamedTuple):
    """The crowd's hooks, and those in the calm."""

    entering: Side
    calm: Side


def find(size: Size) -> Findings:
    """All rounds."""
    rounds = []
    for number in range(size.rounds):
        say(f"entrance, round {number + 1} of {size.rounds}")
        rounds.append(enter(size.sockets))
    return told(size.sockets, rounds)


def enter(people: int) -> Round:
    """A start that all sockets hear, and everybody's hook; then others' in the calm."""
    with serving() as server, ThreadPoolExecutor(1) as beside:
        crowd = DistantCrowd(server.port, server.handshakes(range(1, people + 1)), answers=True, gives_way=True)
        crowd.join(people)
        hooks = server.entered(range(1, people + 1))
        others = server.entered(range(10**6, 10**6 + people // CALM_SHARE))
        await_rest(server.pid)
        heard = crowd.hear()
        Speaker(server)  # who starts the webinar
        entering = beside.submit(paced, server, hooks)
        heard()
        crowd.rest()
        done = entering.result()
        await_rest(server.pid)
        calm = paced(server, others)
        crowd.close()
    return Round(done, calm)


def paced(server: Server, hooks: Sequence[bytes]) -> Side:
    """Hooks over five seconds."""
    before = cpu_seconds(server.pid)
    done = pace(server.port, hooks, SECONDS)
    return Side(done, (cpu_seconds(server.pid) - before) / done.seconds)


def told(people: int, rounds: Sequence[Round]) -> Findings:
    """The table and the goals."""
    rows = [
        row(f"{people:,} in the {SECONDS:g} s from the start on", [one.entering for one in rounds]),
        row(f"{people // CALM_SHARE:,} in {SECONDS:g} s of calm", [one.calm for one in rounds]),
    ]
    last = [one.entering.load.seconds / SECONDS for one in rounds]
    refused = sum(one.entering.load.refused for one in rounds)
    goals = [
        Goal(f"of {people:,} who enter within {SECONDS:g} s of the start, refused", "none", f"{refused:,}",
             refused == 0),
        Goal(f"the last of them is answered, of the {SECONDS:g} s", f"≤ {LATEST:.2f}", spread(last),
             statistics.median(last) <= LATEST),
    ]  # fmt: skip
    head = ["", "p50", "p99", "longest", "the server's core", "refused"]
    title = f"A crowd of {people:,} enters: hooks, each on its own connection, {len(rounds)} rounds"
    return Findings([Table(title, head, rows)], goals)


def row(name: str, sides: Sequence[Side]) -> list[str]:
    """The figures of all rounds."""
    shown = [spread_of_milliseconds([percentile(one.load.took, share) for one in sides]) for share in (0.5, 0.99, 1)]
    core = spread([100 * one.core for one in sides], ".0f", " %")
    return [name, *shown, core, f"{sum(one.load.refused for one in sides):,}"]
