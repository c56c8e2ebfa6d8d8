"""Many small rooms: a change of each at the same time, to the last of their sockets.

Beside it what this is made of: as many changes in rooms where nobody listens, and the floor with as many sockets. The
receipts of all rooms are in before the next round begins, or the part fails.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.contenders import FLOOR, everyone
from benchmarks.crowd import DistantCrowd
from benchmarks.fanout import round_of
from benchmarks.processes import await_rest, cpu_seconds, load, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import Server, serving, token
from benchmarks.size import Size
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.planning import Plan, new_room
from room_server.ids import new_epoch
from room_server.state.startup import open_state
from tests.support import transactions

SOCKETS, CALLERS, AT_ONCE = 5, 64, 100
"""Sockets of a room; connections of those who change rooms; rooms that are made at the same time."""
RATIO = 1.25
"""Of the changes alone and the floor together, to reach."""


class Round(NamedTuple):
    """Seconds."""

    alone: float
    """Until the last change in a room without sockets is answered."""
    floor: float
    last: float
    """Until the last socket of all rooms has its room's change."""
    cpu: float
    """Of the server, of each socket, beyond what as many changes alone took; receipts included."""
    floor_cpu: float
    """Of the floor, of each socket."""

    def ratio(self) -> float:
        """The whole, of its parts."""
        return self.last / (self.alone + self.floor)


def find(size: Size) -> Findings:
    """All three in turn."""
    heard, unheard = ([f"{kind}{number}" for number in range(size.rooms)] for kind in ("heard-", "unheard-"))
    with ExitStack() as stack:
        floor = stack.enter_context(everyone(1)[FLOOR]())
        stack.callback(floor.crowd.close)
        floor.crowd.join(size.rooms * SOCKETS)
        server = stack.enter_context(serving())
        say(f"making {2 * size.rooms:,} rooms")
        asyncio.run(make(server, [*heard, *unheard]))
        change(server, [*heard, *unheard], "core_webinar_set_status", {"status": "start"})
        leads = itertools.count(1)
        requests = [one for room in heard for one in server.handshakes([next(leads) for _ in range(SOCKETS)], room)]
        crowd = DistantCrowd(server.port, requests, answers=True)
        stack.callback(crowd.close)
        crowd.join(len(requests))
        rounds: list[Round] = []
        for number in range(size.rounds + 1):
            say(f"changes of {size.rooms:,} rooms, round {number} of {size.rounds}")
            crowd.breathe()
            shown = {"visible": number % 2 == 0}
            alone, spent = changed(server, unheard, shown, None)
            last, cpu = changed(server, heard, shown, crowd)
            per = 1 / len(requests)
            rounds.append(Round(alone, round_of(floor), last, (cpu - spent) * per, floor.cpu[-1] * per))
    return told(size.rooms, rounds[1:])


async def make(server: Server, names: Sequence[str]) -> None:
    """Rooms with a call to action."""
    plan = Plan(title="Benchmark", scheduled_at=utc_now(), cta_label="Join", cta_url="https://example.org/join")
    async with open_state(Settings(redis_url=server.redis_url)) as state:
        stored = transactions(state.store)
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            await asyncio.gather(*(stored.create(new_room(name, new_epoch(), plan, draft=False)) for name in some))


def change(server: Server, names: Sequence[str], hook: str, payload: Mapping[str, object]) -> None:
    """A hook for each room. Raises CalledProcessError when one is refused."""
    bearer = token("speaker", "s", "*")
    load(server.port, CALLERS, [server.hook(hook, {"webinar_id": name, **payload}, bearer) for name in names])


def changed(
    server: Server, names: Sequence[str], shown: Mapping[str, object], crowd: DistantCrowd | None
) -> tuple[float, float]:
    """Seconds until each room is changed and, with a crowd, each socket has heard; the server's CPU seconds for it."""
    await_rest(server.pid)
    cpu, heard = cpu_seconds(server.pid), crowd.hear() if crowd else time.perf_counter
    began = time.perf_counter()
    change(server, names, "core_webinar_set_cta_visibility", shown)
    lasted = heard() - began
    if crowd:
        crowd.rest()
    await_rest(server.pid)
    return lasted, cpu_seconds(server.pid) - cpu


def told(rooms: int, rounds: Sequence[Round]) -> Findings:
    """The table and the goal."""
    sockets, ratios = rooms * SOCKETS, [one.ratio() for one in rounds]
    last = [spread_of_milliseconds([one[field] for one in rounds]) for field in range(3)]
    cpu = [spread([one[field] * 1e6 for one in rounds], ".1f", " µs") for field in (3, 4)]
    rows = [
        [f"{rooms:,} changes where nobody listens", last[0], "–"],
        [f"floor: {sockets:,} calls of `send()` in C", last[1], cpu[1]],
        [f"{rooms:,} changes, until {sockets:,} sockets have theirs", last[2], cpu[0]],
    ]
    title = f"{rooms:,} rooms of {SOCKETS} sockets, a change each, {len(rounds)} rounds"
    note = f"Receipts included in the CPU; {CALLERS} callers send the hooks."
    table = Table(title, ["", "the last", "CPU of a frame, beyond the hook's"], rows, note)
    goal = Goal(f"changes of {rooms:,} rooms at once, of the changes alone and the floor", f"≤ {RATIO:.2f}",
                spread(ratios), statistics.median(ratios) <= RATIO)  # fmt: skip
    return Findings([table], [goal])
