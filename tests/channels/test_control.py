"""Control frames of clients: how they are read, and how a connection is closed on real sockets."""

import asyncio
import contextlib
import struct
import time
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.channels.control import MAX_BURST, MAX_CLOSING_READ, ControlFrames, ControlReader
from room_server.channels.frames import ping_payload
from room_server.errors import CloseCode
from tests.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Raw, in_room, masked
from tests.support import Site, room, state_where, wait_until

PINGED, PONGED = masked(PING, b"ping"), masked(PONG, b"pong")
CLOSED = masked(CLOSE, struct.pack("!H", 1000))


def read(data: bytes) -> ControlFrames:
    """What a client's first bytes are read as."""
    return ControlReader().read(data)


def unread(data: bytes) -> bytes:
    """What is left of a client's first bytes after they were read."""
    reader = ControlReader()
    reader.read(data)
    return reader.unread


def test_every_ping_is_answered() -> None:
    later = masked(PING, b"x" * 125)
    assert read(PINGED + PONGED + later) == ControlFrames(pings=PINGED + later, count=3)


def test_nothing_behind_a_close_frame_is_read() -> None:
    behind = CLOSED + masked(TEXT, b"x")
    assert read(PINGED + behind) == ControlFrames(pings=PINGED, close=behind, count=1)
    assert unread(PINGED + behind) == b""


RECEIPT, NEWER = (masked(PONG, ping_payload("e", version)) for version in (7, 8))


@pytest.mark.parametrize(
    ("behind", "more"),
    [
        (b"", {}),
        (PINGED[:3], {}),
        (CLOSED, {"close": CLOSED}),
        (masked(TEXT, b"x"), {"fault": CloseCode.READ_ONLY}),
    ],
)
def test_the_latest_receipt_is_found_among_other_frames(behind: bytes, more: dict[str, Any]) -> None:
    latest = ping_payload("e", 8)
    own = masked(PING, latest)  # as long as a receipt, and none
    for sent in ([RECEIPT, NEWER], [PINGED, NEWER, PONGED], [NEWER, own], [own, RECEIPT, PINGED, NEWER]):
        pings = b"".join(frame for frame in sent if frame[0] == PING)
        assert read(b"".join(sent) + behind) == ControlFrames(pings=pings, pong=latest, count=len(sent), **more)
    assert read(own + PONGED).pong == b""


@pytest.mark.parametrize("frame", [PINGED, PONGED, CLOSED, masked(PING), masked(PONG, b"x" * 125)])
def test_a_frame_may_come_in_pieces(frame: bytes) -> None:
    for cut in range(len(frame)):
        assert (read(frame[:cut]), unread(frame[:cut])) == (ControlFrames(), frame[:cut])
        assert unread(PONGED + frame[:cut]) == frame[:cut]
        reader = ControlReader()
        reader.read(frame[:cut])
        assert (reader.read(frame[cut:]), reader.unread) == (read(frame), b"")


@pytest.mark.parametrize("first", [TEXT, BINARY, CONTINUATION, TEXT & 0x7F, BINARY & 0x7F, CONTINUATION & 0x7F])
def test_data_is_refused_at_its_first_byte(first: int) -> None:
    assert read(bytes([first])).fault is CloseCode.READ_ONLY
    assert read(PINGED + bytes([first])) == ControlFrames(pings=PINGED, fault=CloseCode.READ_ONLY, count=1)


def fault(first: int) -> CloseCode | None:
    """What RFC 6455, 5.2, makes of a first byte: opcode, reserved bits, fragmented control frames."""
    reserved, opcode, final = first & 0x70, first & 0x0F, first & 0x80
    if reserved:
        return CloseCode.PROTOCOL_ERROR
    if opcode in {0, 1, 2}:
        return CloseCode.READ_ONLY
    return None if opcode in {8, 9, 10} and final else CloseCode.PROTOCOL_ERROR


