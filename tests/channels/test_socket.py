"""The room socket on the wire: one frame per change, read-only, and no socket delays another."""

import asyncio
import struct
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from room_server.channels.hub import Hub
from room_server.core.room import Room
from tests.proxy import proxy_to
from tests.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, connecting, handshake, in_room, masked
from tests.support import Site, next_state, room, serving, settings_for, state_where, wait_until

READ_ONLY = "webinar_status_mutation_forbidden"


async def no_socket_is_left(site: Site) -> None:
    """Every table of the process is empty again."""
    hub: Hub = site.inside.hub
    admission, timers = site.inside.admission, site.inside.timers
    await wait_until(lambda: not (admission.total or hub.groups or len(timers)), "no socket is left")
    assert (admission.persons, hub.counts()["total"]) == ({}, 0)


async def test_the_snapshot_comes_with_the_handshakes_own_answer(site: Site) -> None:
    await site.transactions.create(room())
    async with connecting(site) as raw:
        await raw.send(handshake(site))
        await wait_until(lambda: raw.reader._buffer, "something came")  # type: ignore[attr-defined]
        received = await raw.reader.read(2**16)
    head, _, frame = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frame[4:] == (await site.state()).content


async def test_each_change_is_one_frame(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        assert socket.subprotocol == "room.v1"
        assert (await next_state(socket))["status"] == "scheduled"
        await site.status("start")
        await site.status("start")
        await site.entered(42)
        await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
        await site.act("pause")
        await site.act("resume")
        await site.status("stop")
        await site.act("archive")
        states = [await next_state(socket) for _ in range(6)]
    received = [(state["version"], state["status"], state["cta"]["visibility"]) for state in states]
    assert received == [
        (2, "live", "hidden"),
        (3, "live", "visible"),
        (4, "paused", "visible"),
        (5, "live", "visible"),
        (6, "finished", "visible"),
        (7, "archived", "visible"),
    ]


async def test_a_webinar_that_is_made_anew_replaces_the_old_one(site: Site) -> None:
    await site.transactions.create(room(version=9, title="old"))
    async with site.socket() as socket:
        assert (await next_state(socket))["title"] == "old"
        await site.store.delete("w")
        await site.transactions.create(room(version=1, title="new"))
        assert (await next_state(socket))["title"] == "new"


async def test_many_sockets_make_one_read(site: Site) -> None:
    await site.transactions.create(room())

    async def reads() -> int:
        stats: dict[str, Any] = await site.raw.info("commandstats")
        return int(stats.get("cmdstat_hget", {"calls": 0})["calls"])

    async def watch(number: int) -> int:
        async with in_room(site, sub=str(number)) as raw:
            return int((await raw.state())["version"])

    before = await reads()
    group = [asyncio.create_task(watch(number)) for number in range(1, 101)]
    assert await asyncio.gather(*group) == [1] * 100
    assert await reads() - before == 1
    await no_socket_is_left(site)


DATA = {
    "text": masked(TEXT, b'{"status":"live"}'),
    "binary": masked(BINARY, b"\0\1"),
    "an empty text": masked(TEXT),
    "the first fragment of a text": masked(TEXT & 0x7F, b"a"),
    "a continuation of nothing": masked(CONTINUATION, b"a"),
    "a text without a mask": bytes((TEXT, 1)) + b"a",
    "a megabyte": masked(TEXT, b"x" * 10**6),
    "the head of an exabyte": struct.pack("!BBQ", TEXT, 0xFF, 2**60),
    "a first byte": bytes((TEXT,)),
    "a text behind a ping": masked(PING) + masked(TEXT, b"a"),
}


async def test_data_closes_the_socket_and_changes_nothing(site: Site) -> None:
    await site.transactions.create(room())
    before = await site.everything()
    for what, data in DATA.items():
        async with in_room(site) as raw:
            await raw.state()
            await raw.send(data)
            frame = await raw.frame()
            if frame.first == PONG:
                frame = await raw.frame()
            assert (frame.first, frame.code, frame.payload[2:]) == (CLOSE, 1008, READ_ONLY.encode()), what
            await raw.send(masked(CLOSE, frame.payload))
            raw.writer.write_eof()
            assert await raw.rest() == b"", what
    assert await site.everything() == before
    await no_socket_is_left(site)


async def test_data_byte_by_byte_closes_the_socket(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        await raw.send(*(bytes([byte]) for byte in masked(PING, b"p") + masked(TEXT, b"data")))
        assert await raw.frame() == (PONG, b"p")
        assert await raw.closing() == 1008


async def reply_to(socket: ClientConnection, message: Any) -> None:
    """Send a message and read on."""
    await socket.send(message)
    await socket.recv()


async def test_an_independent_client_sees_why_it_was_closed(site: Site) -> None:
    await site.transactions.create(room())
    for message in ("start", b"start", ["sta", "rt"], "x" * 10**6):
        async with site.socket() as socket:
            await next_state(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await reply_to(socket, message)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, READ_ONLY)


async def test_a_ping_gets_its_pong(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        for payload in (b"", b"p", b"x" * 125):
            await raw.send(masked(PING, payload))
            assert await raw.frame() == (PONG, payload)
        await raw.send(masked(PONG, b"unasked"), masked(PONG), *(bytes([byte]) for byte in masked(PING, b"slow")))
        assert await raw.frame() == (PONG, b"slow")
    async with site.socket() as socket:
        assert await (await socket.ping()) >= 0


CLOSES = [struct.pack("!H", 1000) + "до свидания".encode(), struct.pack("!H", 1001), struct.pack("!H", 4000), b""]


async def test_a_close_is_answered_and_the_connection_closed(site: Site) -> None:
    await site.transactions.create(room())
    for payload in CLOSES:
        async with in_room(site) as raw:
            await raw.state()
            await raw.send(masked(CLOSE, payload) + masked(TEXT, b"too late"))
            frame = await raw.frame()
            assert (frame.first, frame.payload[:2]) == (CLOSE, payload[:2])
            assert await raw.rest() == b""
    await no_socket_is_left(site)


@pytest.mark.parametrize("how", ["abort", "write_eof"])
async def test_a_peer_that_drops_the_connection_is_forgotten(site: Site, how: str) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw, site.socket() as other:
        await raw.state()
        getattr(raw.writer.transport, how)()
        await wait_until(lambda: site.inside.admission.total == 1, "one is left")
        await site.status("start")
        assert (await state_where(other, status="live"))["version"] == 2
    await no_socket_is_left(site)


async def test_a_peer_that_sends_or_leaves_before_the_handshake_is_answered_affects_no_other(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, serving(settings_for(proxy.url)) as site:
        await site.transactions.create(room())
        proxy.delay = 0.2
        async with connecting(site) as early, connecting(site) as left, connecting(site) as waiting:
            for raw in (early, left, waiting):
                await raw.send(handshake(site))
            await wait_until(lambda: site.inside.admission.total == 3, "all wait for the room")
            await early.send(masked(PING))
            left.writer.transport.abort()
            assert await early.rest() == b""
            assert (await waiting.answer()).status == 101
            assert (await waiting.state())["version"] == 1
        proxy.delay = 0.0
        await no_socket_is_left(site)


async def change(site: Site, times: int) -> int:
    """So many changes of four kilobytes each; the version of the last."""

    def changed(known: Room) -> Room:
        return replace(known, description=str(known.version) * 1000, version=known.version + 1)

    for _ in range(times):
        last = await site.transactions.edit("w", changed)
    return last.version


def behind(site: Site) -> int:
    """How many sockets of the room have not read what was written."""
    return sum(bool(subscriber._deadlines.behind_since) for subscriber in site.inside.hub.groups["w"].subscribers)


async def all_states(raw: Raw, last: int) -> list[int]:
    """The versions that the peer reads, up to `last`."""
    versions: list[int] = []
    while not versions or versions[-1] < last:
        versions.append((await raw.state())["version"])
    return versions


async def test_a_peer_that_does_not_read_delays_no_other_and_skips_to_the_newest(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, receive_buffer=4096) as slow, site.socket() as other:
        last = 1
        while not behind(site):
            last = await change(site, 10)
            await state_where(other, version=last)
        last = await change(site, 50)
        await state_where(other, version=last)
        (subscriber,) = [
            subscriber for subscriber in site.inside.hub.groups["w"].subscribers if subscriber._deadlines.behind_since
        ]
        assert subscriber._transport.get_write_buffer_size() < 5000
        versions = await all_states(slow, last)
        assert versions == sorted(set(versions))
        assert len(versions) < last - 40
        await site.status("start")
        assert (await slow.state())["status"] == "live"


def receipts(site: Site) -> tuple[int, int]:
    """The version of the room's newest change, and how many browsers have answered for it."""
    counts = site.inside.hub.counts()["reach"]["w"]
    return counts.version, sum(counts.buckets)


@pytest.fixture
def no_keepalive(site: Site) -> None:
    """The pings of the keepalive ask for receipts, too."""
    site.inside.admission.limits.ping_after = 3600.0


@pytest.mark.usefixtures("no_keepalive")
@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_change_comes_with_its_ping_and_one_receipt_is_outstanding_at_a_time(
    site: Site, is_behind: bool
) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        await change(site, 1)
        assert (await raw.frame()).state["version"] == 2
        second = await raw.frame()
        await change(site, 2)
        assert [(await raw.frame()).state["version"] for _ in range(2)] == [3, 4]
        if is_behind:
            subscriber.pause_writing()
        await raw.send(masked(PONG, second.payload))
        if is_behind:
            await wait_until(lambda: not subscriber.requested, "it has answered")
            subscriber.resume_writing()
        fourth = await raw.frame()
        assert (second.first, fourth.first, second.payload != fourth.payload) == (PING, PING, True)
        assert receipts(site) == (4, 0)

        await raw.send(masked(PONG, fourth.payload))
        await wait_until(lambda: receipts(site) == (4, 1), "it has answered for the newest change")


@pytest.mark.usefixtures("no_keepalive")
async def test_a_peer_that_was_behind_is_asked_for_what_it_gets_in_the_end(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, receive_buffer=4096) as slow:
        while not behind(site):
            await change(site, 10)
        last = await change(site, 10)
        while (frame := await slow.frame()).payload != site.inside.hub.groups["w"].state.ping[2:]:
            if frame.first == PING:
                await slow.send(masked(PONG, frame.payload))
        await slow.send(masked(PONG, frame.payload))
        await wait_until(lambda: receipts(site) == (last, 1), "it has answered for the newest change")


async def test_no_pongs_are_buffered_for_a_peer_that_does_not_read(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, receive_buffer=4096) as raw:
        while not behind(site):
            await change(site, 10)
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        before = subscriber._transport.get_write_buffer_size()
        for _ in range(50):
            await raw.send(masked(PING, b"x" * 125) * 20)
        await wait_until(lambda: subscriber._closing, "it is closed for the flood")
        assert subscriber._transport.get_write_buffer_size() <= before + 2 + 125  # the close frame
        assert (await site.http.get("/healthz")).status_code == 200


async def test_a_shutdown_closes_all_sockets_with_1012(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url)) as site:
        await site.transactions.create(room())
        sockets = [await site.socket(claims={"sub": str(lead)}) for lead in range(1, 6)]
        for socket in sockets:
            await next_state(socket)
    for socket in sockets:
        await socket.wait_closed()
    assert [socket.close_code for socket in sockets] == [1012] * 5


async def test_a_peer_that_does_not_read_delays_no_shutdown(valkey_url: str) -> None:
    async with AsyncExitStack() as peers:
        async with serving(settings_for(valkey_url)) as site:
            await site.transactions.create(room())
            await peers.enter_async_context(in_room(site, receive_buffer=4096))
            while not behind(site):
                await change(site, 10)
            admission = site.inside.admission
        assert admission.total == 0


async def test_sockets_change_nothing(site: Site) -> None:
    await site.transactions.create(room())
    before = await site.everything()
    async with site.socket() as socket, site.socket("speaker") as other:
        await asyncio.gather(next_state(socket), next_state(other))
    assert await site.everything() == before
    await no_socket_is_left(site)
