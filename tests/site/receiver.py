"""A site that hears the events: a real HTTP server, which behaves as it is told, and keeps what it took by id."""

import asyncio
import base64
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"the secret of the site's events!").decode()


class Heard(Struct, frozen=True):
    """One request: when (event loop's time), its headers, its body."""

    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in it."""
        found: list[dict[str, Any]] = self.json["data"]["events"]
        return found

    @property
    def id(self) -> str:
        """Its `webhook-id`."""
        return self.headers["webhook-id"]


Behaviour = Callable[["SiteReceiver", Heard, asyncio.StreamWriter], Awaitable[None]]


class SiteReceiver:
    """What was heard, and how the next requests are answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Heard] = []
        """All, answered or not."""
        self.table: dict[str, dict[str, Any]] = {}
        """The events that were taken, by id, in the order in which each came first."""
        self.next: deque[Behaviour] = deque()
        self.usual: Behaviour = take
        self.open = 0
        """Requests that are being answered."""
        self.most_open = 0
        self.refusals: list[str] = []
        """Ids that are refused for ever."""

    @property
    def ids(self) -> list[str]:
        """The ids in the table."""
        return list(self.table)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                heard = Heard(asyncio.get_running_loop().time(), {**headers, ":first": head[0]},
                              await reader.readexactly(int(headers.get("content-length", 0))))  # fmt: skip
                await self._answer(heard, writer)
                await writer.drain()

    async def _answer(self, heard: Heard, writer: asyncio.StreamWriter) -> None:
        self.requests.append(heard)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            behaviour = self.next.popleft() if self.next else self.usual
            await behaviour(self, heard, writer)
        finally:
            self.open -= 1

    def store(self, heard: Heard) -> None:
        """Verify as the standard's own library does, and put each event into the table once."""
        verified = Webhook(SECRET).verify(heard.body, heard.headers)
        assert verified["type"] == "room_server.events"
        for event in verified["data"]["events"]:
            self.table.setdefault(event["id"], event)


def write(writer: asyncio.StreamWriter, status: int, body: bytes = b"", **headers: str) -> None:
    """An answer."""
    known = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in known.items())
    writer.write(f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode("latin-1") + body)


async def take(site: SiteReceiver, heard: Heard, writer: asyncio.StreamWriter) -> None:
    """200, stored; 422 when there is an event among them that is refused for ever."""
    if {event["id"] for event in heard.events} & set(site.refusals):
        write(writer, 422, b'{"code": "no"}')
        return
    site.store(heard)
    write(writer, 200, b"{}")


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Nothing is stored."""

    async def behave(_: SiteReceiver, __: Heard, writer: asyncio.StreamWriter) -> None:
        write(writer, status, body, **headers)

    return behave


async def take_and_crash(site: SiteReceiver, heard: Heard, writer: asyncio.StreamWriter) -> None:
    """Stored, and the connection breaks before the answer."""
    site.store(heard)
    writer.transport.abort()


async def half(_: SiteReceiver, __: Heard, writer: asyncio.StreamWriter) -> None:
    """The answer breaks off."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


def slow(seconds: float) -> Behaviour:
    """Taken after so long."""

    async def behave(site: SiteReceiver, heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await take(site, heard, writer)

    return behave


async def drip(_: SiteReceiver, __: Heard, writer: asyncio.StreamWriter) -> None:
    """An answer without end, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _byte in range(100_000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def site_receiver(port: int = 0, secure: ssl.SSLContext | None = None) -> AsyncIterator[SiteReceiver]:
    """A server on loopback, for as long as the block runs."""
    site = SiteReceiver("")
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks[asyncio.create_task(site.serve(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=secure, limit=2**20)
    scheme = "https" if secure else "http"
    site.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    try:
        yield site
    finally:
        server.close()
        for task, writer in tasks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*tasks, *(writer.wait_closed() for writer in tasks.values()), return_exceptions=True)
