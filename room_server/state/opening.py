"""Opens the state for as long as a command or a process needs it: the server, a client, the pipeline, the store."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec import Struct
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError
from room_server.state import embedded
from room_server.state.cluster import open_lines
from room_server.state.connect import connected
from room_server.state.keys import PARTITIONS, Keys
from room_server.state.pipeline import Client, Pipeline, open_line
from room_server.state.store import Store


class State(Struct, frozen=True):
    """What is open: the store for decisions, the client and the address for listening."""

    store: Store
    client: Client
    url: str


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[State]:
    """The state that `settings` name. Raises ConfigurationError when it cannot be had."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = await stack.enter_async_context(embedded.serve(settings.path()))
        client = await stack.enter_async_context(connected(url))
        try:
            pipeline = confirmed = await stack.enter_async_context(open_pipeline(client))
            if settings.replicas:  # a line of their own: whoever only reads does not wait for replicas
                confirmed = await stack.enter_async_context(open_pipeline(client, settings.replicas))
            await _check_server(pipeline)
            partitions = await _partitions(pipeline, settings)
        except (RedisError, OSError) as error:
            address = url.rpartition("@")[2].partition("?")[0]
            raise ConfigurationError(f"{PREFIX}REDIS_URL: no answer from {address}: {error}") from error
        yield State(Store(pipeline, Keys(partitions), settings.evaluation_grace, confirmed), client, url)


def open_pipeline(client: Client, replicas: int = 0) -> AbstractAsyncContextManager[Pipeline]:
    """The pipeline for this kind of client, closed with the block; it answers when `replicas` have what it wrote."""
    return open_lines(client, replicas) if isinstance(client, RedisCluster) else open_line(client, replicas)


async def _check_server(pipeline: Pipeline) -> None:
    """An older server would break off in the middle of a commit, at the publish. Raises ConfigurationError."""
    (known,) = await pipeline.call("COMMAND INFO", "SPUBLISH")
    if known is None:
        raise ConfigurationError(
            f"{PREFIX}REDIS_URL: this server is too old, it has no sharded pub/sub: Redis >= 7 or Valkey >= 8 is needed"
        )


async def _partitions(pipeline: Pipeline, settings: Settings) -> int:
    """The number that this Redis was first started with. Raises ConfigurationError."""
    await pipeline.call("SET", PARTITIONS, settings.partitions or 1, "NX")
    stored = int(await pipeline.call("GET", PARTITIONS) or 0)
    if settings.partitions not in {None, stored}:
        raise ConfigurationError(
            f"{PREFIX}PARTITIONS is {settings.partitions}, but this Redis was first started with {stored}; "
            "leave the setting out, or move to an empty Redis"
        )
    return stored
