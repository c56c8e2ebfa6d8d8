"""Readers beside as many peers that never read: how long a change takes to the last reader, what the others cost."""

import socket
import time
from contextlib import ExitStack

from benchmarks.crowd import AT_ONCE, DistantCrowd
from benchmarks.latency import broadcast, times
from benchmarks.processes import await_files, open_files, percentile, resident, say
from benchmarks.report import Findings, Goal, Table
from benchmarks.servers import Server, Speaker, serving
from benchmarks.size import Size

SHARE = 10
"""One socket in so many of the others' size."""
ROUNDS = 40
FILLING_SECONDS = 12.0
"""Of changes as fast as they go, until the kernel takes no more for a peer that does not read."""
RATIO = 1.25
"""Of the time without them, at most."""


def find(size: Size) -> Findings:
    """The readers alone, beside the others, and what is left of these."""
    number = size.sockets // SHARE
    with serving() as server, ExitStack() as lurking:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, number + 1)), answers=True)
        crowd.join(number)
        alone = [broadcast(crowd, speaker) for _ in range(2 * ROUNDS)][ROUNDS:]
        memory, files = resident(server.pid), open_files(server.pid)
        lurk(server, number, lurking)
        say("changes beside those who do not read")
        until = time.monotonic() + FILLING_SECONDS
        while time.monotonic() < until:
            speaker.change()
        beside = [broadcast(crowd, speaker) for _ in range(ROUNDS)]
        grown = (resident(server.pid) - memory) / number
        stayed = open_files(server.pid) - files
        await_files(server.pid, files)
        gone = time.monotonic() - until
        crowd.close()
    ratio = percentile(beside, 0.5) / percentile(alone, 0.5)
    title = f"A change to the last of {number:,} readers beside as many peers that never read, {ROUNDS} times"
    rows = [["nobody else", *times(alone)], [f"{stayed:,} who are behind", *times(beside)]]
    note = f"The process grew by {grown:,.0f} bytes for each of them; the last was cut off after another {gone:.0f} s."
    goal = Goal("readers beside as many who never read", f"≤ {RATIO} of the time alone", f"{ratio:.2f}", ratio <= RATIO)
    return Findings([Table(title, ["", "p50", "p99", "longest"], rows, note)], [goal])


def lurk(server: Server, number: int, lurking: ExitStack) -> None:
    """So many peers that are let in and read nothing, not even the answer."""
    files = open_files(server.pid)
    for known, request in enumerate(server.handshakes(range(number + 1, 2 * number + 1)), 1):
        one = lurking.enter_context(socket.socket())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", server.port))
        one.sendall(request)
        while known % AT_ONCE == 0 and open_files(server.pid) < files + known:
            time.sleep(0.01)  # another process is waited for
    while open_files(server.pid) < files + number:
        time.sleep(0.01)  # another process is waited for
