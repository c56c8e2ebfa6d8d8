"""Handshakes by bare TCP, whole, in pieces and after another request: each is answered the same."""

import pytest

from room_server.protocols.upgrade import HandshakeHead
from tests.raw import connecting, handshake, request
from tests.support import Site, room

UPGRADE = b"GET /rooms/w/socket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"


def test_a_whole_handshake_is_read() -> None:
    head = HandshakeHead.of(UPGRADE + b"X-One: 1\r\nx-one: 2\r\n\r\n")

    assert head is not None
    assert (head.method, head.url) == (b"GET", b"/rooms/w/socket")
    assert head.headers[-2:] == [(b"x-one", b"1"), (b"x-one", b"2")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        UPGRADE,
        UPGRADE + b"\r\n\r\n",
        UPGRADE + b"\r\n\x88\x80\r\n\r\n",
        b"POST" + UPGRADE[3:] + b"\r\n",
        UPGRADE.replace(b"WebSocket", b"h2c") + b"\r\n",
        UPGRADE.replace(b", Upgrade", b"") + b"\r\n",
        UPGRADE + b"Upgrade: h2c\r\n\r\n",
        UPGRADE + b"no header\r\n\r\n",
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/9.9.9") + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + UPGRADE + b"\r\n",
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        UPGRADE.replace(b"Host: x\r\n", b"") + b"\r\n",
        UPGRADE + b"Host: x\r\n\r\n",
        UPGRADE + b"Content-Length: 1\r\n\r\n",
    ],
)
def test_anything_else_is_left_to_http(data: bytes) -> None:
    assert HandshakeHead.of(data) is None


async def test_a_handshake_in_pieces_is_answered_as_a_whole_one(site: Site) -> None:
    await site.transactions.create(room())
    whole = handshake(site)
    for pieces in ([whole], [whole[:10], whole[10:]], [whole[:-1], whole[-1:]], [bytes([one]) for one in whole]):
        async with connecting(site) as raw:
            await raw.send(*pieces)

            assert (await raw.answer()).status == 101
            assert (await raw.frame()).state["version"] == 1


async def test_a_handshake_behind_an_answered_request_is_answered(site: Site) -> None:
    await site.transactions.create(room())
    async with connecting(site) as raw:
        await raw.send(request(site, "/healthz"))
        assert (await raw.answer()).status == 200
        await raw.send(handshake(site))

        assert (await raw.answer()).status == 101


async def test_a_connection_that_closes_without_a_request_leaves_nothing_behind(site: Site) -> None:
    async with connecting(site) as silent, connecting(site) as asking:
        silent.writer.write_eof()
        assert await silent.rest() == b""
        await asking.send(request(site, "/healthz"))
        assert (await asking.answer()).status == 200
