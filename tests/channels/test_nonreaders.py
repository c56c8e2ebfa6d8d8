"""Peers that never read, beside as many that do: they neither delay these nor cost memory."""

import secrets
import socket
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any

from room_server import auth
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.crowds import Audience, change, descriptors, many_descriptors, memory
from tests.support import TOKEN_SECRET, room, settings_for, transactions, wait_until
from tests.terminal import running

STALL_SECONDS = 2.0
TEXT = 4000
"""Bytes of each state: some thirty of them are more than the kernel keeps for a peer."""
KEPT = 16 * 1024
"""Bytes of memory that a process may grow by for a peer that does not read: what is left of one state, and some air."""


def non_reader(port: int, handshake: bytes) -> socket.socket:
    """A peer that asks to be let in and reads nothing, not even the answer."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    one.sendall(handshake)
    return one


async def delay_of_a_change(store: Store, audience: Audience) -> float:
    """Seconds from a change until every reader has it."""
    began = time.monotonic()
    await audience.has(await change(store, description=secrets.token_hex(TEXT // 2)))
    return time.monotonic() - began


async def admit_non_readers(audience: Audience, pid: int, stack: AsyncExitStack) -> None:
    """As many as there are readers."""
    before = descriptors(pid)
    for number in range(1, len(audience.clients) + 1):
        one = non_reader(audience.port(), audience.request())
        stack.callback(one.close)
        if number % 100 == 0:
            await wait_until(lambda n=number: descriptors(pid) >= before + n, "the peers are accepted")  # type: ignore[misc]


async def changes_until_cut_off(store: Store, audience: Audience, pid: int) -> dict[str, Any]:
    """Change after change, each seen by every reader before the next, until the process holds the readers only."""
    times, sizes, deadline = [], [memory(pid)], time.monotonic() + 40  # the keepalive alone would take 45
    while descriptors(pid) > len(audience.clients) + 100:
        assert time.monotonic() < deadline, "the peers are not cut off"
        times.append(await delay_of_a_change(store, audience))
        sizes.append(memory(pid))
    return {"times": times, "grown": max(sizes) - sizes[0]}


async def test_readers_do_not_notice_those_who_never_read(valkey_url: str, soak: bool) -> None:
    each = 1000 if soak else 300
    settings = settings_for(valkey_url)
    token = auth.issue(settings, {"sub": "1", "role": "attendee", "webinar_id": "w"}, 600)
    environment = {"REDIS_URL": valkey_url, "TOKEN_SECRET": TOKEN_SECRET, "MAX_SOCKETS_PER_PERSON": "0",
                   "STALL_SECONDS": str(STALL_SECONDS)}  # fmt: skip
    with many_descriptors():
        async with (
            open_state(settings) as state,
            running(
                "web", "--port", "0", **{f"ROOM_SERVER_{name}": value for name, value in environment.items()}
            ) as web,
            AsyncExitStack() as stack,
        ):
            await transactions(state.store).create(room())
            audience = Audience("/rooms/w/socket", token, [int(web.address.rpartition(":")[2])])
            stack.push_async_callback(audience.leave)
            await audience.join(each)
            alone = [await delay_of_a_change(state.store, audience) for _ in range(20)]
            await admit_non_readers(audience, web.process.pid, stack)
            beside = await changes_until_cut_off(state.store, audience, web.process.pid)
            assert statistics.median(beside["times"]) < 4 * statistics.median(alone) + 0.1
            assert beside["grown"] < each * KEPT
            assert (audience.backwards, audience.without) == (0, 0)
            await delay_of_a_change(state.store, audience)
