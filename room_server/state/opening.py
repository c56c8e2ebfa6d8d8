"""Opens the state for as long as a command or a process needs it: the server, a client, the pipeline, the store."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct
from redis.exceptions import RedisError

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError
from room_server.state import embedded
from room_server.state.connect import connected
from room_server.state.keys import PARTITIONS, Keys
from room_server.state.pipeline import Client, open_pipeline
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
        keys = Keys(await _partitions(client, settings, url))
        pipeline = await stack.enter_async_context(open_pipeline(client))
        yield State(Store(pipeline, keys, settings.evaluation_grace), client, url)


async def _partitions(client: Client, settings: Settings, url: str) -> int:
    """The number that this Redis was first started with. Raises ConfigurationError."""
    try:
        await client.set(PARTITIONS, settings.partitions or 1, nx=True)
        stored = int(await client.get(PARTITIONS) or 0)
    except (RedisError, OSError) as error:
        address = url.rpartition("@")[2]
        raise ConfigurationError(f"{PREFIX}REDIS_URL: no answer from {address}: {error}") from error
    if settings.partitions not in {None, stored}:
        raise ConfigurationError(
            f"{PREFIX}PARTITIONS is {settings.partitions}, but this Redis was first started with {stored}; "
            "leave the setting out, or move to an empty Redis"
        )
    return stored
