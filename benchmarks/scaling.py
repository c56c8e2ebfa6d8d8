"""What many machines hold: a small model, its costs measured here, its forecasts checked against measurements here.

The model is a sum: each thing costs its CPU seconds, on a web process's core or on the one thread of a Redis primary.
"""

import itertools
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from msgspec import Struct
from redis import Redis

from benchmarks.contenders import Peer
from benchmarks.crowd import DistantCrowd
from benchmarks.fanout import round_of
from benchmarks.hooks import fresh
from benchmarks.processes import await_rest, cpu_seconds, knock, load, resident, say
from benchmarks.report import Findings, Goal, Table, milliseconds
from benchmarks.servers import Server, Speaker, serving, valkey
from benchmarks.size import Size
from room_server.state.heartbeat import ALIVE_SECONDS
from room_server.state.keys import Keys
from room_server.state.redis.pipeline import Script

PROCESSES = 8
"""Web processes of one machine: one for each of its cores."""
SOCKETS = 20_000
"""Sockets of a process: ROOM_SERVER_MAX_SOCKETS."""
MACHINES = (1, 10, 1_000)
BUSY = 0.5
"""Share of a core, and of Redis's thread, that may be planned with."""
WITHIN = 0.3
"""How far a forecast may be off."""
MANY = 4_000
SUBSCRIBERS, MESSAGES = 200, 300
"""No more than a socket's buffer holds."""


class Costs(Struct, frozen=True, kw_only=True):
    """What one thing costs: bytes, and CPU seconds of a web process or of Redis."""

    socket_bytes: float
    handshake: float
    frame: float
    """One state to one socket, its receipt not included."""
    hook: float
    hook_redis: float
    heard_redis: float
    """One change told to one web process."""
    beat_redis: float
    """A process's sign of life, once a second."""

    def last_socket(self, sockets: int) -> float:
        """Seconds until the last of a process's sockets has a change."""
        return sockets * self.frame

    def changes(self, processes: int) -> float:
        """Changes a second that one primary can tell so many processes."""
        return (BUSY - processes * self.beat_redis) / (self.hook_redis + processes * self.heard_redis)

    def hooks(self, processes: int) -> tuple[float, float]:
        """Attendees' hooks a second: what the web processes can take, and what one primary can."""
        return processes * BUSY / self.hook, (BUSY - processes * self.beat_redis) / self.hook_redis


def find(size: Size) -> Findings:
    """The costs, the forecasts for one, ten and a thousand machines, and how good forecasts are."""
    half = size.sockets // 2
    with serving() as server, Redis.from_url(server.redis_url) as redis, valkey() as url:
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)), answers=False)
        peer = Peer(server.pid, crowd, Speaker(server).change)
        empty, taken, times = resident(server.pid), [], []
        for more in (half, size.sockets - half):
            say(f"scaling: {more:,} sockets more")
            crowd.join(more)
            time.sleep(1)  # as in fanout.gather
            taken.append((resident(server.pid) - empty) / 2**20)
            times.append(statistics.median(round_of(peer) for _ in range(size.rounds)) * 1000)
        crowd.close()
        say("scaling: hooks, handshakes, Redis")
        costs = Costs(
            socket_bytes=taken[0] * 2**20 / half,
            frame=times[0] / 1000 / half,
            **asked(server, redis),
            heard_redis=told(url),
            beat_redis=beating(url),
        )
    checks = [
        check("memory of twice as many sockets, MB", size.sockets * costs.socket_bytes / 2**20, taken[1]),
        check("a change to twice as many, ms to the last", costs.last_socket(size.sockets) * 1000, times[1]),
    ]
    return Findings([prices(costs), forecast(costs)], checks)


