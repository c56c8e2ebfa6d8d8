"""Whether more sockets cost more each, in time or in memory, and whether memory comes back when they leave."""

import statistics
import time
from contextlib import ExitStack

from benchmarks.contenders import FLOOR, OURS, Peer, everyone
from benchmarks.crowd import DistantCrowd
from benchmarks.fanout import SOCKET_BYTES, round_of
from benchmarks.processes import await_files, open_files, resident, say
from benchmarks.report import Findings, Goal, Table, milliseconds
from benchmarks.servers import Speaker, serving
from benchmarks.size import Size

FLAT = 1.10
"""The dearest size beside the middle one, to reach; the first sockets live in what the start has left over."""
WAVE_BYTES = 2**20
"""What the memory after the second wave and after any later one may differ by."""


def grow(size: Size) -> Findings:
    """One server, and the floor beside it, whose crowds grow."""
    rows, costs = [], []
    with ExitStack() as stack:
        openers = everyone(max(size.growth))
        floor, ours = (stack.enter_context(openers[name]()) for name in (FLOOR, OURS))
        empty, joined = resident(ours.pid), 0
        for sockets in size.growth:
            say(f"growth to {sockets:,}")
            for one in (floor, ours):
                one.crowd.join(sockets - joined)
            joined = sockets
            time.sleep(1)  # as in fanout.gather
            costs.append((resident(ours.pid) - empty) / sockets)
            rows.append([f"{sockets:,} sockets", *timed(floor, ours, size), f"{costs[-1]:,.0f}"])
        for one in (floor, ours):
            one.crowd.close()
    head = ["", "floor", "room-server", "frames/s", "of the floor", "bytes a socket"]
    table = Table(f"Growth: a change to all of a room's sockets, median of {size.rounds} rounds", head, rows)
    spread = f"{min(costs):,.0f} to {max(costs):,.0f}"
    low, high = size.growth[0], size.growth[-1]
    fine = max(costs) <= SOCKET_BYTES and max(costs) <= FLAT * statistics.median(costs)
    goal = Goal(f"memory a socket from {low:,} to {high:,} sockets", f"flat, ≤ {SOCKET_BYTES:,} bytes", spread, fine)
    return Findings([table], [goal])


def timed(floor: Peer, ours: Peer, size: Size) -> list[str]:
    """Both in turn; the first round is for warming."""
    rounds = [(round_of(floor), round_of(ours)) for _ in range(size.rounds + 1)][1:]
    base, own = (statistics.median(times) for times in zip(*rounds, strict=True))
    share = statistics.median(one / other for one, other in rounds)
    return [milliseconds(base), milliseconds(own), f"{ours.crowd.joined / own:,.0f}", f"{share:.2f}"]


def waves(size: Size) -> Findings:
    """Crowds that join, hear a change, and leave."""
    rows, after = [], []
    with serving() as server:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, size.sockets + 1)), answers=True)
        peer = Peer(server.pid, crowd, speaker.change)
        empty, files = resident(server.pid), open_files(server.pid)
        for number in range(1, size.waves + 1):
            say(f"wave {number} of {size.waves}")
            crowd.join(size.sockets)
            round_of(peer)
            inside = resident(server.pid)
            crowd.leave()
            await_files(server.pid, files)
            after.append(resident(server.pid))
            rows.append(
                [f"wave {number}", f"{(inside - empty) / 2**20:.1f} MB", f"{(after[-1] - empty) / 2**20:.1f} MB"]
            )
        crowd.close()
    title = f"Waves of {size.sockets:,} sockets: memory above that of the empty server"
    grown = max(after[2:]) - after[1]
    what, measured = f"memory of {size.waves} waves of {size.sockets:,}", f"{grown / 2**20:+.1f} MB"
    goal = Goal(what, "no growth after the second", measured, grown <= WAVE_BYTES)
    return Findings([Table(title, ["", "while they are there", "when they have left"], rows)], [goal])
