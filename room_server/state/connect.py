"""Clients of one Redis or Valkey: a single server, one behind Sentinel, or a Cluster. No client retries by itself.

redis-py repeats writes after a lost reply unless told otherwise; here only the store repeats, with an id that makes it
harmless. Every wait has a bound.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Redis, Sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from room_server.errors import ConfigurationError
from room_server.state.pipeline import Client

REPLY_SECONDS = 0.8
"""A reply that takes longer is taken for lost; asked once more, the answer still comes within two seconds."""
CONNECTIONS = 64


def options(**more: Any) -> dict[str, Any]:
    """What every client of ours is made with."""
    return {
        "socket_timeout": REPLY_SECONDS,
        "socket_connect_timeout": REPLY_SECONDS,
        "max_connections": CONNECTIONS,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        **more,
    }


def connect(url: str, **more: Any) -> Client:
    """A client for `url`, not yet connected. Raises ConfigurationError."""
    parts = urlsplit(url)
    try:
        if parts.scheme.endswith("+cluster"):
            return _cluster(url.replace("+cluster", "", 1), options(**more))
        if parts.scheme == "redis+sentinel":
            return _sentinel(url, options(**more))
        keepalive = {} if parts.scheme == "unix" else {"socket_keepalive": True}
        return Redis.from_url(url, **options(**keepalive, **more))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"ROOM_SERVER_REDIS_URL: {error}") from error


def _cluster(url: str, made: dict[str, Any]) -> RedisCluster:
    """Several seeds may stand in the address, separated by commas; the first that answers tells of the others."""
    del made["retry_on_error"]
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    login = f"{credentials}@" if credentials else ""
    seeds = [ClusterNode(host, int(port or 6379)) for host, _, port in (seed.rpartition(":") for seed in others)]
    return RedisCluster.from_url(f"{parts.scheme}://{login}{first}", startup_nodes=seeds or None, **made)


def _sentinel(url: str, made: dict[str, Any]) -> Redis:
    """`redis+sentinel://[user:password@]h1[:p1],h2[:p2]/NAME[?db=N]`: the master that the sentinels name."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    name = parts.path.strip("/")
    if not name or not hosts:
        raise ValueError("redis+sentinel:// needs hosts and the name of the master: redis+sentinel://h1,h2/NAME")
    username, _, password = credentials.partition(":")
    sentinels = []
    for seed in hosts.split(","):
        host, _, port = seed.partition(":")
        sentinels.append((host, int(port or 26379)))
    login = {"username": username or None, "password": password} if password else {}
    query = {key: int(value) for key, value in parse_qsl(parts.query) if key == "db"}
    watch: Any = Sentinel  # redis-py leaves its constructor untyped
    master: Redis = watch(
        sentinels, sentinel_kwargs={"socket_timeout": REPLY_SECONDS}, **made, **login, **query
    ).master_for(name)
    return master


@asynccontextmanager
async def connected(url: str, **more: Any) -> AsyncIterator[Client]:
    """A client that is closed with the block."""
    client = connect(url, **more)
    try:
        yield client
    finally:
        await client.aclose()
