"""How long one hook takes while ten thousand sockets are being written, and one change on its way to one socket."""

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.contenders import FRAME
from benchmarks.crowd import PING, PONG, DistantCrowd
from benchmarks.processes import Load, await_rest, load, percentile, say
from benchmarks.report import Findings, Goal, Table, milliseconds, spread, spread_of_milliseconds
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size

GAP = 0.002
"""Seconds between a hook's answer and the next hook."""
OF_BROADCAST, OF_CALM, OF_FLOOR = 0.10, 4.0, 5.0
"""To reach: a hook's p99 during a broadcast, of the broadcast's time and of the p99 in the calm; one change to one
socket, of a durable write that Redis publishes."""
WARMING = 50
"""Changes that are not measured."""
STORE = b"SET bench %b\r\nSPUBLISH bench %b\r\n" % (b"x" * FRAME, b"x" * FRAME)


class Caller(threading.Thread):
    """One that enters one lead after the other, and what came of it."""

    def __init__(self, server: Server, leads: range) -> None:
        super().__init__(daemon=True)
        self._port, self._requests = server.port, server.entered(leads)
        self.load: Load | None = None

    def run(self) -> None:
        """Until all are in."""
        self.load = load(self._port, 1, self._requests, gap=GAP)

    def took(self) -> list[float]:
        """Seconds of each hook."""
        self.join()
        assert self.load is not None
        return self.load.took


class Beside(NamedTuple):
    """One round: seconds of each hook in the calm and while states are written, and of each broadcast."""

    calm: list[float]
    busy: list[float]
    lasted: list[float]


def during(size: Size) -> Findings:
    """One caller in the calm, then while one change after the other goes to all sockets, whose receipts come back."""
    rounds, number = [], size.changes // 2
    with serving() as server:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)), answers=True, gives_way=True)
        crowd.join(size.sockets)
        broadcast(crowd, speaker)  # warm
        for start in range(1, 2 * number * size.rounds, 2 * number):
            say("hooks during a broadcast")
            calm, busy = (Caller(server, range(first, first + number)) for first in (start, start + number))
            crowd.rest()
            await_rest(server.pid)
            calm.start()
            before = calm.took()
            busy.start()
            lasted = []
            while busy.is_alive():
                lasted.append(broadcast(crowd, speaker))
            rounds.append(Beside(before, busy.took(), lasted))
        crowd.close()
    return told(size, rounds)


def told(size: Size, rounds: Sequence[Beside]) -> Findings:
    """The table and the goals."""
    p99 = [percentile(one.busy, 0.99) for one in rounds]
    of_calm = [busy / percentile(one.calm, 0.99) for busy, one in zip(p99, rounds, strict=True)]
    of_broadcast = [busy / statistics.median(one.lasted) for busy, one in zip(p99, rounds, strict=True)]
    broadcasts = sum(len(one.lasted) for one in rounds)
    rows = [
        ["nothing is written", *spreads([one.calm for one in rounds])],
        [f"{broadcasts} broadcasts in a row", *spreads([one.busy for one in rounds])],
        ["a broadcast itself, receipts not counted", *spreads([one.lasted for one in rounds])],
    ]
    title = f"One caller's hooks while {size.sockets:,} sockets are written and answer, {len(rounds)} rounds of " \
            f"{size.changes // 2:,} hooks"  # fmt: skip
    what = f"a hook's p99 during a broadcast to {size.sockets:,} sockets"
    goals = [
        Goal(f"{what}, of the broadcast's time", f"≤ {OF_BROADCAST:.2f}", spread(of_broadcast),
             statistics.median(of_broadcast) <= OF_BROADCAST),
        Goal(f"{what}, of that in the calm", f"≤ {OF_CALM:g} times", spread(of_calm),
             statistics.median(of_calm) <= OF_CALM),
    ]  # fmt: skip
    return Findings([Table(title, ["", "p50", "p99", "longest"], rows)], goals)


def spreads(rounds: Sequence[Sequence[float]]) -> list[str]:
    """The middle, the 99th percentile and the longest of each round."""
    return [spread_of_milliseconds([percentile(took, share) for took in rounds]) for share in (0.5, 0.99, 1)]


def broadcast(crowd: DistantCrowd, speaker: Speaker) -> float:
    """Seconds from the hook to the last socket."""
    heard = crowd.hear()
    began = time.perf_counter()
    speaker.change()
    return heard() - began


class Single(NamedTuple):
    """One round of changes to one socket, seconds of each."""

    floor: list[float]
    there: list[float]
    answered: list[float]


def single(size: Size) -> Findings:
    """From the speaker's request to the frame at the one socket that there is; the floor in turn with it."""
    with (
        serving() as server,
        socket.create_connection(("127.0.0.1", server.port)) as listening,
        stored(server) as store,
    ):
        speaker = Speaker(server)
        listening.sendall(server.handshakes([1])[0])
        while b'{"type":"state"' not in listening.recv(65536):
            pass
        rounds = []
        for number in (WARMING, *[size.changes // size.rounds] * size.rounds):
            one = Single([], [], [])
            for _ in range(number):
                one.floor.append(store())
                began = time.perf_counter()
                speaker.ask()
                one.there.append(heard(listening) - began)
                speaker.answered()
                one.answered.append(time.perf_counter() - began)
            rounds.append(one)
    floor, there, answered = ([one[field] for one in rounds[1:]] for field in range(3))
    times = [statistics.median(own) / statistics.median(base) for own, base in zip(there, floor, strict=True)]
    title = f"One change to one socket, from the hook's request to the frame, {size.rounds} rounds of {len(floor[0]):,}"
    goal = Goal("one change to one socket, p50, of a durable write that Redis publishes", f"≤ {OF_FLOOR:g} times",
                spread(times), statistics.median(times) <= OF_FLOOR)  # fmt: skip
    rows = [
        ["floor: a write to disk, published to a subscriber", *spreads(floor)],
        ["the frame is there", *spreads(there)],
        ["the hook is answered, too", *spreads(answered)],
    ]
    return Findings([Table(title, ["", "p50", "p99", "longest"], rows)], [goal])


@contextmanager
def stored(server: Server) -> Iterator[Callable[[], float]]:
    """A function that writes a state to the server's Valkey and publishes it, and returns the seconds until heard."""
    with socket.socket(socket.AF_UNIX) as writing, socket.socket(socket.AF_UNIX) as hearing:
        for one in (writing, hearing):
            one.connect(server.redis_url.removeprefix("unix://"))
        hearing.sendall(b"SSUBSCRIBE bench\r\n")
        assert hearing.recv(1024)

        def store() -> float:
            began = time.perf_counter()
            writing.sendall(STORE)
            assert hearing.recv(4096)
            took = time.perf_counter() - began
            assert writing.recv(1024).startswith(b"+OK")
            return took

        yield store


def heard(listening: socket.socket) -> float:
    """The moment of the next frame; pings are answered."""
    while True:
        data = listening.recv(65536)
        moment = time.perf_counter()
        assert data, "the server closed the socket"
        frame = data
        if data.startswith(PING):
            frame = data[10:]
            listening.sendall(PONG + data[2:10])
        elif data[-10:-8] == PING:
            listening.sendall(PONG + data[-8:])
        if frame:
            return moment


def times(took: list[float]) -> list[str]:
    """The middle, the 99th percentile, the longest."""
    return [milliseconds(value) for value in (percentile(took, 0.5), percentile(took, 0.99), max(took))]
