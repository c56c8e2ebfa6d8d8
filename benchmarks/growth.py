"""Whether more sockets cost more each, in time or in memory, and whether memory comes back when they leave."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.contenders import FLOOR, OURS, Peer, everyone
from benchmarks.crowd import DistantCrowd
from benchmarks.fanout import SOCKET_BYTES, round_of
from benchmarks.processes import await_files, open_files, resident, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import Speaker, serving
from benchmarks.size import Size
from room_server.process import REST_SECONDS

FLAT, SAME_SHARE = 1.10, 0.90
"""To reach: the dearest size's memory beside the middle one's (the first sockets live in what the start has left over);
the largest size's share of the floor's speed, beside the middle one's."""
WAVE_BYTES = 2**20
"""What the memory after the second wave and after any later one may differ by."""


def grow(size: Size) -> Findings:
    """One server, and the floor beside it, whose crowds grow."""
    rows, costs, shares = [], [], []
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
            rounds = [(round_of(floor), round_of(ours)) for _ in range(size.rounds + 1)][1:]  # one for warming
            base, own = (spread_of_milliseconds(times) for times in zip(*rounds, strict=True))
            shares.append([one / other for one, other in rounds])
            rows.append([f"{sockets:,} sockets", spread(shares[-1]), base, own, f"{costs[-1]:,.0f}"])
        for one in (floor, ours):
            one.crowd.close()
    head = ["", "of the floor's speed", "floor", "room-server", "bytes a socket"]
    table = Table(f"Growth: a change to all of a room's sockets, {size.rounds} rounds", head, rows)
    return Findings([table], grown(size.growth, costs, shares))


def grown(sizes: Sequence[int], costs: Sequence[float], shares: Sequence[Sequence[float]]) -> list[Goal]:
    """Whether memory and time are flat."""
    numbers, dearest = f"from {sizes[0]:,} to {sizes[-1]:,} sockets", max(costs) / statistics.median(costs)
    last, middle = (statistics.median(shares[place]) for place in (-1, len(shares) // 2))
    return [
        Goal(f"memory a socket {numbers}: the most, of the middle", f"≤ {FLAT:.2f}, ≤ {SOCKET_BYTES:,} bytes",
             f"{dearest:.2f}, {min(costs):,.0f}–{max(costs):,.0f} bytes",
             dearest <= FLAT and max(costs) <= SOCKET_BYTES),
        Goal(f"share of the floor's speed {numbers}: the last, of the middle", f"≥ {SAME_SHARE:.2f}",
             f"{last / middle:.2f}", last / middle >= SAME_SHARE),
    ]  # fmt: skip


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
            time.sleep(4 * REST_SECONDS)  # until it has given back what it gives back
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
