"""Requests that two readers could understand differently, by bare TCP: each is refused, or read as RFC 9112 says.

However the bytes are cut, the answers are the same, and nothing that was smuggled is done.
"""

import asyncio

import pytest

from room_server.protocols.bounded_http import BoundedHttp
from tests.raw import Raw, connecting, handshake, request, upgrade
from tests.support import Site, room

HOOK = "/hooks/core_webinar_set_status"
START = b'{"webinar_id":"w","status":"start"}'
SIZE = b"%d" % len(START)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(START), START)
REFUSED = [(400, "malformed_request")]
ALIVE = [(200, "")]


def head(*lines: bytes, first: bytes = b"GET /healthz HTTP/1.1") -> bytes:
    """A head of these lines."""
    return b"\r\n".join([first, *lines, b"", b""])


def hook(site: Site, *lines: bytes, body: bytes = START, version: bytes = b"1.1") -> bytes:
    """A hook that would start the webinar if its body were read so."""
    bearer = site.bearer()["Authorization"].encode()
    first = b"POST %b HTTP/%b" % (HOOK.encode(), version)
    return head(b"Host: x", b"Authorization: " + bearer, *lines, first=first) + body


def opening(site: Site, old: bytes = b"", new: bytes = b"", behind: bytes = b"") -> bytes:
    """A handshake that would be accepted, with something in it replaced, and with something behind it."""
    whole = handshake(site)
    assert old in whole
    return whole.replace(old, new, 1) + behind


async def told(raw: Raw) -> list[tuple[int, str]]:
    """All answers until the server closes the connection."""
    found = []
    while not raw.reader.at_eof():
        answer = await raw.answer()
        found.append((answer.status, answer.code if answer.status >= 400 else ""))
        if answer.headers.get("connection") == "close":
            assert await raw.rest() == b""
            break
    return found


def ways(data: bytes) -> list[list[bytes]]:
    """Whole, cut in the first line, and cut behind the first head."""
    body = data.find(b"\r\n\r\n") + 4
    return [[data], [data[:9], data[9:]], [data[:body], data[body:]]]


async def check(site: Site, shapes: dict[str, bytes], expected: list[tuple[int, str]]) -> None:
    """Each shape, however it is cut, gets these answers and no other, and then the connection is closed."""
    for name, data in shapes.items():
        for pieces in ways(data):
            async with connecting(site) as raw:
                await raw.send(*pieces)
                assert await told(raw) == expected, (name, pieces)


def refused_framings(site: Site) -> dict[str, bytes]:
    """The end of the body is given twice, wrongly, or in a way that another reader understands differently."""
    chunked = b"Transfer-Encoding: chunked"
    lengths = {
        "two equal lengths": [b"Content-Length: " + SIZE] * 2,
        "two lengths": [b"Content-Length: " + SIZE, b"Content-Length: 0"],
        "a list of lengths": [b"Content-Length: %b, %b" % (SIZE, SIZE)],
        **{
            f"the length {word!r}": [b"Content-Length: " + word]
            for word in (b"+35", b"-1", b"0x23", b"9" * 23, b"", b"3 5", b"35;", b"3_5", "٣٥".encode())
        },
    }
    codings = {
        "a length and a coding": [b"Content-Length: " + SIZE, chunked],
        "a coding and a length": [chunked, b"Content-Length: " + SIZE],
        "two codings": [chunked, chunked],
        "a coding and none": [chunked, b"Transfer-Encoding: identity"],
        "a space before the colon": [b"Transfer-Encoding : chunked"],
        "a coding in a folded line": [b"X: y", b" Transfer-Encoding: chunked"],
        **{
            f"the coding {word!r}": [b"Transfer-Encoding: " + word]
            for word in (b"xchunked", b"identity", b"gzip, chunked", b"chunked, gzip", b'"chunked"', b"\x0bchunked",
                         b"chunked, chunked", b"chunked;q=1", b"", b"gzip")
        },
    }  # fmt: skip
    chunks = {
        f"the chunk {text!r}": text
        for text in (
            b"23;a\n" + START + b"\r\n0\r\n\r\n",
            b"23\n" + START + b"\r\n0\r\n\r\n",
            b"23\r\n" + START + b"\n0\r\n\r\n",
            b"23 \r\n" + START + b"\r\n0\r\n\r\n",
            b"0x23\r\n" + START + b"\r\n0\r\n\r\n",
            b"10000000000000023\r\n" + START + b"\r\n0\r\n\r\n",
            b"-1\r\n" + START + b"\r\n0\r\n\r\n",
            b"\r\n" + START + b"\r\n0\r\n\r\n",
        )
    }
    return {
        **{name: hook(site, *lines) for name, lines in lengths.items()},
        **{name: hook(site, *lines, body=CHUNKS) for name, lines in codings.items()},
        **{name: hook(site, chunked, body=body) for name, body in chunks.items()},
        "chunks in HTTP/1.0": hook(site, chunked, body=CHUNKS, version=b"1.0"),
    }


