"""The network between browser and server, as bad as a test wants it: it cuts, freezes, refuses and answers itself."""

import asyncio
import contextlib
import re
import time
from http import HTTPStatus
from types import TracebackType
from typing import Self


class Wire:
    """Relays to `target`; `async with Wire(site.address) as wire`, then use `wire.address`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.is_down = False
        """Whether new connections are dropped."""
        self.blocks_sockets = False
        """Whether WebSocket handshakes are dropped, as some proxies of companies do."""
        self.sockets_opened = 0
        self.instead: dict[str, bytes] = {}
        """What is answered in the server's place, by the beginning of an address: bytes as they go over the wire."""
        self.taken: list[tuple[str, float]] = []
        """Requests that were answered so: address, and the time of `time.monotonic`."""
        self._pairs: set[Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def sockets_open(self) -> int:
        """WebSockets that are relayed now."""
        return sum(pair.is_socket for pair in self._pairs)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Everything that is connected now loses its connection."""
        for pair in self._pairs:
            pair.cut()

    def freeze_sockets(self) -> None:
        """The WebSockets of now go silent, and neither side is told."""
        for pair in self._pairs:
            pair.is_frozen = pair.is_socket

    def tell_sockets(self, text: str) -> None:
        """A frame for the browser that the server never sent."""
        for pair in self._pairs:
            if pair.is_socket:
                pair.tell(text.encode())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._relay(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"" if self.is_down else await reader.readuntil(b"\r\n\r\n")
        if self.is_down:  # a browser connects before it has anything to say
            return
        is_socket = b"upgrade: websocket" in head.lower()
        if is_socket and self.blocks_sockets:
            return
        if await self._takes(head, reader, writer):
            return
        if not is_socket:  # one request a connection, so that none is relayed unseen
            head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self.sockets_opened += is_socket
        host, _, port = self.target.rpartition(":")
        to_server = await asyncio.open_connection(host, int(port))
        to_server[1].write(head)
        pair = Pair((reader, writer), to_server, is_socket)
        self._pairs.add(pair)
        await pair.run()
        self._pairs.discard(pair)

    async def _takes(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the request is answered here; its body is read first, as every server does."""
        address = head.split(b" ", 2)[1].decode()
        answer = next((answer for path, answer in self.instead.items() if address.startswith(path)), None)
        if answer is None:
            return False
        if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", head):
            await reader.readexactly(int(length[1]))
        self.taken.append((address, time.monotonic()))
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        return True


def answered(status: int, body: str | bytes = b"", kind: str = "text/html", **headers: str) -> bytes:
    """A whole answer, after which the connection is closed; `Retry_After` stands for the header Retry-After."""
    content = body if isinstance(body, bytes) else body.encode()
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Odd"
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {kind}", "Connection: close"]
    named = {"Content-Length": str(len(content)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pair:
    """One connection: the browser's side and the server's."""

    def __init__(self, browser: Stream, server: Stream, is_socket: bool) -> None:
        self.is_socket = is_socket
        self.is_frozen = False
        self._browser = browser
        self._server = server
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Both sides are reset."""
        self._cut.set()

    def tell(self, text: bytes) -> None:
        """One whole text frame, unmasked, as servers send them (RFC 6455 5.2)."""
        self._browser[1].write(bytes([0x81, len(text)]) + text)

    async def run(self) -> None:
        """Relay until either side ends, or for as long as it is frozen."""
        pumps = [
            asyncio.create_task(self._pump(self._browser[0], self._server[1])),
            asyncio.create_task(self._pump(self._server[0], self._browser[1])),
            asyncio.create_task(self._wait_for_cut()),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for _, writer in (self._browser, self._server):
            writer.transport.abort()

    async def _wait_for_cut(self) -> None:
        await self._cut.wait()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_frozen:
                    writer.write(data)
                    await writer.drain()
        if self.is_frozen:
            await self._cut.wait()
