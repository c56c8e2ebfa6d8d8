"""Two web processes on two cores beside one: what a second one adds, and what being two costs.

They share one address (`room-server web --workers 2`). With fewer than four cores the crowd, Redis and the load are on
the second core, too; the CPU seconds of a hook and of a frame show what does not depend on that.
"""

import itertools
import statistics
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from benchmarks.contenders import Peer
from benchmarks.crowd import DistantCrowd
from benchmarks.embedded import CALLERS, Rates
from benchmarks.fanout import breathe, round_of
from benchmarks.hooks import fresh
from benchmarks.processes import CORES, FIRST, OTHERS, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import Speaker, running, valkey
from benchmarks.size import Size

NUMBERS = (1, 2)
"""Of web processes."""
ENOUGH = 4
"""Cores: one for each web process, one for Redis, one for the load and the crowds."""
TIMES = 1.6 if CORES >= ENOUGH else 1.0
"""The hooks of two beside those of one, to reach."""
COSTLIER = 1.25
"""A hook's CPU, and a frame's, of two beside one, at most."""


class Pair(Struct):
    """One or two web processes, and their rounds."""

    number: int
    peer: Peer
    hooks: Rates
    times: list[float]
    """Seconds of each broadcast."""

    def frames(self, sockets: int) -> list[float]:
        """CPU seconds of a frame, by round."""
        return [cpu / sockets for cpu in self.peer.cpu]


def find(size: Size) -> Findings:
    """Both in turn; the first round of each is for warming."""
    leads = itertools.count(10**6)
    with ExitStack() as stack:
        made = [opened(stack, number, size.sockets) for number in NUMBERS]
        for number in range(size.rounds + 1):
            say(f"web processes, round {number} of {size.rounds}")
            for one in made:
                breathe(one.peer)
                one.times.append(round_of(one.peer))
                one.hooks.send(fresh(leads, size.hooks))
    for one in made:
        del one.times[0], one.peer.cpu[0], one.hooks.rates[0], one.hooks.costs[0]
    return told(made, size.sockets)


def opened(stack: ExitStack, number: int, sockets: int) -> Pair:
    """So many web processes, each on a core, with a crowd."""
    url = stack.enter_context(valkey())
    cores = FIRST | set(sorted(OTHERS)[: number - 1])
    more = ["--workers", str(number)] if number > 1 else []
    server = stack.enter_context(running({"ROOM_SERVER_REDIS_URL": url}, more=more, cores=cores))
    crowd = DistantCrowd(server.port, server.handshakes(range(1, sockets + 1)))
    stack.callback(crowd.close)
    peer = Peer(server.pid, crowd, Speaker(server).change, breathes=True)
    crowd.join(sockets)
    return Pair(number, peer, Rates(server, [], []), [])


def told(made: Sequence[Pair], sockets: int) -> Findings:
    """The table and the goals."""
    rows = [
        [f"{one.number} web process{'es' * (one.number > 1)}", spread(one.hooks.rates, ",.0f"),
         spread([cost * 1e6 for cost in one.hooks.costs], ".0f", " µs"), spread_of_milliseconds(one.times),
         spread([cost * 1e6 for cost in one.frames(sockets)], ".1f", " µs")]
        for one in made
    ]  # fmt: skip
    alone, both = made
    faster = ratios(both.hooks.rates, alone.hooks.rates)
    costs = {
        "hook": ratios(both.hooks.costs, alone.hooks.costs),
        "frame": ratios(both.frames(sockets), alone.frames(sockets)),
    }
    goals = [
        Goal(f"hooks of two web processes, of those of one, on {CORES} cores", f"≥ {TIMES:g} times",
             spread(faster), statistics.median(faster) >= TIMES),
        *(Goal(f"CPU of a {what} with two web processes, of that with one", f"≤ {COSTLIER:.2f} times",
               spread(costlier), statistics.median(costlier) <= COSTLIER) for what, costlier in costs.items()),
    ]  # fmt: skip
    shared = "" if CORES >= ENOUGH else f"On {CORES} cores Redis, the load and the crowd share the second one."
    head = ["", "hooks/s", "CPU of each", f"a change to {sockets:,} sockets", "CPU of a frame"]
    title = f"Two web processes on two cores beside one, {CALLERS} callers, {len(alone.times)} rounds"
    return Findings([Table(title, head, rows, shared)], goals)


def ratios(own: Sequence[float], other: Sequence[float]) -> list[float]:
    """Of the same rounds."""
    return [one / base for one, base in zip(own, other, strict=True)]
