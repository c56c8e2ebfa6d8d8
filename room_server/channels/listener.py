"""Redis pub/sub -> hub: a permanent subscription to the channel of every partition, and re-reads.

A message may be lost without a sign: redis-py reconnects silently, and a server that hangs signals nothing. So each
connection is checked by pings and never reconnected by the library, each new subscription is followed by a re-read, and
each partition is re-read every few seconds besides. A server that does not answer costs its own partitions only.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from room_server.channels.hub import Hub
from room_server.channels.reader import Reader
from room_server.errors import StateUnavailable, TooManyRequests
from room_server.rate_limit import Throttle
from room_server.state.keys import Keys, slot
from room_server.state.redis.connect import client_of
from room_server.state.redis.pipeline import Client, reraise_swallowed_cancellation

logger = logging.getLogger(__name__)

PING_SECONDS = 1.0
"""Silence after which the server is pinged; it has as long again to answer."""
REREAD_SECONDS = 5.0
"""Seconds between two re-reads: what a lost message delays a change at most."""
BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each further try to subscribe."""
WARNING_SECONDS = 60.0
"""Seconds between two warnings about the same lasting trouble."""


class Listener:
    """Subscribes for one process. `run` and `refresh` are for a task each, for ever."""

    def __init__(self, client: Client, keys: Keys, hub: Hub, reader: Reader) -> None:
        self._client = client
        self._tags = {keys.channel(tag): tag for tag in keys.tags}
        self._hub = hub
        self._reader = reader
        self._assigned: set[str] = set()
        """Channels that a connection subscribes, or will."""
        self._confirmed: set[str] = set()
        """Channels whose subscription the server has confirmed."""
        self._unassigned = asyncio.Event()
        """Set when a channel loses its connection."""
        self._gaps = {tag: asyncio.Event() for tag in keys.tags}
        """By partition, set when messages may be lost."""
        self._failures = 0
        self._warnings = Throttle(1 / WARNING_SECONDS, 1)
        self.reread_seconds = REREAD_SECONDS
        self.lost = 0
        """Subscriptions that broke off."""
        self.subscribed = asyncio.Event()
        """Set while every channel's subscription is confirmed."""
        self._any_subscribed = asyncio.Event()
        """Set while at least one is."""

    def away(self) -> list[str]:
        """The partitions whose subscription is not confirmed."""
        return [tag for channel, tag in self._tags.items() if channel not in self._confirmed]

    async def begun(self, seconds: float) -> None:
        """Wait until every partition is subscribed or, after `seconds`, at least one is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.subscribed.wait()
        await self._any_subscribed.wait()
        if missing := self.away():
            logger.warning("this process begins without the partitions %s, which are away", ", ".join(missing))

    async def run(self) -> None:
        """Keep every channel subscribed; channels that lose their connection get a new one, the others stay."""
        async with asyncio.TaskGroup() as connections:
            while True:
                self._unassigned.clear()
                for client, channels in await self._servers():
                    self._assigned |= channels
                    connections.create_task(self._run_connection(client, channels))
                if self._tags.keys() <= self._assigned:
                    await self._unassigned.wait()
                await asyncio.sleep(BACK_OFF[min(self._failures, len(BACK_OFF) - 1)])
                self._failures += 1

    async def refresh(self) -> None:
        """Re-read each partition after every gap, and every `reread_seconds`."""
        async with asyncio.TaskGroup() as partitions:
            for tag in self._gaps:
                partitions.create_task(self._refresh(tag))

    async def _refresh(self, tag: str) -> None:
        gap = self._gaps[tag]
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.reread_seconds):
                    await gap.wait()
            gap.clear()
            try:
                await self._reader.reread(tag)
            except StateUnavailable as refusal:
                self._warn(f"the rooms of partition {tag} cannot be re-read", refusal)
                gap.set()
                await asyncio.sleep(BACK_OFF[-1])

    async def _servers(self) -> list[tuple[Redis, set[str]]]:
        """The servers to subscribe the unassigned channels at; on a Cluster, the primary of each channel's slot."""
        channels = self._tags.keys() - self._assigned
        if not isinstance(self._client, RedisCluster):
            return [(self._client, channels)] if channels else []
        nodes, by_node = self._client.nodes_manager, defaultdict[ClusterNode, set[str]](set)
        try:
            await reraise_swallowed_cancellation(nodes.initialize())
        except (RedisError, RedisClusterException, OSError) as error:
            self._warn("the Cluster's map cannot be read", error)
            return []
        for channel in channels:
            for node in nodes.slots_cache.get(slot(channel), [])[:1]:  # the primary; none while the slot has no server
                by_node[node].add(channel)
        return [(client_of(node), channels) for node, channels in by_node.items()]

    async def _run_connection(self, client: Redis, channels: set[str]) -> None:
        """Listen on one connection until it is lost, or until none of its channels is left."""
        try:
            await self._listen(client, channels)
        except (RedisError, RedisClusterException, OSError) as error:
            tags = ", ".join(sorted(self._tags[channel] for channel in channels))
            self._warn(f"subscription lost (partitions {tags})", error)
        finally:
            if channels:
                self.lost += bool(channels & self._confirmed)
                self._unassign(channels)

    async def _listen(self, client: Redis, channels: set[str]) -> None:
        pubsub: Any = client.pubsub()  # redis-py leaves parts of it untyped
        try:
            for channel in sorted(channels):  # one command each: a Cluster allows no two slots in one
                await reraise_swallowed_cancellation(pubsub.ssubscribe(channel))
            while channels:
                message = await reraise_swallowed_cancellation(_next_message(pubsub))
                if message["type"] == "sunsubscribe":  # the channel's slot moved to another server
                    moved = message["channel"].decode()
                    channels.discard(moved)
                    self._unassign({moved})
                self._handle(message)
        finally:
            await pubsub.aclose()
            if client is not self._client:
                await client.aclose()

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "smessage":
            self._hub.publish(message["data"])
        elif message["type"] == "ssubscribe":
            channel = message["channel"].decode()
            self._confirmed.add(channel)
            self._gaps[self._tags[channel]].set()
            self._any_subscribed.set()
            if self._confirmed == self._tags.keys():
                self._failures = 0
                self.subscribed.set()

    def _unassign(self, channels: set[str]) -> None:
        self._assigned -= channels
        self._confirmed -= channels
        self.subscribed.clear()
        if not self._confirmed:
            self._any_subscribed.clear()
        self._unassigned.set()

    def _warn(self, trouble: str, error: Exception) -> None:
        with contextlib.suppress(TooManyRequests):
            self._warnings.check(trouble)
            logger.warning("%s: %s", trouble, error)


async def _next_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message, or the pong after a silence. Raises ConnectionError when neither comes."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        raise RedisConnectionError("the server is silent")
    return message
