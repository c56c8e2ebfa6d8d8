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
    """CPU seconds of some seconds, and of each hook in them how long it took."""

    web: float
    redis: float
    took: list[float]


def find(size: Size) -> Findings:
    """The same seconds at rest, and after all sockets said a word; in most rounds these have the flush in them."""
    with serving() as server, Redis.from_url(server.redis_url) as redis:
        Speaker(server)  # who starts the webinar
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)))
        crowd.join(size.sockets)
        leads = iter(range(10**6, 10**8, HOOKS))
        rest, busy = [], []
        for number in range(min(size.rounds, 3)):
            say(f"watch time, round {number + 1}")
            crowd.breathe()
            time.sleep(2 * FLUSH_SECONDS)  # all that was seen is stored
            rest.append(measured(server, redis, next(leads)))
            crowd.breathe()
            await_rest(server.pid)
            busy.append(measured(server, redis, next(leads)))
        stored = redis.hlen(Keys(1).watch("w"))
        crowd.close()
    assert stored >= size.sockets, stored
    web = max(cost.web for cost in busy) - min(cost.web for cost in rest)
    of_redis = max(cost.redis for cost in busy) - min(cost.redis for cost in rest)
    rows = [
        [name, *times([second for cost in costs for second in cost.took])]
        for name, costs in (("nothing is stored", rest), (f"{size.sockets:,} leads are stored", busy))
    ]
    cpu = f"A flush of {size.sockets:,} leads: {milliseconds(web)} of the web process's core, " \
          f"{milliseconds(of_redis)} of Redis' thread."  # fmt: skip
    table = Table("Watch time: one caller's hooks beside the flush", ["", "p50", "p99", "longest"], rows, cpu)
    goal = Goal(f"a flush of the watch time of {size.sockets:,} leads, CPU", f"< {milliseconds(FLUSH_CPU)}",
                milliseconds(web), web < FLUSH_CPU)  # fmt: skip
    return Findings([table], [goal])


def measured(server: Server, redis: "Redis", first: int) -> Cost:
    """What the seconds between two flushes, and the one among them, cost; hooks are sent all the while."""
    caller = Caller(server, range(first, first + HOOKS))
    before, redis_before = cpu_seconds(server.pid), used(redis)
    until = time.perf_counter() + FLUSH_SECONDS
    caller.start()
    took = caller.took()
    time.sleep(max(until - time.perf_counter(), 0))
    return Cost(cpu_seconds(server.pid) - before, used(redis) - redis_before, took)
