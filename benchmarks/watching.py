"""What watch time costs: storing what ten thousand leads were just seen in, and hooks meanwhile."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from redis import Redis

from benchmarks.contenders import Peer
from benchmarks.crowd import DistantCrowd
from benchmarks.fanout import round_of
from benchmarks.latency import Caller, times
from benchmarks.processes import await_rest, cpu_seconds, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.scaling import used
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size
from room_server.channels.watch_recorder import FLUSH_SECONDS
from room_server.state.keys import Keys

OF_CHANGE = 1.0
"""A flush's CPU, of that of a change to as many sockets and their receipts; to reach."""


class Cost(NamedTuple):
    """CPU seconds."""

    web: float
    redis: float

    def above(self, rest: "Cost") -> "Cost":
        """What is left without those of rest."""
        return Cost(self.web - rest.web, self.redis - rest.redis)


class Round(NamedTuple):
    """What one round came to."""

    flush: Cost
    change: float
    """CPU seconds of the web process for a change to all sockets and their receipts."""


def find(size: Size) -> Findings:
    """The seconds between two flushes at rest, and after all sockets said a word; then hooks beside both."""
    rounds = []
    with serving() as server, Redis.from_url(server.redis_url) as redis:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)), answers=True)
        crowd.join(size.sockets)
        peer = Peer(server.pid, crowd, speaker.change)
        for number in range(size.rounds):
            say(f"watch time, round {number + 1} of {size.rounds}")
            round_of(peer)
            time.sleep(FLUSH_SECONDS)  # all that was seen is stored
            rest = cost(server, redis)
            crowd.breathe()
            await_rest(server.pid)
            rounds.append(Round(cost(server, redis).above(rest), peer.cpu[-1]))
        number = 2 * size.changes  # they take longer than there is between two flushes
        calm = hooks(server, range(10**6, 10**6 + number))
        crowd.breathe()
        await_rest(server.pid)
        beside = hooks(server, range(2 * 10**6, 2 * 10**6 + number))
        stored = redis.hlen(Keys(1).watch("w"))
        crowd.close()
    assert stored >= size.sockets, stored
    return told(size, rounds, [calm, beside])


def told(size: Size, rounds: Sequence[Round], took: Sequence[list[float]]) -> Findings:
    """The tables and the goal."""
    costs = {
        "a flush, the web process's core": [one.flush.web for one in rounds],
        "a flush, Redis' thread": [one.flush.redis for one in rounds],
        "a change to as many sockets and their receipts": [one.change for one in rounds],
    }
    times_of_change = [one.flush.web / one.change for one in rounds]
    kinds = ["nothing is stored", f"{size.sockets:,} leads are stored"]
    tables = [
        Table(f"CPU of storing the watch time of {size.sockets:,} leads, {size.rounds} rounds", ["", "CPU"],
              [[name, spread_of_milliseconds(values)] for name, values in costs.items()]),
        Table(f"One caller's {len(took[0]):,} hooks beside the flush", ["", "p50", "p99", "longest"],
              [[name, *times(values)] for name, values in zip(kinds, took, strict=True)]),
    ]  # fmt: skip
    goal = Goal(f"CPU of storing the watch time of {size.sockets:,} leads, of a change and its receipts",
                f"≤ {OF_CHANGE:g} times", spread(times_of_change),
                statistics.median(times_of_change) <= OF_CHANGE)  # fmt: skip
    return Findings(tables, [goal])


def cost(server: Server, redis: "Redis") -> Cost:
    """What the next seconds cost; there is one flush in them."""
    before, redis_before = cpu_seconds(server.pid), used(redis)
    time.sleep(FLUSH_SECONDS)  # what is measured: all that happens in that time
    return Cost(cpu_seconds(server.pid) - before, used(redis) - redis_before)


def hooks(server: Server, leads: range) -> list[float]:
    """How long each of some hooks took, one after the other."""
    caller = Caller(server, leads)
    caller.start()
    return caller.took()
