"""How long one hook takes while ten thousand sockets are being written, and one change on its way to one socket."""

import socket
import threading
import time

from benchmarks.crowd import PING, PONG, DistantCrowd
from benchmarks.processes import Load, load, percentile, say
from benchmarks.report import Findings, Goal, Table, milliseconds
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size

GAP = 0.002
"""Seconds between a hook's answer and the next hook."""
DURING_SECONDS, SINGLE_SECONDS = 0.025, 0.002
WARMING = 50
"""Changes that are not measured."""


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


def during(size: Size) -> Findings:
    """One caller in the calm, then while one change after the other goes to all sockets, whose receipts come back."""
    number = size.changes
    with serving() as server:
        speaker = Speaker(server)
        calm, busy = (Caller(server, range(first, first + number)) for first in (1, 1 + number))
        calm.start()
        before = calm.took()
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)), answers=True, gives_way=True)
        crowd.join(size.sockets)
        say("hooks during a broadcast")
        busy.start()
        lasted = []
        while busy.is_alive():
            lasted.append(broadcast(crowd, speaker))
        crowd.close()
    took = busy.took()
    rows = [["nothing is written", *times(before)], [f"{len(lasted)} broadcasts in a row", *times(took)]]
    title = f"One caller's hooks while {size.sockets:,} sockets are written and answer, {number:,} each"
    note = f"A broadcast took {milliseconds(percentile(lasted, 0.5))} in the middle, receipts not counted."
    p99 = percentile(took, 0.99)
    goal = Goal(f"a hook's p99 during a broadcast to {size.sockets:,} sockets", f"< {milliseconds(DURING_SECONDS)}",
                milliseconds(p99), p99 < DURING_SECONDS)  # fmt: skip
    return Findings([Table(title, ["", "p50", "p99", "longest"], rows, note)], [goal])


def broadcast(crowd: DistantCrowd, speaker: Speaker) -> float:
    """Seconds from the hook to the last socket."""
    heard = crowd.hear()
    began = time.perf_counter()
    speaker.change()
    return heard() - began


def single(size: Size) -> Findings:
    """From the speaker's request to the frame at the one socket that there is."""
    took, answered = [], []
    with serving() as server, socket.create_connection(("127.0.0.1", server.port)) as listening:
        speaker = Speaker(server)
        listening.sendall(server.handshakes([1])[0])
        while b'{"type":"state"' not in listening.recv(65536):
            pass
        for _ in range(size.changes + WARMING):
            began = time.perf_counter()
            speaker.ask()
            took.append(heard(listening) - began)
            speaker.answered()
            answered.append(time.perf_counter() - began)
    del took[:WARMING], answered[:WARMING]
    title = f"One change to one socket, from the hook's request to the frame, {size.changes:,} times"
    p50 = percentile(took, 0.5)
    goal = Goal("one change to one socket, p50", f"< {milliseconds(SINGLE_SECONDS)}", milliseconds(p50),
                p50 < SINGLE_SECONDS)  # fmt: skip
    rows = [["the frame is there", *times(took)], ["the hook is answered, too", *times(answered)]]
    return Findings([Table(title, ["", "p50", "p99", "longest"], rows)], [goal])


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