@pytest.fixture
async def scheduled(site: Site) -> Site:
    """A site with a webinar that is not started."""
    await site.transactions.create(room())
    return site


async def test_a_body_whose_end_is_in_doubt_is_refused(scheduled: Site) -> None:
    before = await scheduled.everything()
    for name, data in refused_framings(scheduled).items():
        for pieces in ways(data):
            async with connecting(scheduled) as raw:
                await raw.send(*pieces)
                assert await told(raw) == REFUSED, (name, pieces)
    assert await scheduled.everything() == before


async def test_a_body_whose_end_is_clear_is_read(scheduled: Site) -> None:
    shapes = {
        "a length": hook(scheduled, b"Content-Length: " + SIZE),
        "chunks": hook(scheduled, b"Transfer-Encoding: chunked", body=CHUNKS),
        "chunks in capitals, spaces around": hook(scheduled, b"Transfer-Encoding:  CHUNKED ", body=CHUNKS),
        "an extension": hook(scheduled, b"Transfer-Encoding: chunked", body=CHUNKS.replace(b"23", b"23;a=b", 1)),
        "an option that changes nothing": hook(scheduled, b"Connection: Upgrade", b"Content-Length: " + SIZE),
    }
    for name, data in shapes.items():
        for pieces in ways(data):
            async with connecting(scheduled) as raw:
                await raw.send(*pieces)
                assert (await raw.answer()).status == 200, (name, pieces)
                await raw.send(head(b"Host: x", b"Connection: close"))
                assert await told(raw) == ALIVE, (name, pieces)


HEADS = {
    "a folded line": head(b"Host: x", b"A: b", b" c"),
    "a folded first line": head(b" Host: x"),
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "one bare line feed": b"GET /healthz HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "a bare carriage return": b"GET /healthz HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "a NUL in a value": head(b"Host: x", b"A: b\0c"),
    "a NUL in a name": head(b"Host: x", b"A\0: b"),
    "a space before the colon": head(b"Host : x"),
    "no Host": head(b"A: b"),
    "two Hosts": head(b"Host: x", b"Host: y"),
    "the same Host twice": head(b"Host: x", b"Host: x"),
    "two Hosts in HTTP/1.0": head(b"Host: x", b"Host: y", first=b"GET /healthz HTTP/1.0"),
    "a list of Hosts": head(b"Host: x, y"),
    "a Host that is a path": head(b"Host: x/../y"),
    "a Host with a user": head(b"Host: a@x"),
    "no ASCII in the Host": head("Host: é".encode()),
    "an address without a path": head(b"Host: x", first=b"GET https://x HTTP/1.1"),
    "an authority": head(b"Host: x", first=b"GET x:80 HTTP/1.1"),
    "a tunnel": head(b"Host: x", first=b"CONNECT x:80 HTTP/1.1"),
    "tabs in the request line": head(b"Host: x", first=b"GET\t/healthz\tHTTP/1.1"),
    "a method in small letters": head(b"Host: x", first=b"get /healthz HTTP/1.1"),
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": head(b"Host: x", first=b"GET /healthz HTTP/1.2"),
    "HTTP/2.0": head(b"Host: x", first=b"GET /healthz HTTP/2.0"),
}


