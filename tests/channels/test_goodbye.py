import asyncio
import contextlib
import os
import signal

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from room_server.channels.goodbye import SHORTEST, Goodbye
from room_server.channels.handshake import Door
from room_server.channels.hub import Hub
from room_server.channels.wheel import Wheel
from room_server.config import Settings
from room_server.state.store import Store
from tests.support import PATIENCE, Site, next_state, room, state_where


@pytest.mark.parametrize(
    ("sockets", "drain", "window"), [(1, 20, 2.0), (2000, 20, 2.0), (5000, 20, 5.0), (50_000, 20, 20.0), (9, 0, 0.0)]
)
def test_the_window_grows_with_the_crowd_within_its_bounds(sockets: int, drain: float, window: float) -> None:
    assert Goodbye.window(sockets, drain) == window


async def test_nobody_is_waited_for_where_nobody_is(store: Store) -> None:
    hub = Hub(store)
    door = Door(Settings(), hub, Wheel(), lambda _: pytest.fail("nobody calls"))
    began = asyncio.get_running_loop().time()
    await Goodbye(hub, door, 20).say()
    assert asyncio.get_running_loop().time() - began < SHORTEST
    assert door.draining


async def closed(socket: ClientConnection) -> int | None:
    """The code with which the server closes."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_sigterm_asks_each_socket_to_leave_in_turn_and_still_tells_changes(site: Site) -> None:
    await site.store.create(room())
    async with site.socket() as one, site.socket() as two:
        await next_state(one)
        await next_state(two)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # a second one changes nothing
        words = [await next_state(one), await next_state(two)]
        assert sorted(word["after_ms"] for word in words) == [0, 1000]
        assert {word["type"] for word in words} == {"reconnect"}

        last = one if words[0]["after_ms"] == 1000 else two
        await site.store.edit("w", lambda known: replace(known, version=2, title="New"))
        assert (await state_where(last, title="New"))["version"] == 2

        ready = await site.http.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["serving"]) == (503, False)
        with pytest.raises(InvalidStatus) as refused:
            await site.socket()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"

        assert [await closed(one), await closed(two)] == [1012, 1012]
