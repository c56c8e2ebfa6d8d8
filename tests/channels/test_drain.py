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
from room_server.channels.keepalive import TimerWheel
from room_server.channels.subscribers import SubscriberGroup
from room_server.config import Settings
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.channels.test_hub import Peer
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
from tests.timelapse import timelapse


@pytest.mark.parametrize(
    ("sockets", "drain", "window"), [(1, 20, 2.0), (2000, 20, 2.0), (5000, 20, 5.0), (50_000, 20, 20.0), (9, 0, 0.0)]
)
def test_the_window_grows_with_the_sockets_within_its_bounds(sockets: int, drain: float, window: float) -> None:
    assert Drain.window(sockets, drain) == window


async def test_a_process_without_sockets_drains_at_once(store: Store) -> None:
    hub = Hub(store)
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("no token is checked"))
    with pytest.raises(StopIteration):  # it ends at its first step
        Drain(hub, admission, 20).run().send(None)
    assert admission.draining


class Drained(Peer):
    """A peer that keeps what it was asked: to reconnect in so many seconds, and how long after that it is closed."""

    announced = (-1.0, -1.0)

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        self.announced = (seconds, closed_after)


@pytest.mark.parametrize(("sockets", "apart"), [(4, 0.5), (3000, 0.001)])
def test_sockets_are_asked_to_reconnect_evenly_over_the_window_and_closed_a_second_later(
    store: Store, sockets: int, apart: float
) -> None:
    hub = Hub(store)
    group, drained = SubscriberGroup("w"), [Drained(hub) for _ in range(sockets)]
    hub.groups["w"] = group
    for peer in drained:
        hub.join(group, peer)
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("no token is checked"))

    timelapse(Drain(hub, admission, 20).run())

    announced = sorted(peer.announced for peer in drained)
    assert [seconds for seconds, _ in announced] == pytest.approx([number * apart for number in range(sockets)])
    assert {closed_after for _, closed_after in announced} == {1.0}


@pytest.mark.parametrize(("sockets", "most"), [(1, 6.0), (5000, 9.0)])
def test_a_drain_ends_four_seconds_after_its_window_at_the_latest(store: Store, sockets: int, most: float) -> None:
    hub = Hub(store)
    group = hub.groups["w"] = SubscriberGroup("w")
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("no token is checked"))
    for _ in range(sockets):
        peer = Drained(hub)
        hub.join(group, peer)
        admission.enter(peer.actor)

    async def seconds() -> float:
        await Drain(hub, admission, 20).run()
        return asyncio.get_running_loop().time()

    assert timelapse(seconds()) == pytest.approx(most, abs=0.15)


async def closed(socket: ClientConnection) -> int | None:
    """The code with which the server closes."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def test_each_socket_is_asked_to_reconnect_in_its_turn(site: Site) -> None:
    await site.transactions.create(room())
    drain = Drain(site.inside.hub, site.inside.admission, 20)
    async with site.socket() as one, site.socket() as two, asyncio.TaskGroup() as tasks:
        await next_state(one)
        await next_state(two)
        tasks.create_task(drain.run())
        asked = [await next_state(one), await next_state(two)]
        assert sorted(frame["after_ms"] for frame in asked) == [0, 1000]
        assert {frame["type"] for frame in asked} == {"reconnect"}

        ready = await site.http.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["serving"]) == (503, False)
        with pytest.raises(InvalidStatus) as refused:
            await site.socket()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"

        assert [await closed(one), await closed(two)] == [1012, 1012]


async def test_a_socket_that_is_asked_to_reconnect_gets_changes_until_then(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        subscriber.announce_reconnect(1000.0, 1.0)
        assert await next_state(socket) == {"type": "reconnect", "after_ms": 1_000_000}
        await site.transactions.edit("w", lambda known: replace(known, version=2, title="New"))
        assert (await state_where(socket, title="New"))["version"] == 2


async def test_sigterm_drains_before_the_process_ends_and_a_second_one_changes_nothing(valkey_url: str) -> None:
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
    """A drain with a defect."""

    async def run(self) -> None:
        """Fail."""
        raise RuntimeError("broken")


async def test_a_drain_that_fails_keeps_no_process_alive(store: Store, caplog: pytest.LogCaptureFixture) -> None:
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


async def test_a_socket_that_is_gone_is_not_asked_to_reconnect(site: Site) -> None:
    """Sockets are asked in slices, and between two of them any may go."""
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        (subscriber,) = site.inside.hub.groups["w"].subscribers
    await wait_until(lambda: not site.inside.admission.total, "it is closed")

    subscriber.announce_reconnect(1.0, 1.0)

    assert len(site.inside.timers) == 0


def test_the_handlers_of_before_are_restored_after_a_start() -> None:
    """tests/commands/test_web_workers.py shows with real signals that they end the process within the block."""
    handlers = []
    for block in (contextlib.nullcontext(), ended_at_once(), contextlib.nullcontext()):
        with block:
            handlers.append([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)])

    before, meanwhile, after = handlers
    assert not set(meanwhile) & set(before)
    assert after == before
