"""How a socket ends when its peer is at fault: told why, by the code RFC 6455 names, and not listened to any more."""

import asyncio
import contextlib
import struct
import time

import pytest
from msgspec.structs import replace

from room_server.channels.closing import LAST_WORDS
from room_server.channels.frames import MOST_CONTROLS
from room_server.channels.keepalive import CONTROLS_PER_SECOND
from tests.raw import CLOSE, PING, PONG, TEXT, Frame, Raw, in_room, masked
from tests.support import Site, room, state_where, wait_until

FLOOD = b"too_many_control_frames"
FLOODS = {
    "pings": masked(PING),
    "long pings": masked(PING, b"x" * 125),
    "pongs nobody asked for": masked(PONG, b"x"),
    "pongs that look like ours": masked(PONG, b"eightbyt"),
}


NONSENSE = {
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
    "a good ping, then nonsense": (masked(PING, b"x") + b"\xf0\x9f", 1002),
    "a text in two fragments": (masked(TEXT & 0x7F, b"x") + masked(0x80, b"y"), 1008),
}


async def end_of(raw: Raw) -> Frame:
    """The close frame, behind whatever else was sent."""
    while (frame := await raw.frame()).first != CLOSE:
        pass
    return frame


async def everyone_is_gone(site: Site) -> None:
    await wait_until(lambda: not (site.inside.admission.total or len(site.inside.timers)), "everyone is forgotten")


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_closed_by_the_code_that_rfc_6455_names(site: Site, what: str) -> None:
    """Whole, and byte by byte; a good close frame behind it is not heard."""
    await site.transactions.create(room())
    content, code = NONSENSE[what]
    for pieces in ([content + masked(CLOSE, struct.pack("!H", 1000))], [content[at : at + 1] for at in range(300)]):
        async with in_room(site) as raw:
            await raw.state()
            await raw.send(*pieces)
            assert (await end_of(raw)).code == code
            raw.writer.write_eof()
            assert await raw.rest() == b""
    await everyone_is_gone(site)


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_of_control_frames_is_closed_as_a_policy_violation(site: Site, what: str) -> None:
    """In one segment, and in one segment each."""
    await site.transactions.create(room())
    for together in (True, False):
        async with in_room(site) as raw:
            await raw.state()
            flood = [FLOODS[what]] * (MOST_CONTROLS + 2)
            await raw.send(*([b"".join(flood)] if together else flood))
            end = await end_of(raw)
            assert (end.code, end.payload[2:]) == (1008, FLOOD)
            raw.writer.write_eof()
            assert await raw.rest() == b""
    await everyone_is_gone(site)


async def test_a_burst_of_control_frames_is_no_flood(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        await raw.send(masked(PONG, b"x") * (MOST_CONTROLS - 1) + masked(PING, b"last"))
        assert await raw.frame() == (PONG, b"last")
        (member,) = site.inside.hub.groups["w"].members
        calm_at = member._calm_at
        assert calm_at - member._loop.time() <= MOST_CONTROLS / CONTROLS_PER_SECOND
        await wait_until(lambda: member._loop.time() > calm_at, "the burst is forgotten")
        await raw.send(masked(PING, b"x") * MOST_CONTROLS)
        assert [await raw.frame() for _ in range(MOST_CONTROLS)] == [(PONG, b"x")] * MOST_CONTROLS


async def test_answers_to_our_pings_are_never_too_many(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as raw:
        await raw.state()
        for _ in range(3 * MOST_CONTROLS):
            await site.transactions.edit("w", lambda known: replace(known, version=known.version + 1))
            assert (await raw.frame()).first == TEXT
            asked = await raw.frame()
            assert asked.first == PING
            await raw.send(masked(PONG, asked.payload))
        await raw.send(masked(PING, b"still here"))
        assert await raw.frame() == (PONG, b"still here")


async def flood(raw: Raw, megabytes: int) -> bytes:
    """Pings, as fast as they are taken; what came back meanwhile."""
    with contextlib.suppress(ConnectionError):
        for _ in range(megabytes):
            await raw.send(masked(PING) * (2**20 // 6))
        raw.writer.write_eof()
    return await raw.rest()


@pytest.mark.parametrize("first", [b"", masked(TEXT, b"x")], ids=["at once", "after a fault"])
async def test_a_flood_holds_up_nobody(site: Site, first: bytes) -> None:
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


async def test_a_peer_that_is_asked_to_leave_may_say_goodbye_and_nothing_else(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site) as polite, in_room(site) as rude:
        await asyncio.gather(polite.state(), rude.state())
        for member in list(site.inside.hub.groups["w"].members):
            member.close(1012)
        ends = await asyncio.gather(end_of(polite), end_of(rude))
        assert [end.code for end in ends] == [1012, 1012]
        await polite.send(masked(PING) + masked(CLOSE, ends[0].payload))
        assert await polite.frame() == (PONG, b"")
        await rude.send(masked(PING) * LAST_WORDS)
        assert list(await asyncio.gather(polite.rest(), rude.rest())) == [b"", b""]
    await everyone_is_gone(site)
