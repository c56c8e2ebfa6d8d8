"""A proxy between a client and a server that loses replies, cuts, delays, freezes and holds requests back."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK = 1 << 20


class Held:
    """A request that reaches the server only when the test lets go of it, even if its client has gone."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.arrived = asyncio.Event()
        """It is held back now."""
        self.released = asyncio.Event()
        self.answered = asyncio.Event()
        """The server has done it."""


class Connection:
    """One connection through the proxy."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.losing = False
        self.held: Held | None = None
        self.speaks = False
        """The client has spoken since it last heard anything."""


class Proxy:
    """Passes bytes on, until it is told otherwise. `url` is where clients connect."""

    def __init__(self, url: str, target: str) -> None:
        self.url = url
        self.target = target
        """The socket of the server behind; it may change for connections to come."""
        self.turns = 0
        """How often a client spoke after it was answered: round trips, whatever travels in each."""
        self.lost = 0
        self.delay = 0.0
        """Seconds before each reply is passed on."""
        self._connections: set[Connection] = set()
        self._losing: list[bytes] = []
        self._holding: list[Held] = []
        self._flows = asyncio.Event()
        self._flows.set()

    def lose_reply_to(self, word: bytes) -> None:
        """The next request with `word` is passed on, its reply is not, and the line is cut."""
        self._losing.append(word)

    def hold(self, word: bytes) -> Held:
        """The next request with `word` waits here."""
        held = Held(word)
        self._holding.append(held)
        return held

    def cut(self) -> None:
        """Every line, at once."""
        for connection in self._connections:
            connection.writer.transport.abort()

    def freeze(self) -> None:
        """Nothing passes in either direction, new lines are taken and lead nowhere."""
        self._flows.clear()

    def thaw(self) -> None:
        """Everything passes again, what waited first."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(writer)
        self._connections.add(connection)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._flows.wait()
            server_reader, server_writer = await asyncio.open_unix_connection(self.target)
            with contextlib.closing(server_writer):
                ways = {
                    asyncio.create_task(self._requests(reader, server_writer, connection)),
                    asyncio.create_task(self._replies(server_reader, writer, connection)),
                }
                await _first_of(ways)
        self._connections.discard(connection)
        writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Connection) -> None:
        while data := await reader.read(CHUNK):
            await self._flows.wait()
            self.turns += not line.speaks
            line.speaks = True
            await self._stop_at(data, line)
            writer.write(data)
            if line.held is not None:
                await line.held.answered.wait()

    async def _stop_at(self, data: bytes, line: Connection) -> None:
        for word in [word for word in self._losing if word in data][:1]:
            self._losing.remove(word)
            line.losing = True
        for held in [held for held in self._holding if held.word in data][:1]:
            self._holding.remove(held)
            line.held = held
            held.arrived.set()
            await held.released.wait()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Connection) -> None:
        while data := await reader.read(CHUNK):
            line.speaks = False
            if line.held is not None:
                line.held.answered.set()
            if line.losing:
                self.lost += 1
                return
            await asyncio.sleep(self.delay)
            await self._flows.wait()
            writer.write(data)


async def _first_of(ways: set[asyncio.Task[None]]) -> None:
    """Until one of them ends; then the others do."""
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server at `url` (`unix://…`)."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        socket = Path(folder) / "p"
        proxy = Proxy(f"unix://{socket}", url.removeprefix("unix://"))
        serving: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.create_task(proxy._serve(reader, writer)))

        server = await asyncio.start_unix_server(connected, path=str(socket), limit=CHUNK)
        try:
            yield proxy
        finally:
            server.close()
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await server.wait_closed()
