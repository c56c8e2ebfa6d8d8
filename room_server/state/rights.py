"""What the user of Redis must be allowed to do, tried at the start: else the first hook would be the first to fail.

docs/operations.md has a line for the ACL.
"""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoPermissionError

from room_server.config import PREFIX
from room_server.errors import ConfigurationError
from room_server.state.keys import Keys
from room_server.state.redis.connect import REPLY_SECONDS, client_of
from room_server.state.redis.pipeline import Client, Pipeline, Script


async def check_rights(client: Client, pipeline: Pipeline, keys: Keys) -> None:
    """Raises ConfigurationError, which names what this user may not do; RedisError without an answer.

    On a Cluster the server of the first partition is asked.
    """
    key, channel = keys.probe(keys.tags[0]), keys.channel(keys.tags[0])
    missing = [name.decode() for name in await pipeline.run(Script.read("rights"), [key], [key])]
    if not await _may_subscribe(client, channel):
        missing.append("ssubscribe")
    if missing:
        raise ConfigurationError(
            f"{PREFIX}REDIS_URL: this user of Redis lacks the right to {', '.join(dict.fromkeys(missing))} on the keys "
            'and channels rs:*; docs/operations.md, "Rights in Redis", has a line for the ACL'
        )


async def _may_subscribe(client: Client, channel: str) -> bool:
    """Whether this user hears of changes. Raises RedisError."""
    if not isinstance(client, RedisCluster):
        return await _subscribes(client, channel)
    node = client.get_node_from_key(channel)
    if node is None:  # the partition has no server now: that is waited for, and no lack of rights
        return True
    async with client_of(node) as server:
        return await _subscribes(server, channel)


async def _subscribes(server: Redis, channel: str) -> bool:
    pubsub: Any = server.pubsub()  # redis-py leaves parts of it untyped
    try:
        await pubsub.ssubscribe(channel)
        await pubsub.get_message(timeout=REPLY_SECONDS)
    except NoPermissionError:
        return False
    finally:
        await pubsub.aclose()
    return True
