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
"""One socket in so many of the others' size: each change goes to all of them, again and again."""
FILLING = 30
"""Changes that the kernel surely takes for a peer that does not read."""
STALLED_SECONDS = 15.0
"""Before the first of them is cut off, 20 seconds after it fell behind: surely all are."""
RATIO = 1.25


def find(size: Size) -> Findings:
    """Change after change until nobody who does not read is left."""
    number = size.sockets // SHARE
    with serving() as server, ExitStack() as lurking:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, number + 1)), answers=True)
        crowd.join(number)
        alone = [broadcast(crowd, speaker) for _ in range(2 * FILLING)][FILLING:]
        before, files = resident(server.pid), open_files(server.pid)
        lurk(server, number, lurking)
        say("changes beside those who do not read")
        took, most = [], before
        while open_files(server.pid) >= files + number:
            took.append((time.perf_counter(), broadcast(crowd, speaker)))
            most = max(most, resident(server.pid))
        first_gone = time.perf_counter()
        await_files(server.pid, files)
        gone = time.perf_counter() - first_gone
        crowd.close()
    behind = [lasted for began, lasted in took if began > first_gone - STALLED_SECONDS]
    rows = [["nobody else is there", *times(alone)],
            ["the kernel still takes theirs", *times([lasted for _, lasted in took[:FILLING]])],
            ["they are behind", *times(behind)]]  # fmt: skip
    ratio = percentile(behind, 0.5) / percentile(alone, 0.5)
    title = f"A change to {number:,} readers beside {number:,} peers that never read, to the last reader"
    note = (f"The process grew by {(most - before) / number:,.0f} bytes for each of them, its socket included. "
            f"All were cut off within {gone:.1f} s of the first.")  # fmt: skip
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
            time.sleep(0.01)
    while open_files(server.pid) < files + number:
        time.sleep(0.01)
