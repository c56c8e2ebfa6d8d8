import asyncio
import contextlib
import os
import signal

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from room_server import auth
from room_server.channels.drain import Drain, drain_on_sigterm, ended_at_once
from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.timer_wheel import TimerWheel
from room_server.config import Settings
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.support import (
    PATIENCE,
    TOKEN_SECRET,
    Site,
    next_state,
    room,
    settings_for,
    state_where,
    transactions,
    wait_until,
)
from tests.terminal import running


@pytest.mark.parametrize(
    ("sockets", "drain", "window"), [(1, 20, 2.0), (2000, 20, 2.0), (5000, 20, 5.0), (50_000, 20, 20.0), (9, 0, 0.0)]
)
def test_the_window_grows_with_the_crowd_within_its_bounds(sockets: int, drain: float, window: float) -> None:
    assert Drain.window(sockets, drain) == window


async def test_nobody_is_waited_for_where_nobody_is(store: Store) -> None:
    hub = Hub(store)
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("nobody calls"))
    with pytest.raises(StopIteration):  # it ends at its first step
        Drain(hub, admission, 20).run().send(None)
    assert admission.draining


async def closed(socket: ClientConnection) -> int | None:
    """The code with which the server closes."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_each_socket_is_asked_to_leave_in_its_turn(site: Site) -> None:
    await site.transactions.create(room())
    drain = Drain(site.inside.hub, site.inside.admission, 20)
    async with site.socket() as one, site.socket() as two, asyncio.TaskGroup() as tasks:
        await next_state(one)
        await next_state(two)
        tasks.create_task(drain.run())
        words = [await next_state(one), await next_state(two)]
        assert sorted(word["after_ms"] for word in words) == [0, 1000]
        assert {word["type"] for word in words} == {"reconnect"}

        ready = await site.http.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["serving"]) == (503, False)
        with pytest.raises(InvalidStatus) as refused:
            await site.socket()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"

        assert [await closed(one), await closed(two)] == [1012, 1012]


async def test_one_that_is_asked_to_leave_is_told_of_changes_until_its_moment(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        (member,) = site.inside.hub.groups["w"].members
        member.announce_reconnect(1000.0, 1.0)
        assert await next_state(socket) == {"type": "reconnect", "after_ms": 1_000_000}
        await site.transactions.edit("w", lambda known: replace(known, version=2, title="New"))
        assert (await state_where(socket, title="New"))["version"] == 2


async def test_sigterm_says_goodbye_before_the_process_ends_and_a_second_one_changes_nothing(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    async with open_state(settings) as state, running("web", "--port", "0", **environment) as web:
        await transactions(state.store).create(room())
        token = auth.issue(settings, {"sub": "1", "role": "attendee", "webinar_id": "w"}, 600)
        address = web.address.replace("http", "ws") + "/rooms/w/socket"
        async with connect(address, subprotocols=[Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token}")]) as one:
            await next_state(one)
            web.process.send_signal(signal.SIGTERM)
            assert (await next_state(one)) == {"type": "reconnect", "after_ms": 0}
            web.process.send_signal(signal.SIGTERM)
            assert await closed(one) == 1012
        async with asyncio.timeout(PATIENCE):
            assert await web.process.wait() == 0


class Broken(Drain):
    """What nobody reckons with."""

    async def run(self) -> None:
        """Fail."""
        raise RuntimeError("broken")


async def test_a_goodbye_that_fails_keeps_no_process_alive(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    hub, ended = Hub(store), asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE):
            with drain_on_sigterm(
                tasks.create_task, Broken(hub, Admission(Settings(), hub, TimerWheel(), pytest.fail), 20)
            ):
                os.kill(os.getpid(), signal.SIGTERM)
                await ended.wait()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert "not everybody could be told that this process ends" in caplog.messages


async def test_one_that_has_gone_is_not_asked_to_leave(site: Site) -> None:
    """The crowd is asked in slices, and between two of them anyone may go."""
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        (member,) = site.inside.hub.groups["w"].members
    await wait_until(lambda: not site.inside.admission.total, "it has gone")

    member.announce_reconnect(1.0, 1.0)

    assert len(site.inside.timers) == 0


def test_a_start_gives_the_signals_back_to_whoever_had_them() -> None:
    """That they end the process meanwhile is shown with real ones (tests/commands/test_web_workers.py)."""
    handlers = []
    for block in (contextlib.nullcontext(), ended_at_once(), contextlib.nullcontext()):
        with block:
            handlers.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)])

    before, meanwhile, after = handlers
    assert not set(meanwhile) & set(before)
    assert after == before
