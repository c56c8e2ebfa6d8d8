"""The benchmark itself: who runs where, when somebody is at rest, and goals that can fail. No figure is tested here."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks import (
    drops,
    embedded,
    entrance,
    evaluation,
    growth,
    handshakes,
    latency,
    rooms,
    site_events,
    watching,
    workers,
)
from benchmarks.__main__ import NAMES, measured, wanted
from benchmarks.compiling import remove_compiled
from benchmarks.contenders import FLOOR, OURS, RECEIPTS, UWS, Peer, everyone
from benchmarks.crowd import PING, PONG, Crowd
from benchmarks.embedded import EMBEDDED, OWN, Rates
from benchmarks.fanout import FLOOR_SHARE, SOCKET_BYTES, Lap, cpu_goals, memory_goal, speed_goals
from benchmarks.processes import Load, await_rest, cpu_seconds, pace, program
from benchmarks.report import LINE, Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import Server, handshake
from benchmarks.size import Size
from tests.support import wait_until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SERVER = Server(0, 0, "")
SIZE = Size()


def nobody(cpu: float = 0.0) -> Peer:
    """A peer that is told nothing; its rounds took so much CPU."""
    no_crowd: Any = None
    return Peer(0, no_crowd, lambda: None, cpu=[cpu])


def fanout_goals(slow: float) -> list[Goal]:
    times = {name: [slow if name in FLOOR_SHARE else 1.1] for name in everyone(1)} | {FLOOR: [1.0]}
    return speed_goals(Lap(10, [nobody() for _ in times], times, ""))


def fanout_cpu_goals(slow: float) -> list[Goal]:
    """A receipt costs as much of a frame as it should, or more; a frame as much as the peer's, or more."""
    made = [nobody(cpu) for cpu in (1.0 * slow, 2.0 * slow * slow, 1.0)]
    for one, name in zip(made, (OURS, RECEIPTS, UWS), strict=True):
        one.name, one.memory = name, SOCKET_BYTES * slow
    lap = Lap(10, made, {one.name: [1.0] for one in made}, "")
    return [*cpu_goals(lap), memory_goal(lap)]


def handshake_goals(slow: float) -> list[Goal]:
    rates = {handshakes.OURS: 10 / slow, handshakes.ENDPOINT: 1.0, handshakes.FLOOR: 20.0}
    return list(
        handshakes.told([handshakes.Gate(name, 0, 0, [], [rate], [1.0], [0.1]) for name, rate in rates.items()]).goals
    )


def during_goals(slow: float) -> list[Goal]:
    return list(latency.told(SIZE, [latency.Beside([0.001] * 9, [0.001 * slow] * 9, [0.1])]).goals)


def entrance_goals(slow: float) -> list[Goal]:
    calm, entering = (Load(5.0 * times, 1.0, int(times > 1), [0.001 * times] * 9) for times in (1.0, slow))
    return list(entrance.told(10, [entrance.Round(entrance.Side(entering, 0.5), entrance.Side(calm, 0.1))]).goals)


def drop_goals(slow: float) -> list[Goal]:
    contenders = [drops.Contender(name, [], lambda: None, [1 / slow]) for name in (drops.OURS, drops.PEER)]
    return list(drops.told(contenders).goals)


def watching_goals(slow: float) -> list[Goal]:
    done = watching.Round(watching.Cost(0.01 * slow, 0.01), 0.1)
    return list(watching.told(SIZE, [done], [[0.001], [0.001]]).goals)


def worker_goals(slow: float) -> list[Goal]:
    made = [
        workers.Pair(number, nobody(cost), Rates(SERVER, [rate], [cost]), [1.0])
        for number, cost, rate in ((1, 1.0, 1.0), (2, slow, 2 / slow))
    ]
    return list(workers.told(made, 10).goals)


def evaluation_goals(slow: float) -> list[Goal]:
    def result(leads: int, seconds: float) -> evaluation.Result:
        return evaluation.Result(leads, seconds, seconds, (1.0, 1.0), [0.001], [0.001 * slow], [0.002])

    return evaluation.goals([[result(1, 1.0)], [result(10, 1.0)], [result(100, 10.0 * slow)]])


def site_goals(slow: float) -> list[Goal]:
    runs = {
        with_site: [site_events.Result(1.0, seconds, 1, [0.001 * seconds])]
        for with_site, seconds in ((False, 1.0), (True, slow))
    }
    return list(site_events.told(10, runs).goals)


GOALS: dict[str, Callable[[float], list[Goal]]] = {
    "fanout": fanout_goals,
    "fanout, CPU and memory": fanout_cpu_goals,
    "handshakes": handshake_goals,
    "during": during_goals,
    "entrance": entrance_goals,
    "growth": lambda slow: growth.grown((1, 2, 3), (1_000, 1_000, 1_000 * slow), ([0.9], [0.9], [0.9 / slow])),
    "rooms": lambda slow: list(rooms.told(10, [rooms.Round(1.0, 0.1, slow, 1e-5 * slow, 1e-5)]).goals),
    "drops": drop_goals,
    "workers": worker_goals,
    "embedded": lambda slow: list(
        embedded.told({EMBEDDED: Rates(SERVER, [1 / slow], [1.0]), OWN: Rates(SERVER, [1.0], [1.0])}).goals
    ),
    "evaluation": evaluation_goals,
    "site": site_goals,
    "watching": watching_goals,
}