async def test_a_head_that_can_be_read_in_two_ways_is_refused(site: Site) -> None:
    await check(site, HEADS, REFUSED)


async def test_a_request_behind_a_head_that_was_refused_is_not_read(scheduled: Site) -> None:
    before = await scheduled.everything()
    smuggled = hook(scheduled, b"Content-Length: " + SIZE)
    await check(scheduled, {name: data + smuggled for name, data in HEADS.items()}, REFUSED)
    assert await scheduled.everything() == before


async def test_what_rfc_9112_lets_pass_is_read(site: Site) -> None:
    close = b"Connection: close"
    shapes = {
        "the target's whole address": head(b"Host: x", close, first=b"GET http://a@y:1/healthz?z HTTP/1.1"),
        "an empty Host": head(b"Host: ", close),
        "an IPv6 Host": head(b"Host: [::1]:80", close),
        "empty lines before": b"\r\n\r\n" + head(b"Host: x", close),
        "HTTP/1.0 without a Host": head(first=b"GET /healthz HTTP/1.0"),
        "a body where none is read": head(b"Host: x", close, b"Content-Length: 20") + HEADS["no Host"][:20],
    }
    await check(site, shapes, ALIVE)


async def test_a_trailer_is_no_header(scheduled: Site) -> None:
    """Trailers were once read as headers: a token, or the address that a proxy vouches for."""
    bearer = scheduled.bearer()["Authorization"].encode()
    body = CHUNKS.removesuffix(b"\r\n") + b"Authorization: " + bearer + b"\r\nConnection: keep-alive\r\n\r\n"
    coded = head(b"Host: x", b"Transfer-Encoding: chunked", b"Connection: close", first=b"POST %b HTTP/1.1")
    before = await scheduled.everything()
    await check(scheduled, {"a token": coded.replace(b"%b", HOOK.encode()) + body}, [(401, "unauthenticated")])
    assert await scheduled.everything() == before


async def test_a_broken_body_behind_an_early_answer_gets_no_second_one(site: Site) -> None:
    async with connecting(site) as raw:
        await raw.send(head(b"Host: x", b"Transfer-Encoding: chunked", first=f"POST {HOOK} HTTP/1.1".encode()))
        assert (await raw.answer()).status == 401
        await raw.send(b"zz\r\n")
        assert await raw.rest() == b""


async def test_a_body_that_no_handler_reads_is_bounded(site: Site) -> None:
    """An endless trailer was once kept in memory until the deadline."""
    coded = head(b"Host: x", b"Transfer-Encoding: chunked", first=f"POST {HOOK} HTTP/1.1".encode())
    async with connecting(site) as raw:
        await raw.send(coded)
        assert (await raw.answer()).status == 401
        await raw.send(b"0\r\nX: ", *[b"x" * 2**16] * 17)
        async with asyncio.timeout(BoundedHttp.request_seconds - 1):
            assert await raw.rest() == b""


