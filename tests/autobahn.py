"""A gateway for the Autobahn cases: it adds a room and a token to the handshake, and drops the snapshot."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support import Site

CHUNK = 1 << 16


class Gateway:
    """Passes bytes on as they come, half-closes included, once the handshake is over."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._leads = itertools.count(1)
        self._connections: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def end(self) -> None:
        """Cut every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site_reader, site_writer = await asyncio.open_connection(*self._site.address.split(":"))
        with contextlib.closing(writer), contextlib.closing(site_writer), contextlib.suppress(ConnectionError):
            site_writer.write(self._request(await reader.readuntil(b"\r\n\r\n")))
            writer.write(await _answer(site_reader))
            await asyncio.gather(_copy(reader, site_writer), _copy(site_reader, writer))

    def _request(self, head: bytes) -> bytes:
        """The client's own handshake, sent to a room with an attendee's token."""
        _, _, fields = head.partition(b"\r\n")
        token = self._site.token("attendee", sub=str(next(self._leads)))  # one person may hold a few sockets only
        ours = f"Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: room.v1\r\n"
        return b"GET /rooms/w/socket HTTP/1.1\r\n" + ours.encode() + fields


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The answer without the subprotocol that the client did not ask for, and without the snapshot behind it."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, size = await reader.readexactly(2)
    size = int.from_bytes(await reader.readexactly(2)) if size == 126 else size
    await reader.readexactly(size)
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"sec-websocket-protocol"))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def gateway_to(site: Site) -> AsyncIterator[str]:
    """The address that the cases connect to."""
    gateway = Gateway(site)
    server = await asyncio.start_server(gateway.connected, "127.0.0.1")
    host, port = server.sockets[0].getsockname()
    try:
        yield f"ws://{host}:{port}"
    finally:
        server.close()
        await gateway.end()
        await server.wait_closed()