def asked(server: Server, redis: Redis) -> dict[str, float]:
    """What hooks and handshakes cost, once the crowd has gone."""
    leads = itertools.count(10**6)
    await_rest(server.pid)
    before, redis_before = cpu_seconds(server.pid), used(redis)
    load(server.port, 64, server.entered(fresh(leads, MANY)))
    hook, hook_redis = cpu_seconds(server.pid) - before, used(redis) - redis_before
    await_rest(server.pid)
    before = cpu_seconds(server.pid)
    knock(server.port, 200, server.handshakes(fresh(leads, MANY)))
    handshake = cpu_seconds(server.pid) - before
    return {"hook": hook / MANY, "hook_redis": hook_redis / MANY, "handshake": handshake / MANY}


def used(redis: Redis) -> float:
    """CPU seconds of the server so far."""
    info = redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def told(url: str) -> float:
    """CPU seconds of Redis for one message to one subscriber."""
    with Redis.from_url(url) as redis, subscribed(url):
        before = used(redis)
        for _ in range(MESSAGES):
            redis.execute_command("SPUBLISH", "rooms", b"x" * 400)
        return (used(redis) - before) / MESSAGES / SUBSCRIBERS


@contextmanager
def subscribed(url: str) -> Iterator[None]:
    """Subscribers that leave what they hear to the kernel: what they cost is not asked here."""
    with ExitStack() as stack:
        for _ in range(SUBSCRIBERS):
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.connect(url.removeprefix("unix://"))
            line.sendall(b"SSUBSCRIBE rooms\r\n")
            assert line.recv(1024)
        yield


def beating(url: str) -> float:
    """CPU seconds of Redis for one sign of life, with the counts of a few rooms in it."""
    keys, script = Keys(1), Script.read("heartbeat").text.decode()
    with Redis.from_url(url) as redis:
        sha = redis.script_load(script)
        places = [keys.nodes(keys.tags[0]), keys.reports(keys.tags[0])]
        before = used(redis)
        for number in range(MESSAGES):
            redis.evalsha(sha, 2, *places, f"host-{number}", b"x" * 600, ALIVE_SECONDS * 1000)
        return (used(redis) - before) / MESSAGES


def prices(costs: Costs) -> Table:
    """The costs as people read them."""
    rows = [
        ["a socket that is open", f"{costs.socket_bytes:,.0f} bytes", "–"],
        ["a handshake", f"{costs.handshake * 1e6:.0f} µs", "–"],
        ["a change, for each socket", f"{costs.frame * 1e6:.1f} µs", "–"],
        ["a change, for each web process", "–", f"{costs.heard_redis * 1e6:.1f} µs"],
        ["a hook", f"{costs.hook * 1e6:.0f} µs", f"{costs.hook_redis * 1e6:.0f} µs"],
        ["a web process, each second", "–", f"{costs.beat_redis * 1e6:.0f} µs"],
    ]
    return Table("What things cost", ["", "a web process's core", "the thread of a Redis primary"], rows)


def forecast(costs: Costs) -> Table:
    """One machine, ten, a thousand; every socket in one room, which is the hardest."""
    rows = []
    for machines in MACHINES:
        processes = machines * PROCESSES
        web, redis = costs.hooks(processes)
        rows.append([
            f"{machines:,}",
            f"{processes * SOCKETS:,}",
            f"{processes * SOCKETS * costs.socket_bytes / 2**30:,.1f} GB",
            milliseconds(costs.last_socket(SOCKETS)),
            f"{SOCKETS * costs.handshake:.1f} s",
            f"{max(costs.changes(processes), 0):,.0f}",
            f"{web:,.0f}",
            f"{max(redis, 0):,.0f}",
        ])  # fmt: skip
    head = ["machines", "sockets", "memory", "a change's last socket", "all come back within",
            "changes/s of one room", "hooks/s of the web", "hooks/s of one primary"]  # fmt: skip
    note = f"{PROCESSES} web processes a machine, {SOCKETS:,} sockets each, {BUSY:.0%} of each core planned with."
    return Table("Forecast", head, rows, note)


def check(what: str, said: float, was: float) -> Goal:
    """A forecast beside its measurement."""
    return Goal(f"forecast of {what}", f"within {WITHIN:.0%}", f"{said:.1f} / {was:.1f}", abs(said / was - 1) <= WITHIN)
