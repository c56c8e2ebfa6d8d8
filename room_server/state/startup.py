"""Opens the state for as long as a command or a process needs it: the server, a client, the pipelines, the store.

A command fails at once when Redis is unavailable (`open_state`); a process that stays waits for it (`wait_for_state`),
and logs what is wrong with the server's settings (`log_server_problems`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError, RedisAway
from room_server.state.keys import PARTITIONS, Keys
from room_server.state.redis import embedded
from room_server.state.redis.cluster import each_server, open_cluster_pipeline
from room_server.state.redis.connect import connected
from room_server.state.redis.pipeline import Client, Pipeline, open_node_pipeline
from room_server.state.redis.retry import is_final
from room_server.state.rights import check_rights
from room_server.state.store import Store

logger = logging.getLogger(__name__)

TRY_EVERY = 0.5
"""Seconds between two tries to open the state while Redis is unavailable."""
CHECKED = ("appendfsync", "appendonly", "cluster-require-full-coverage", "maxmemory-policy")
"""The settings that `log_server_problems` reads with CONFIG GET."""
SYNCS = {
    "everysec": "writes to its disk once a second (appendfsync everysec), so a machine that fails takes up to a second "
    "of answered changes along; set appendfsync always",
    "no": "leaves it to its system when to write to the disk (appendfsync no), so a machine that fails takes half a "
    "minute of answered changes along; set appendfsync always",
}
"""What is wrong with each value of appendfsync but `always`."""


Info = dict[str, Any]
"""A reply of INFO or CONFIG GET, by name."""


class State(Struct, frozen=True):
    """The open state: the store, and the client and address of its Redis for subscriptions."""

    store: Store
    client: Client
    url: str


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[State]:
    """The state that `settings` name. Raises RedisAway if Redis does not answer, else ConfigurationError."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = await stack.enter_async_context(embedded.serve(settings.path()))
        client = await stack.enter_async_context(connected(url))
        try:
            pipeline = replicated = await stack.enter_async_context(open_pipeline(client))
            if settings.replicas:  # a pipeline of its own, so that plain reads do not wait for replicas
                replicated = await stack.enter_async_context(open_pipeline(client, settings.replicas))
            await _check_version(pipeline)
            keys = Keys(await _partitions(pipeline, settings))
            await check_rights(client, pipeline, keys)
        except (RedisError, OSError) as error:
            raise _configuration_error(url, error) from error
        yield State(Store(pipeline, keys, replicated), client, url)


@asynccontextmanager
async def wait_for_state(settings: Settings) -> AsyncIterator[State]:
    """Like `open_state`, but waits while Redis is unavailable, and logs that once. Raises ConfigurationError.

    It waits without end; the caller may cancel it.
    """
    async with AsyncExitStack() as stack:
        is_waiting = False
        while True:
            try:
                state = await stack.enter_async_context(open_state(settings))
                break
            except RedisAway as error:
                if not is_waiting:
                    logger.warning("this process waits for Redis before it starts: %s", error)
                is_waiting = True
            await asyncio.sleep(TRY_EVERY)
        if is_waiting:
            logger.warning("Redis is there: this process starts")
        yield state


def _configuration_error(url: str, error: Exception) -> ConfigurationError:
    """The error for the operator; it shows the address without its password and options."""
    place = url.rpartition("@")[2].partition("?")[0]
    reason = str(error).partition(" : ")[0]  # what follows are all options of each sentinel
    if is_final(error):
        return ConfigurationError(f"{PREFIX}REDIS_URL: {place} does not take us: {reason}")
    return RedisAway(f"{PREFIX}REDIS_URL: no answer from {place}: {reason}")


def open_pipeline(client: Client, replicas: int = 0) -> AbstractAsyncContextManager[Pipeline]:
    """The pipeline for this kind of client, closed with the block; its commands wait for so many replicas."""
    if isinstance(client, RedisCluster):
        return open_cluster_pipeline(client, replicas)
    return open_node_pipeline(client, replicas)


async def _check_version(pipeline: Pipeline) -> None:
    """Without SPUBLISH, `commit.lua` would fail after its writes. Raises ConfigurationError."""
    (known,) = await pipeline.call("COMMAND INFO", "SPUBLISH")
    if known is None:
        raise ConfigurationError(
            f"{PREFIX}REDIS_URL: this server is too old, it has no sharded pub/sub: Redis >= 7 or Valkey >= 8 is needed"
        )


async def _partitions(pipeline: Pipeline, settings: Settings) -> int:
    """The number of partitions that this Redis was first started with. Raises ConfigurationError."""
    await pipeline.call("SET", PARTITIONS, settings.partitions or 1, "NX")
    stored = int(await pipeline.call("GET", PARTITIONS) or 0)
    if settings.partitions not in {None, stored}:
        raise ConfigurationError(
            f"{PREFIX}PARTITIONS is {settings.partitions}, but this Redis was first started with {stored}; "
            "leave the setting out, or move to an empty Redis"
        )
    return stored


async def log_server_problems(state: State, replicas: int) -> None:
    """Log a warning for each setting by which a server could lose acknowledged changes, or refuse to work.

    What a server does not show (managed ones may forbid CONFIG and INFO) is not guessed. Nothing here stops the start.
    """
    async with each_server(state.client) as servers:
        for name, server in servers.items():
            where = f"Redis at {name}" if name else "Redis"
            try:
                info, config = await _info_and_config(server)
            except (RedisError, OSError) as error:
                logger.warning("%s could not be looked at: %s", where, error)
                continue
            for problem in server_problems(info, config, replicas):
                logger.warning("%s %s", where, problem)


async def _info_and_config(server: Redis) -> tuple[Info, Info]:
    """Replies of INFO and CONFIG GET; empty if they are forbidden. Raises RedisError, OSError without a reply."""
    info: Info = {}
    config: Info = {}
    try:
        info = await server.info()
        config = {str(name): value for name, value in (await server.config_get(*CHECKED)).items()}
    except ResponseError as error:
        logger.debug("Redis does not tell: %s", error)
    return info, config


def server_problems(info: Info, config: Info, replicas: int) -> Iterator[str]:
    """What is wrong with a server, each with what would be right; `replicas`: the setting ROOM_SERVER_REPLICAS."""
    has_file = info.get("aof_enabled", {"yes": 1, "no": 0}.get(config.get("appendonly", "")))
    if has_file == 0:
        yield "keeps no append-only file, so answered changes are lost when it restarts; set appendonly yes"
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield "cannot write its append-only file, so it refuses changes; look at its disk and its log"
    elif (sync := config.get("appendfsync", "")) in SYNCS:
        yield SYNCS[sync]
    policy = info.get("maxmemory_policy") or config.get("maxmemory-policy") or "noeviction"
    if policy != "noeviction":
        yield f"throws records away when memory is full (maxmemory-policy {policy}); set maxmemory-policy noeviction"
    if info.get("cluster_enabled") == 1 and config.get("cluster-require-full-coverage") == "yes":
        yield (
            "refuses all webinars while any primary of the Cluster is away (cluster-require-full-coverage yes); set "
            "cluster-require-full-coverage no"
        )
    connected_replicas = info.get("connected_slaves", replicas)
    if connected_replicas < replicas:
        yield (
            f"has {connected_replicas} connected replicas and {PREFIX}REPLICAS asks for {replicas}: changes are "
            "refused until there are as many"
        )