@pytest.mark.parametrize("goals", GOALS.values(), ids=GOALS)
def test_each_goal_is_met_by_a_fast_server_and_missed_by_a_slow_one(goals: Callable[[float], list[Goal]]) -> None:
    fast, slow = goals(1.0), goals(100.0)

    assert [goal.met for goal in fast] == [True] * len(fast)
    assert [goal.met for goal in slow] == [False] * len(slow)
    assert len(slow) > 0


def test_figures_show_the_median_and_the_spread() -> None:
    assert spread([0.99, 0.93, 0.96]) == "0.96 (0.93–0.99)"
    assert spread([1200.0, 800.0, 1000.0], ",.0f") == "1,000 (800–1,200)"
    assert spread_of_milliseconds([0.0024, 0.0012]) == "1.8 ms (1.2–2.4)"


def test_notes_are_lines_of_a_document() -> None:
    shown = Table("Waits", ["", "s"], [["a", "1.0"]], f"{'long ' * 40}\n\nLeft out: nobody.").markdown()

    assert max(map(len, shown.splitlines())) <= LINE
    assert shown.endswith("long\n\nLeft out: nobody.")


def test_a_part_that_fails_costs_no_other_its_figures() -> None:
    def fails() -> Findings:
        raise ExceptionGroup("of tasks", [KeyError("a mistake in the part")])

    failed: list[str] = []

    assert list(measured({"rooms": fails, "drops": lambda: Findings([])}, failed)) == [Findings([])]
    assert failed == ["rooms"]


def test_parts_are_run_by_their_names() -> None:
    assert list(wanted(SIZE, NAMES)) == [name for name in NAMES if name != "memory"]
    assert list(wanted(SIZE, ["memory", "drops"])) == ["fanout", "drops"]


def test_a_program_has_its_cores_from_the_first_moment_and_its_starter_keeps_its_own() -> None:
    own = os.sched_getaffinity(0)
    core = {min(own)}
    with program([sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"], cores=core) as child:
        assert child.stdout is not None
        assert child.stdout.read().split() == [str(one).encode() for one in core]
    assert os.sched_getaffinity(0) == own


SPINS = """
import itertools, sys, threading
ends = threading.Event()
threading.Thread(target=lambda: all(not ends.is_set() for _ in itertools.count())).start()
sys.stdin.readline()
ends.set()
sys.stdin.readline()
"""


async def test_rest_is_waited_for_while_any_thread_runs() -> None:
    with program([sys.executable, "-c", SPINS], cores=os.sched_getaffinity(0)) as child:
        assert child.stdin is not None
        await wait_until(lambda: cpu_seconds(child.pid) > 0.3, "it spins")
        rests = asyncio.create_task(asyncio.to_thread(await_rest, child.pid))
        begun = cpu_seconds(child.pid)
        await wait_until(lambda: cpu_seconds(child.pid) > begun + 0.3, "it spins on")
        assert not rests.done()
        child.stdin.write(b"\n")
        child.stdin.flush()
        await rests


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A port where `serve` takes connections; all of them are closed at the end, however it comes."""
    writers = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def test_a_crowd_rests_once_every_receipt_is_asked_for_and_sent() -> None:
    """The server sends the state first and asks for the receipts later, as ours does."""
    members: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def member(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        members.append((reader, writer))

    async with listening(member) as port:
        crowd = Crowd(port, [handshake(0)], answers=True)
        await asyncio.to_thread(crowd.join, 2)
        hears = asyncio.create_task(asyncio.to_thread(crowd.hear))
        for _, writer in members:
            writer.write(b"\x81\x01x")
        await hears
        rests = asyncio.create_task(asyncio.to_thread(crowd.rest))
        for number, (reader, writer) in enumerate(members):
            await asyncio.sleep(0.1)  # longer than a crowd that nobody is to ask listens on
            assert not rests.done()
            writer.write(PING + b"receipt" + bytes((number,)))
            assert await reader.readexactly(14) == PONG + b"receipt" + bytes((number,))
        await rests
        crowd.leave()


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load is a C program")
async def test_a_paced_load_sends_what_is_due_whoever_is_unanswered_and_counts_refusals() -> None:
    """The first is answered when the last has come; each has a connection of its own."""
    came = asyncio.Event()
    seen: list[bytes] = []
    closed: list[bool] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        seen.append(request)
        if len(seen) == 4:
            came.set()
        await came.wait()
        status = b"503 Service Unavailable" if b"refuse" in request else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
        assert await reader.read() == b""  # the connection was for this request only
        closed.append(True)

    requests = [f"GET /{word} HTTP/1.1\r\n\r\n".encode() for word in ("a", "refuse", "b", "c")]
    async with listening(answer) as port:
        try:
            done = await asyncio.to_thread(pace, port, requests, 0.2)
        finally:
            remove_compiled()
        await wait_until(lambda: len(closed) == len(requests), "the load has closed its connections")

    assert sorted(seen) == sorted(requests)
    assert done.refused == 1
    assert len(done.took) == len(requests)
    assert max(done.took) >= 0.15  # the first waited for the last, which was due then