def test_every_first_byte_is_judged() -> None:
    assert [read(bytes([first])).fault for first in range(256)] == [fault(first) for first in range(256)]


@pytest.mark.parametrize("first", [CLOSE, PING, PONG])
def test_a_control_frame_is_masked_and_short(first: int) -> None:
    expected = [None if 0x80 <= second <= 0x80 + 125 else CloseCode.PROTOCOL_ERROR for second in range(256)]
    assert [read(bytes([first, second])).fault for second in range(256)] == expected


def test_a_flood_of_pings_is_read_no_further_than_it_takes_to_see_that_it_is_one() -> None:
    most = MAX_BURST + 2
    assert read(masked(PING) * 40_000) == ControlFrames(pings=masked(PING) * most, count=most)


def test_a_burst_of_frames_is_allowed_again_after_a_second() -> None:
    reader = ControlReader()
    assert [reader.exceeds_rate(1, 100.0) for _ in range(MAX_BURST + 1)] == [False] * MAX_BURST + [True]
    assert not reader.exceeds_rate(MAX_BURST, 102.0)
    assert reader.exceeds_rate(1, 102.0)


FLOOD_REASON = b"too_many_control_frames"
FLOODS = {
    "pings": masked(PING),
    "long pings": masked(PING, b"x" * 125),
    "pongs without a ping": masked(PONG, b"x"),
    "pongs that look like ours": masked(PONG, b"eightbyt"),
}


