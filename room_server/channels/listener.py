"""Redis -> hub: permanent subscriptions to the channel of every partition, and a slow clock that re-reads.

Pub/sub is a wake-up, never the truth. Its reconnects are silent and a frozen server signals nothing, so each
connection is watched by pings of our own, never mended by the library, and every new subscription ends in a re-read.
A server that is away costs its own partitions only: the others go on being heard.
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
from room_server.channels.reader import Reader
from room_server.errors import StateUnavailable, TooManyRequests
from room_server.rate_limit import Throttle
from room_server.state.keys import Keys, slot
from room_server.state.redis.connect import client_of
from room_server.state.redis.pipeline import Client, reraise_swallowed_cancellation

logger = logging.getLogger(__name__)

PING_SECONDS = 1.0
"""Silence after which the server is asked for a sign of life; it has as long again to give it."""
REREAD_SECONDS = 5.0
"""The slow clock: what a message lost without any sign costs at most."""
BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each further try to subscribe."""
TOLD_EVERY = 60.0
"""Seconds between two lines in the log about the same trouble that lasts."""


class Listener:
    """The process's ears. `run` and `refresh` are for a task each, for ever."""

    def __init__(self, client: Client, keys: Keys, hub: Hub, reader: Reader) -> None:
        self._client = client
        self._tags = {keys.channel(tag): tag for tag in keys.tags}
        self._hub = hub
        self._reader = reader
        self._placed: set[str] = set()
        """Channels that a connection is responsible for."""
        self._heard: set[str] = set()
        """Channels whose subscription is confirmed."""
        self._unplaced = asyncio.Event()
        self._gaps = {tag: asyncio.Event() for tag in keys.tags}
        self._failures = 0
        self._told = Throttle(1 / TOLD_EVERY, 1)
        self.reread_seconds = REREAD_SECONDS
        self.lost = 0
        """Subscriptions that broke off."""
        self.subscribed = asyncio.Event()
        """Set while every channel's subscription is confirmed."""
        self._hears = asyncio.Event()
        """Set while any is."""

    def away(self) -> list[str]:
        """The partitions whose changes are not heard at present."""
        return [tag for channel, tag in self._tags.items() if channel not in self._heard]

    async def begun(self, seconds: float) -> None:
        """Return once every partition is heard; those that are away are not waited for longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.subscribed.wait()
        await self._hears.wait()
        if missing := self.away():
            logger.warning("this process begins without the partitions %s, which are away", ", ".join(missing))

    async def run(self) -> None:
        """Listen to every partition; those whose connection is lost are placed anew, the others stay."""
        async with asyncio.TaskGroup() as lines:
            while True:
                self._unplaced.clear()
                for client, channels in await self._groups():
                    self._placed |= channels
                    lines.create_task(self._line(client, channels))
                if self._tags.keys() <= self._placed:
                    await self._unplaced.wait()
                await asyncio.sleep(BACK_OFF[min(self._failures, len(BACK_OFF) - 1)])
                self._failures += 1

    async def refresh(self) -> None:
        """Re-read each partition after every gap, and by the slow clock."""
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
                self._complain(f"the rooms of partition {tag} cannot be re-read", refusal)
                gap.set()
                await asyncio.sleep(BACK_OFF[-1])

    async def _groups(self) -> list[tuple[Redis, set[str]]]:
        """Which server to ask for which of the channels that have no connection; on a Cluster each one's primary."""
        channels = self._tags.keys() - self._placed
        if not isinstance(self._client, RedisCluster):
            return [(self._client, channels)] if channels else []
        nodes, by_node = self._client.nodes_manager, dict[str, tuple[Redis, set[str]]]()
        try:
            await reraise_swallowed_cancellation(nodes.initialize())
        except (RedisError, RedisClusterException, OSError) as error:
            self._complain("the Cluster's map cannot be read", error)
            return []
        for channel in channels:
            for node in nodes.slots_cache.get(slot(channel), [])[:1]:  # none: the slot is nobody's at present
                if node.name not in by_node:
                    by_node[node.name] = (client_of(node), set())
                by_node[node.name][1].add(channel)
        return list(by_node.values())

    async def _line(self, client: Redis, channels: set[str]) -> None:
        """One connection and the channels that it is responsible for, until it is lost or none of them is left."""
        try:
            await self._listen(client, channels)
        except (RedisError, RedisClusterException, OSError) as error:
            tags = ", ".join(sorted(self._tags[channel] for channel in channels))
            self._complain(f"subscription lost (partitions {tags})", error)
        finally:
            if channels:
                self.lost += bool(channels & self._heard)
                self._lose(channels)

    async def _listen(self, client: Redis, channels: set[str]) -> None:
        pubsub: Any = client.pubsub()  # redis-py leaves parts of it untyped
        try:
            for channel in sorted(channels):  # each is in a slot of its own, and a Cluster takes one slot at a time
                await reraise_swallowed_cancellation(pubsub.ssubscribe(channel))
            while channels:
                message = await reraise_swallowed_cancellation(_next_message(pubsub))
                if message["type"] == "sunsubscribe":  # its slot moved to another server
                    moved = message["channel"].decode()
                    channels.discard(moved)
                    self._lose({moved})
                self._hear(message)
        finally:
            await pubsub.aclose()
            if client is not self._client:
                await client.aclose()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "smessage":
            self._hub.publish(message["data"])
        elif message["type"] == "ssubscribe":
            channel = message["channel"].decode()
            self._heard.add(channel)
            self._gaps[self._tags[channel]].set()
            self._hears.set()
            if self._heard == self._tags.keys():
                self._failures = 0
                self.subscribed.set()

    def _lose(self, channels: set[str]) -> None:
        """These are to be placed anew."""
        self._placed -= channels
        self._heard -= channels
        self.subscribed.clear()
        if not self._heard:
            self._hears.clear()
        self._unplaced.set()

    def _complain(self, trouble: str, error: Exception) -> None:
        with contextlib.suppress(TooManyRequests):
            self._told.check(trouble)
            logger.warning("%s: %s", trouble, error)


async def _next_message(pubsub: PubSub) -> dict[str, Any]:
    """The next message; a server that says nothing is asked, and is lost when it goes on saying nothing."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=PING_SECONDS)
    if message is None:
        raise RedisConnectionError("the server is silent")
    return message
