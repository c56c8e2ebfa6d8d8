"""Clients of Redis or Valkey: a single server, one behind Sentinel, or a Cluster.

By default redis-py repeats a write whose reply was lost. These clients never retry: only the store does, with commands
that may safely run twice. Every wait has a timeout.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import Redis, Sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from room_server.errors import ConfigurationError
from room_server.state.redis.pipeline import Client

REPLY_SECONDS = 0.8
"""Timeout of a connection attempt and of a reply; with one retry the request is still answered within two seconds."""
SENTINEL_SECONDS = 0.3
"""The same for a sentinel; the next one is asked then, and there must be time left for the master."""
SENTINEL_OPTIONS = frozenset(
    {"db", "sentinel_username", "sentinel_password"}
    | {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)
"""What may follow the `?` of an address with Sentinel: the master's database, the sentinels' own login, TLS."""
CONNECTIONS = 64
"""Most connections of one client to a server."""


class Packing:
    """Makes a redis-py connection encode commands with hiredis, in C; redis-py's own asyncio code is 8 times slower."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """The encoded command. redis-py encodes one whose name is two words ("SCRIPT LOAD"). Raises TypeError."""
        if " " in str(args[0]):
            packed: list[bytes] = super().pack_command(*args)  # type: ignore[misc]  # the connection class has it
            return packed
        return [pack_command(args)]


@cache
def packing(connection: Any) -> Any:
    """The class of connections with Packing."""
    return type(f"Packing{connection.__name__}", (Packing, connection), {})


def options(**more: Any) -> dict[str, Any]:
    """Keyword arguments for every client, `more` included."""
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
    try:
        parts = urlsplit(url)
        if parts.scheme.endswith("+cluster"):
            return _cluster(parts, options(**more))
        if parts.scheme.endswith("+sentinel"):
            return _checked(_sentinel(parts, options(**more)))
        return _checked(Redis.from_url(url, **options(**more)))
    except (ValueError, TypeError, RedisError, RedisClusterException) as error:
        raise ConfigurationError(f"ROOM_SERVER_REDIS_URL: {error}") from error


def _cluster(parts: SplitResult, made: dict[str, Any]) -> RedisCluster:
    """A client for `redis+cluster://[user:password@]h1[:p1],h2[:p2]`; the first server that answers gives the map."""
    del made["retry_on_error"]
    credentials, at, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    seeds = [ClusterNode(*_place(seed, 6379)) for seed in others]
    one = parts._replace(scheme=parts.scheme.removesuffix("+cluster"), netloc=f"{credentials}{at}{first}")
    client = RedisCluster.from_url(one.geturl(), startup_nodes=seeds or None, **made)
    _check_kwargs(client.connection_kwargs)
    return client


def _sentinel(parts: SplitResult, made: dict[str, Any]) -> Redis:
    """A client for the master NAME: `redis+sentinel://[user:password@]h1[:p1],h2[:p2]/NAME[?option=value&…]`.

    User and password are the master's; the options are SENTINEL_OPTIONS. `rediss+sentinel://` speaks TLS to all.
    """
    credentials, _, hosts = parts.netloc.rpartition("@")
    name = parts.path.strip("/")
    if not name or not hosts:
        raise ValueError("redis+sentinel:// needs hosts and the name of the master: redis+sentinel://h1,h2/NAME")
    username, _, password = credentials.partition(":")
    login = {"username": unquote(username) or None, "password": unquote(password)} if password else {}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if strange := query.keys() - SENTINEL_OPTIONS:
        known, given = ", ".join(sorted(SENTINEL_OPTIONS)), ", ".join(sorted(strange))
        raise ValueError(f"redis+sentinel:// takes {known} after the ?, not {given}")
    own = {"username": query.get("sentinel_username"), "password": query.get("sentinel_password")}
    tls = _tls(parts.scheme, query)
    untyped: Any = Sentinel  # redis-py does not annotate its constructor
    sentinels = untyped(
        [_place(seed, 26379) for seed in hosts.split(",")],
        sentinel_kwargs=options(socket_timeout=SENTINEL_SECONDS, socket_connect_timeout=SENTINEL_SECONDS, **own, **tls),
        **made,
        **login,
        **tls,
        db=int(query.get("db", 0)),
    )
    master: Redis = sentinels.master_for(name)
    return master


def _tls(scheme: str, query: dict[str, str]) -> dict[str, Any]:
    """How connections are encrypted; empty without TLS. Raises ValueError for options that go with TLS alone."""
    given = {name: value for name, value in query.items() if name.startswith("ssl_")}
    if scheme != "rediss+sentinel":
        if given:
            raise ValueError(f"{', '.join(sorted(given))} go with rediss+sentinel://")
        return {}
    named: dict[str, Any] = {"ssl": True, **given}
    if "ssl_check_hostname" in given:
        named["ssl_check_hostname"] = given["ssl_check_hostname"].lower() in {"true", "yes", "1"}
    elif given.get("ssl_cert_reqs") == "none":
        named["ssl_check_hostname"] = False
    return named


def _place(seed: str, port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port` or `[address]:port`. Raises ValueError."""
    parts = urlsplit(f"//{seed}")
    if not parts.hostname:
        raise ValueError(f"expected host:port, found {seed!r}")
    return parts.hostname, parts.port or port


def _checked(client: Redis) -> Redis:
    """Make a connection object, so that an unknown option fails now, and not at the first command.

    Raises TypeError, ValueError.
    """
    pool: Any = client.connection_pool  # redis-py does not annotate parts of it
    _check_kwargs(pool.connection_kwargs)
    pool.connection_class = packing(pool.connection_class)
    pool.make_connection()
    return client


def _check_kwargs(made: dict[str, Any]) -> None:
    if made.get("decode_responses"):
        raise ValueError("decode_responses cannot be had: what is stored is bytes")


@asynccontextmanager
async def connected(url: str, **more: Any) -> AsyncIterator[Client]:
    """A client that is closed with the block. Raises ConfigurationError."""
    client = connect(url, **more)
    try:
        yield client
    finally:
        with suppress(RedisError, OSError):  # a connection that does not close in time is left as it is
            await _close(client)


async def _close(client: Client) -> None:
    """Close all connections. Raises RedisError, OSError."""
    await client.aclose()
    if isinstance(client, RedisCluster):  # its own aclose does nothing unless it has read the map
        await client.nodes_manager.aclose()
        await client.nodes_manager.aclose("startup_nodes")
    elif isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


def client_of(node: ClusterNode) -> Redis:
    """A client of one server of a Cluster, with the Cluster's login, encryption and timeouts; the caller closes it."""
    kind: Any = node.connection_class
    return Redis.from_pool(ConnectionPool(connection_class=packing(kind), **node.connection_kwargs | options()))
