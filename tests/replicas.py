"""A primary and its replica, for tests to freeze, kill and tear apart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis

from room_server.errors import StateUnavailable
from tests.cluster import free_ports
from tests.outage import OwnRedis, own_redis
from tests.support import eventually

Given = TypeVar("Given")
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """The way from a primary to its replica: what the primary says comes `delay` seconds late; never, once it tore."""

    def __init__(self) -> None:
        self.port = 0
        """Where the replica finds its primary."""
        self.delay = 0.0
        self.torn = False

    async def carry(self, ends: Sequence[End], late: bool) -> None:
        """What one end says, to the other."""
        (reader, _), (_, writer) = ends
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(self.delay if late else 0)
                if not self.torn:
                    writer.write(data)
        writer.close()


@asynccontextmanager
async def link_to(port: int) -> AsyncIterator[Link]:
    """A link to the primary at this port; its lines end with the block."""
    link, serving = Link(), set[asyncio.Task[None]]()

    async def serve(*replica: Any) -> None:
        with contextlib.suppress(OSError), contextlib.closing(replica[1]):
            primary = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(primary[1]):
                await asyncio.gather(link.carry((replica, primary), False), link.carry((primary, replica), True))

    def connected(*replica: Any) -> None:
        serving.add(asyncio.create_task(serve(*replica)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def healed(act: Callable[[], Awaitable[Given]]) -> Given:
    """What `act` gives once Redis and its replicas are there again."""

    async def tried() -> list[Given]:
        try:
            return [await act()]
        except StateUnavailable:
            return []

    given: list[Given] = await eventually(tried, "it heals")
    return given[0]


class Pair(NamedTuple):
    """A primary and its replica, each in the test's hands, and what lies between them."""

    primary: OwnRedis
    replica: OwnRedis
    link: Link


async def is_linked(replica: OwnRedis) -> bool:
    """Whether the replica has all that its primary has."""
    async with Redis.from_url(replica.url) as client:
        told = await client.info("replication")
        return bool(told.get("master_link_status") == "up")


@asynccontextmanager
async def pair(program: str | None = None) -> AsyncIterator[Pair]:
    """The replica follows at once. `program` is another server than the embedded one."""
    (port,) = free_ports(1)
    reached = ("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(own_redis(*reached, program=program))
        link = await stack.enter_async_context(link_to(port))
        follows = ("--replicaof", "127.0.0.1", str(link.port))
        replica = await stack.enter_async_context(own_redis(*follows, program=program))
        await eventually(lambda: is_linked(replica), "the replica follows")
        yield Pair(primary, replica, link)
        replica.thaw()
