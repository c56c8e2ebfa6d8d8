"""Opens the state for as long as a command or a process needs it: the server, a client, the pipeline, the store.

A command wants to hear at once that Redis is away (`open_state`); a process that stays waits (`wait_for_state`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec import Struct
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError, RedisAway
from room_server.state.keys import PARTITIONS, Keys
from room_server.state.redis import embedded
from room_server.state.redis.cluster import open_cluster_pipeline
from room_server.state.redis.connect import connected
from room_server.state.redis.pipeline import Client, Pipeline, open_node_pipeline
from room_server.state.redis.retry import is_final
from room_server.state.store import Store

logger = logging.getLogger(__name__)

TRY_EVERY = 0.5
"""Seconds between two tries to open the state while Redis is away."""


class State(Struct, frozen=True):
    """What is open: the store for decisions, the client and the address for listening."""

    store: Store
    client: Client
    url: str


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[State]:
    """The state that `settings` name. Raises RedisAway for now, ConfigurationError for good."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = await stack.enter_async_context(embedded.serve(settings.path()))
        client = await stack.enter_async_context(connected(url))
        try:
            pipeline = replicated = await stack.enter_async_context(open_pipeline(client))
            if settings.replicas:  # a line of their own: whoever only reads does not wait for replicas
                replicated = await stack.enter_async_context(open_pipeline(client, settings.replicas))
            await _check_server(pipeline)
            partitions = await _partitions(pipeline, settings)
        except (RedisError, OSError) as error:
            raise _trouble(url, error) from error
        yield State(Store(pipeline, Keys(partitions), replicated), client, url)


@asynccontextmanager
async def wait_for_state(settings: Settings) -> AsyncIterator[State]:
    """The same for a process that stays: waits while Redis is away, and says so once. Raises ConfigurationError.

    Only the caller's cancellation, or a signal, ends the wait.
    """
    async with AsyncExitStack() as stack:
        is_waiting = False
        while True:
            try:
                state = await stack.enter_async_context(open_state(settings))
                break
            except RedisAway as away:
                if not is_waiting:
                    logger.warning("this process waits for Redis before it starts: %s", away)
                is_waiting = True
            await asyncio.sleep(TRY_EVERY)
        if is_waiting:
            logger.warning("Redis is there: this process starts")
        yield state


def _trouble(url: str, error: Exception) -> ConfigurationError:
    """What is wrong with the server at `url`, without its password."""
    place = url.rpartition("@")[2].partition("?")[0]
    reason = str(error).partition(" : ")[0]  # behind it redis-py describes each sentinel by all of its options
    if is_final(error):
        return ConfigurationError(f"{PREFIX}REDIS_URL: {place} does not take us: {reason}")
    return RedisAway(f"{PREFIX}REDIS_URL: no answer from {place}: {reason}")


def open_pipeline(client: Client, replicas: int = 0) -> AbstractAsyncContextManager[Pipeline]:
    """The pipeline for this kind of client, closed with the block; it answers when `replicas` have what it wrote."""
    return (
        open_cluster_pipeline(client, replicas)
        if isinstance(client, RedisCluster)
        else open_node_pipeline(client, replicas)
    )


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