def shapes_of_handshakes(site: Site) -> dict[str, bytes]:
    """Requests that look like handshakes and are none."""
    frame = b"\x81\x80abcd"
    bearer = site.bearer()
    return {
        "a frame behind it": opening(site, behind=frame),
        "half a frame behind it": opening(site, behind=frame[:1]),
        "an empty line behind it": opening(site, behind=b"\r\n\r\n"),
        "a request behind it": opening(site, behind=request(site, "/webinars")),
        "a hook behind it": opening(site, behind=hook(site, b"Content-Length: " + SIZE)),
        "another behind it": opening(site, behind=handshake(site)),
        "a body": upgrade(site, "/rooms/w/socket", {**bearer, "Content-Length": "5"}) + b"hello",
        "chunks": upgrade(site, "/rooms/w/socket", {**bearer, "Transfer-Encoding": "chunked"}) + b"0\r\n\r\n",
        "no Host": opening(site, b"Host: " + site.address.encode() + b"\r\n"),
        "two Hosts": opening(site, b"Host: ", b"Host: a\r\nHost: "),
        "bare line feeds": opening(site).replace(b"\r\n", b"\n"),
        "one bare line feed": opening(site, b"websocket\r\n", b"websocket\n"),
        "a NUL": opening(site, b"Host: ", b"X: a\0b\r\nHost: "),
        "a folded line": opening(site, b"Host: ", b"X: a\r\n b\r\nHost: "),
        "a space before the colon": opening(site, b"Upgrade:", b"Upgrade :"),
        "two keys": opening(site, b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" * 2
                            + b"Sec-WebSocket-Key"),
        "two versions": opening(site, b"Sec-WebSocket-Version", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version"),
        "by POST with a body": opening(site, b"GET", b"POST").replace(b"Host", b"Content-Length: 5\r\nHost") + b"hello",
        "a hook that asks for a socket": hook(site, b"Connection: Upgrade", b"Upgrade: websocket",
                                              b"Content-Length: " + SIZE),
    }  # fmt: skip


async def test_a_handshake_in_doubt_is_refused_and_nothing_behind_it_is_done(scheduled: Site) -> None:
    before = await scheduled.everything()
    for name, data in shapes_of_handshakes(scheduled).items():
        for pieces in ways(data)[:2]:  # a frame of its own, behind the head, is the socket's business
            async with connecting(scheduled) as raw:
                await raw.send(*pieces)
                assert await told(raw) == REFUSED, (name, pieces)
    assert await scheduled.everything() == before
    assert (scheduled.inside.admission.total, scheduled.inside.hub.groups) == (0, {})


async def test_an_upgrade_that_is_no_handshake_is_an_ordinary_request(scheduled: Site) -> None:
    """To an address that only sockets have."""
    shapes = {
        "in HTTP/1.0": opening(scheduled, b"HTTP/1.1", b"HTTP/1.0"),
        "to something else first": opening(scheduled, b"Upgrade: ", b"Upgrade: h2c\r\nUpgrade: "),
        "to something else as well": opening(scheduled, b"websocket\r\n", b"websocket\r\nUpgrade: h2c\r\n"),
        "to a list": opening(scheduled, b"websocket\r\n", b"websocket, h2c\r\n"),
    }
    await check(scheduled, shapes, [(404, "not_found")])


async def test_what_comes_behind_an_upgrade_that_is_ignored_is_not_read(scheduled: Site) -> None:
    """The body of such a request was once read as the next request."""
    before = await scheduled.everything()
    other = [b"Host: x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA"]
    smuggled = hook(scheduled, b"Content-Length: " + SIZE)
    length = b"Content-Length: %d" % len(smuggled)
    post = f"POST {HOOK} HTTP/1.1".encode()
    await check(scheduled, {"behind": head(*other) + smuggled}, ALIVE)
    await check(scheduled, {"as a body": head(*other, length, first=post) + smuggled}, REFUSED)
    coded = head(*other, b"Transfer-Encoding: chunked", first=post)
    await check(scheduled, {"as chunks": coded + b"%x\r\n%b" % (len(smuggled), smuggled)}, REFUSED)
    assert await scheduled.everything() == before


async def test_a_handshake_behind_another_request_is_not_mixed_with_it(scheduled: Site) -> None:
    """Their targets and headers were once joined."""
    async with connecting(scheduled) as raw:
        await raw.send(head(b"Host: x") + handshake(scheduled))
        assert await told(raw) == ALIVE


async def test_a_handshake_whose_options_stand_in_two_lines_is_accepted(scheduled: Site) -> None:
    for lines in (b"Connection: keep-alive\r\nConnection: Upgrade", b"Connection: Upgrade\r\nConnection: keep-alive"):
        for pieces in ways(opening(scheduled, b"Connection: Upgrade", lines))[:2]:
            async with connecting(scheduled) as raw:
                await raw.send(*pieces)
                assert (await raw.answer()).status == 101, pieces
