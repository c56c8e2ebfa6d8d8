"""Redis -> hub: permanent subscriptions to the channel of every partition, and a slow clock that re-reads.

Pub/sub is a wake-up, never the truth. Its reconnects are silent and a frozen server signals nothing, so each
connection is watched by pings of our own, never mended by the library, and every new subscription ends in a re-read.
"""

import asyncio
import contextlib
import logging
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from room_server.channels.hub import Hub
from room_server.errors import StateUnavailable
from room_server.state.connect import client_of
from room_server.state.keys import Keys, slot
from room_server.state.pipeline import Client, heeding

logger = logging.getLogger(__name__)

PING_SECONDS = 1.0
"""Silence after which the server is asked for a sign of life; it has as long again to give it."""
REREAD_SECONDS = 5.0
"""The slow clock: what a message lost without any sign costs at most."""
BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each further try to subscribe."""


class Listener:
    """The process's ears. `run` and `refresh` are for a task each, for ever."""

    def __init__(self, client: Client, keys: Keys, hub: Hub) -> None:
        self._client = client
        self._channels = {keys.channel(tag) for tag in keys.tags}
        self._hub = hub
        self._heard: set[str] = set()
        self._gap = asyncio.Event()
        self.reread_seconds = REREAD_SECONDS
        self.lost = 0
        """Subscriptions that broke off."""
        self.subscribed = asyncio.Event()
        """Set while every channel's subscription is confirmed."""

    async def run(self) -> None:
        """Subscribe, listen, and start over when a line is lost."""
        failures = 0
        while True:
            try:
                await self._listen_to_all()
            except* (RedisError, RedisClusterException, OSError) as errors:
                failures = 0 if self.subscribed.is_set() else failures + 1
                logger.warning("subscription lost: %s", errors.exceptions[0])
                self.lost += 1
            self._heard.clear()
            self.subscribed.clear()
            await asyncio.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])

    async def refresh(self) -> None:
        """Re-read after every gap, and by the slow clock."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.reread_seconds):
                    await self._gap.wait()
            self._gap.clear()
            try:
                await self._hub.reread()
            except StateUnavailable as refusal:
                logger.warning("rooms cannot be re-read: %s", refusal.detail)
                self._gap.set()
                await asyncio.sleep(BACK_OFF[-1])

    async def _listen_to_all(self) -> None:
        groups = await self._groups()
        async with asyncio.TaskGroup() as lines:
            for client, channels in groups:
                lines.create_task(self._listen(client, channels))

    async def _groups(self) -> list[tuple[Redis, list[str]]]:
        """Which server to ask for which channels: on a Cluster each one's primary. Raises RedisError."""
        if not isinstance(self._client, RedisCluster):
            return [(self._client, sorted(self._channels))]
        nodes = self._client.nodes_manager
        await heeding(nodes.initialize())
        by_node: dict[str, tuple[Redis, list[str]]] = {}
        for channel in sorted(self._channels):
            node = nodes.get_node_from_slot(slot(channel))
            if node.name not in by_node:
                by_node[node.name] = (client_of(node), [])
            by_node[node.name][1].append(channel)
        return list(by_node.values())

    async def _listen(self, client: Redis, channels: list[str]) -> None:
        pubsub: Any = client.pubsub()  # redis-py leaves parts of it untyped
        try:
            for channel in channels:  # each is in a slot of its own, and a Cluster takes one slot at a time
                await heeding(pubsub.ssubscribe(channel))
            while True:
                self._hear(await heeding(_next_message(pubsub)))
        finally:
            await pubsub.aclose()
            if client is not self._client:
                await client.aclose()

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "smessage":
            self._hub.tell(message["data"])
        elif kind == "ssubscribe":
            self._heard.add(message["channel"].decode())
            if self._heard == self._channels:
                self.subscribed.set()
                self._gap.set()
        elif kind == "sunsubscribe":
            raise RedisConnectionError("the channel's slot moved to another server")


async def _next_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message; a server that says nothing is asked, and is lost when it goes on saying nothing."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        raise RedisConnectionError("the server is silent")
    return message
