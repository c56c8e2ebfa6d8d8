"""What watch time costs: storing what ten thousand leads were just seen in, and hooks meanwhile."""

import time
from typing import NamedTuple

from redis import Redis

from benchmarks.crowd import DistantCrowd
from benchmarks.latency import Caller, times
from benchmarks.processes import await_rest, cpu_seconds, say
from benchmarks.report import Findings, Goal, Table, milliseconds
from benchmarks.scaling import used
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size
from room_server.channels.watch_recorder import FLUSH_SECONDS
from room_server.state.keys import Keys

FLUSH_CPU = 0.3
"""Seconds of one core for a flush, to reach."""
HOOKS = 1000


class Cost(NamedTuple):
    """CPU seconds of as long as there is between two flushes."""

    web: float
    redis: float


def find(size: Size) -> Findings:
    """The same seconds at rest, and after all sockets said a word; in most rounds these have the flush in them."""
    rest, busy = [], []
    with serving() as server, Redis.from_url(server.redis_url) as redis:
        Speaker(server)  # who starts the webinar
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)))
        crowd.join(size.sockets)
        for number in range(min(size.rounds, 3)):
            say(f"watch time, round {number + 1}")
            crowd.breathe()
            time.sleep(2 * FLUSH_SECONDS)  # all that was seen is stored
            rest.append(cost(server, redis))
            crowd.breathe()
            await_rest(server.pid)
            busy.append(cost(server, redis))
        calm = hooks(server, 10**6)
        crowd.breathe()
        await_rest(server.pid)
        beside = hooks(server, 10**6 + HOOKS)
        stored = redis.hlen(Keys(1).watch("w"))
        crowd.close()
    assert stored >= size.sockets, stored
    web = max(one.web for one in busy) - min(one.web for one in rest)
    of_redis = max(one.redis for one in busy) - min(one.redis for one in rest)
    rows = [["nothing is stored", *times(calm)], [f"{size.sockets:,} leads are stored", *times(beside)]]
    note = f"A flush of {size.sockets:,} leads: {milliseconds(web)} of the web process's core, " \
           f"{milliseconds(of_redis)} of Redis' thread."  # fmt: skip
    table = Table("Watch time: one caller's hooks beside the flush", ["", "p50", "p99", "longest"], rows, note)
    goal = Goal(f"a flush of the watch time of {size.sockets:,} leads, CPU", f"< {milliseconds(FLUSH_CPU)}",
                milliseconds(web), web < FLUSH_CPU)  # fmt: skip
    return Findings([table], [goal])


def cost(server: Server, redis: "Redis") -> Cost:
    """What the next seconds cost."""
    before, redis_before = cpu_seconds(server.pid), used(redis)
    time.sleep(FLUSH_SECONDS)  # what is measured: all that happens in that time
    return Cost(cpu_seconds(server.pid) - before, used(redis) - redis_before)


def hooks(server: Server, first: int) -> list[float]:
    """How long each of some hooks took, one after the other."""
    caller = Caller(server, range(first, first + HOOKS))
    caller.start()
    return caller.took()
