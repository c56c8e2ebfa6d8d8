"""Whether the Redis that was given keeps what is answered: looked at once, at the start, and told in plain words.

What a server does not let us see (managed ones forbid CONFIG, some INFO) is not guessed at.
"""

import logging
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from room_server.config import PREFIX
from room_server.state.redis.cluster import each_server
from room_server.state.startup import State

logger = logging.getLogger(__name__)

SEEN = ("appendfsync", "appendonly", "cluster-require-full-coverage", "maxmemory-policy")
"""What CONFIG is asked for."""
SYNCS = {
    "everysec": "writes to its disk once a second (appendfsync everysec), so a machine that fails takes up to a second "
    "of answered changes along; set appendfsync always",
    "no": "leaves it to its system when to write to the disk (appendfsync no), so a machine that fails takes half a "
    "minute of answered changes along; set appendfsync always",
}


class ServerInfo(Struct, frozen=True):
    """What a server tells of itself; empty where it does not."""

    info: dict[str, Any]
    config: dict[str, str]


async def log_problems(state: State, replicas: int) -> None:
    """A warning for each thing that is wrong. Nothing here stops the start."""
    async with each_server(state.client) as servers:
        for name, server in servers.items():
            where = f"Redis at {name}" if name else "Redis"
            try:
                seen = await _seen(server)
            except (RedisError, OSError) as error:
                logger.warning("%s could not be looked at: %s", where, error)
                continue
            for problem in problems(seen, replicas):
                logger.warning("%s %s", where, problem)


def problems(seen: ServerInfo, replicas: int) -> Iterator[str]:
    """What is wrong with a server, each with what would be right; `replicas` is how many are asked for."""
    info, config = seen.info, seen.config
    keeps_file = info.get("aof_enabled", {"yes": 1, "no": 0}.get(config.get("appendonly", "")))
    if keeps_file == 0:
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
    connected = info.get("connected_slaves", replicas)
    if connected < replicas:
        yield (
            f"has {connected} connected replicas and {PREFIX}REPLICAS asks for {replicas}: changes are refused until "
            "there are as many"
        )


async def _seen(server: Redis) -> ServerInfo:
    """Raises RedisError when it does not answer."""
    info: dict[str, Any] = {}
    config: dict[str, str] = {}
    try:
        info = await server.info()
        config = {str(name): str(value) for name, value in (await server.config_get(*SEEN)).items()}
    except ResponseError as error:  # it may be forbidden, or not be there
        logger.debug("Redis does not tell: %s", error)
    return ServerInfo(info, config)
