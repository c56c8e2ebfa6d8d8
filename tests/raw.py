"""A bare TCP connection to a site, for what no well-behaved client sends: bytes out, answers and frames in."""

import asyncio
import os
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from tests.support import PATIENCE, Site

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A
NOTHING: Mapping[str, str] = MappingProxyType({})
MASK = b"\x37\xfa\x21\x3d"


class Answer(NamedTuple):
    """An HTTP answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem."""
        problem: dict[str, Any] = msgspec.json.decode(self.body)
        return str(problem["code"])


class Frame(NamedTuple):
    """A frame as it stood on the wire."""

    first: int
    payload: bytes

    @property
    def state(self) -> dict[str, Any]:
        """The room state of a text frame."""
        decoded: dict[str, Any] = msgspec.json.decode(self.payload)
        return decoded

    @property
    def code(self) -> int:
        """The code of a close frame."""
        (code,) = struct.unpack("!H", self.payload[:2])
        return int(code)


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *chunks: bytes) -> None:
        """Each chunk on its way before the next."""
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self) -> Answer:
        """The next HTTP answer."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split()[1]), headers, body)

    async def frame(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return Frame(first, await self.reader.readexactly(size))

    async def state(self) -> dict[str, Any]:
        """The next room state; pings before it are read and not answered."""
        while (frame := await self.frame()).first == PING:
            pass
        assert frame.first == TEXT, frame
        return frame.state

    async def closing(self) -> int:
        """The code of the close frame, behind whatever else was sent."""
        while (frame := await self.frame()).first != CLOSE:
            pass
        return frame.code

    async def rest(self) -> bytes:
        """Everything until the server closes, in order or with a reset."""
        received = b""
        async with asyncio.timeout(PATIENCE):
            try:
                while chunk := await self.reader.read(65536):
                    received += chunk
            except ConnectionError:
                pass
        return received


@asynccontextmanager
async def connecting(site: Site, receive_buffer: int = 0) -> AsyncIterator[Raw]:
    """A connection; `receive_buffer` bytes are about all that this end takes in unread."""
    connection = socket.socket()
    connection.setblocking(False)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    host, _, port = site.address.partition(":")
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer or 2**20)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def in_room(site: Site, webinar_id: str = "w", receive_buffer: int = 0, **claims: Any) -> AsyncIterator[Raw]:
    """A connection whose handshake was accepted; its snapshot is not read yet."""
    async with connecting(site, receive_buffer) as raw:
        await raw.send(handshake(site, webinar_id, **claims))
        answer = await raw.answer()
        assert answer.status == 101, answer
        yield raw


def handshake(site: Site, webinar_id: str = "w", role: str = "attendee", **claims: Any) -> bytes:
    """A valid handshake of a client that sends the usual header; `claims` go into its token."""
    token = site.token(role, claims.pop("scope", webinar_id), **claims)
    return upgrade(site, f"/rooms/{webinar_id}/socket", {"Authorization": f"Bearer {token}"})


def upgrade(site: Site, path: str, headers: dict[str, str]) -> bytes:
    """A handshake with these headers besides the necessary ones; an empty one leaves a necessary one out."""
    fields = {
        "Host": site.address,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "room.v1",
        **headers,
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def masked(first: int, payload: bytes = b"") -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def request(
    site: Site, path: str, method: str = "GET", headers: Mapping[str, str] = NOTHING, body: bytes = b""
) -> bytes:
    """An HTTP/1.1 request; the length of a body is told unless the headers say otherwise."""
    fields = {"Host": site.address, **headers}
    if body and not {"Content-Length", "Transfer-Encoding"} & fields.keys():
        fields["Content-Length"] = str(len(body))
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body
