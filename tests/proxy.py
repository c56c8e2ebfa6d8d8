"""A proxy between a client and a server that loses replies, cuts, half-closes, delays, freezes and holds back."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK = 1 << 20


class Lost:
    """A request whose reply does not come back; its line is cut."""

    def __init__(self, word: bytes) -> None:
        self.word = word


class Held(Lost):
    """A request that reaches the server only when the test lets go of it, even if its client has gone."""

    def __init__(self, word: bytes) -> None:
        super().__init__(word)
        self.arrived = asyncio.Event()
        """It is held back now."""
        self.released = asyncio.Event()
        self.answered = asyncio.Event()
        """The server has done it."""


class Connection:
    """One connection through the proxy."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.order: Lost | None = None
        """What becomes of the request under way."""
        self.speaks = False
        """The client has spoken since it last heard anything."""
        self.mute = False
        """The client was told that nothing more comes."""


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
        self._orders: list[Lost] = []
        self._flows = asyncio.Event()
        self._flows.set()

    def lose_reply_to(self, word: bytes) -> None:
        """The next request with `word`, after those that have an order already, is done and not answered."""
        self._orders.append(Lost(word))

    def hold(self, word: bytes) -> Held:
        """The next request with `word`, after those that have an order already, waits here."""
        held = Held(word)
        self._orders.append(held)
        return held

    def cut(self) -> None:
        """Every line, at once."""
        for connection in self._connections:
            connection.writer.transport.abort()

    def half_close(self) -> None:
        """Every line says that nothing more comes from the server, which still hears what is said to it."""
        for connection in self._connections:
            if not (connection.mute or connection.writer.is_closing()):
                connection.mute = True
                connection.writer.write_eof()

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
            line.order = next((order for order in self._orders if order.word in data), None)
            if line.order is not None:
                self._orders.remove(line.order)
            if isinstance(line.order, Held):
                line.order.arrived.set()
                await line.order.released.wait()
            writer.write(data)
            if isinstance(line.order, Held):
                await line.order.answered.wait()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Connection) -> None:
        while data := await reader.read(CHUNK):
            line.speaks = False
            if isinstance(line.order, Held):
                line.order.answered.set()
            elif line.order is not None:
                self.lost += 1
                return
            await asyncio.sleep(self.delay)
            await self._flows.wait()
            if not line.mute:
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