MALFORMED = {
    "an HTTP request": (b"GET / HTTP/1.1\r\n\r\n", 1002),
    "the beginning of TLS": (bytes.fromhex("16030100f8010000f40303"), 1002),
    "ones": (b"\xff" * 100, 1002),
    "zeros": (bytes(100), 1008),
    "a close without a mask": (bytes((CLOSE, 2)) + struct.pack("!H", 1000), 1002),
    "a pong without a mask": (bytes((PONG, 1, 0)), 1002),
    "a pong too long": (masked(PONG, b"x" * 126), 1002),
    "a close too long": (masked(CLOSE, struct.pack("!H", 1000) + b"x" * 124), 1002),
    "a pong of sixty-four kilobytes": (masked(PONG, b"x" * 2**16), 1002),
    "a fragmented pong": (masked(PONG & 0x7F, b"x"), 1002),
    "a fragmented close": (masked(CLOSE & 0x7F, struct.pack("!H", 1000)), 1002),
    "a ping in two fragments": (masked(PING & 0x7F, b"x") + masked(0x80, b"y"), 1002),
    "a ping with a reserved bit": (masked(PING | 0x10, b"x"), 1002),
    "a ping without a mask": (bytes((PING, 0)), 1002),
    "a ping too long": (masked(PING, b"x" * 126), 1002),
    "a fragmented ping": (masked(PING & 0x7F, b"x"), 1002),
    "a reserved bit": (masked(TEXT | 0x40, b"x"), 1002),
    "a reserved opcode": (masked(0x83, b"x"), 1002),
    "a reserved control opcode": (masked(0x8B, b"x"), 1002),
    "a close of one byte": (masked(CLOSE, b"\x03"), 1002),
    "a close with a code that is never sent": (masked(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close with no code at all": (masked(CLOSE, struct.pack("!H", 0)), 1002),
    "a close whose reason is no text": (masked(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "a good ping, then no frame": (masked(PING, b"x") + b"\xf0\x9f", 1002),
    "a text in two fragments": (masked(TEXT & 0x7F, b"x") + masked(0x80, b"y"), 1008),
}


async def end_of(raw: Raw) -> Frame:
    """The close frame, behind whatever else was sent."""
    while (frame := await raw.frame()).first != CLOSE:
        pass
    return frame


async def all_sockets_are_gone(site: Site) -> None:
    await wait_until(lambda: not (site.inside.admission.total or len(site.inside.timers)), "no socket is left")


@pytest.mark.parametrize("what", MALFORMED)
async def test_malformed_frames_are_closed_by_the_code_that_rfc_6455_names(site: Site, what: str) -> None:
    """In one piece, and byte by byte; a good close frame behind them is not read."""
    await site.transactions.create(room())
    content, code = MALFORMED[what]
    for pieces in ([content + masked(CLOSE, struct.pack("!H", 1000))], [content[at : at + 1] for at in range(300)]):
        async with in_room(site) as raw:
            await raw.state()
            await raw.send(*pieces)
            assert (await end_of(raw)).code == code
            raw.writer.write_eof()
            assert await raw.rest() == b""
    await all_sockets_are_gone(site)


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_of_control_frames_is_closed_as_a_policy_violation(site: Site, what: str) -> None:
    """In one segment, and in one segment each."""
    await site.transactions.create(room())
    for together in (True, False):
        async with in_room(site) as raw:
            await raw.state()
            flood = [FLOODS[what]] * (MAX_BURST + 2)
            await raw.send(*([b"".join(flood)] if together else flood))
            end = await end_of(raw)
            assert (end.code, end.payload[2:]) == (1008, FLOOD_REASON)
            raw.writer.write_eof()
            assert await raw.rest() == b""
    await all_sockets_are_gone(site)


async def test_a_burst_of_control_frames_is_no_flood(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        await raw.send(masked(PONG, b"x") * (MAX_BURST - 1) + masked(PING, b"last"))
        assert await raw.frame() == (PONG, b"last")


async def test_receipts_are_no_flood(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        for _ in range(3 * MAX_BURST):
            await site.transactions.edit("w", lambda known: replace(known, version=known.version + 1))
            assert (await raw.frame()).first == TEXT
            asked = await raw.frame()
            assert asked.first == PING
            await raw.send(masked(PONG, asked.payload))
        await raw.send(masked(PING, b"still here"))
        assert await raw.frame() == (PONG, b"still here")


async def flood(raw: Raw, megabytes: int) -> bytes:
    """Send pings as fast as the server reads; what came back meanwhile."""
    with contextlib.suppress(ConnectionError):
        for _ in range(megabytes):
            await raw.send(masked(PING) * (2**20 // 6))
        raw.writer.write_eof()
    return await raw.rest()


@pytest.mark.parametrize("first", [b"", masked(TEXT, b"x")], ids=["at once", "after a fault"])
async def test_a_flood_delays_no_other_socket(site: Site, first: bytes) -> None:
    """Read frame by frame, the eight megabytes behind a fault would cost the loop more than five seconds."""
    await site.transactions.create(room())
    async with in_room(site) as raw, site.socket("speaker") as other, asyncio.TaskGroup() as tasks:
        await raw.state()
        await raw.send(first)
        began = time.process_time()
        flooding = tasks.create_task(flood(raw, 8))
        await wait_until(lambda: site.inside.admission.total == 1, "the flood is over")
        assert time.process_time() - began < 4
        assert len(await flooding) < 100
        await site.status("start")
        assert (await state_where(other, status="live"))["version"] == 2


async def test_during_the_closing_handshake_a_peer_may_send_a_close_frame_and_few_others(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as polite, in_room(site) as rude:
        await asyncio.gather(polite.state(), rude.state())
        for subscriber in list(site.inside.hub.groups["w"].subscribers):
            subscriber.close(1012)
        ends = await asyncio.gather(end_of(polite), end_of(rude))
        assert [end.code for end in ends] == [1012, 1012]
        await polite.send(masked(PING) + masked(CLOSE, ends[0].payload))
        assert await polite.frame() == (PONG, b"")
        await rude.send(masked(PING) * MAX_CLOSING_READ)
        assert list(await asyncio.gather(polite.rest(), rude.rest())) == [b"", b""]
    await all_sockets_are_gone(site)
