"""The pipeline to a Cluster: a pipeline to each primary, so that a server that fails costs only its own partitions.

redis-py knows the map of slots. Its own Cluster pipeline does not fit: one dead server fails the whole batch, and
nothing reads the map again. Here any sign that the map is outdated makes `watch` read it again, while the store
retries. A command for a slot that is being moved is answered once the slot has arrived.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, ClusterDownError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.process import vital
from room_server.state.keys import key_of, slot
from room_server.state.redis.connect import client_of
from room_server.state.redis.pipeline import (
    Client,
    NodePipeline,
    Pipeline,
    RedisCommand,
    open_node_pipeline,
    reraise_swallowed_cancellation,
)
from room_server.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

OUTDATED = (RedisConnectionError, RedisTimeoutError, OSError, AskError, ClusterDownError)
"""Signs that another server may own the slot by now (MovedError is an AskError)."""
REFRESH_PAUSE = 0.1
"""Seconds between two readings of the map."""


class ClusterPipeline(Pipeline):
    """Sends each command to the primary that owns the slot of its first key.

    A command without a key goes to the server that holds `keys.PARTITIONS`: a start needs that server and no other.
    """

    def __init__(self, client: RedisCluster, replicas: int = 0) -> None:
        self._map = client.nodes_manager
        self._replicas = replicas
        self._nodes: dict[str, tuple[NodePipeline, AsyncExitStack]] = {}
        """The open pipelines by the name of their server, each with the stack that closes it and its client."""
        self._outdated = asyncio.Event()
        self.round_trips = Histogram()

    def submit(self, command: RedisCommand) -> asyncio.Future[Any]:
        """See Pipeline."""
        nodes = self._map.slots_cache.get(slot(key_of(command)))
        if nodes and nodes[0].name in self._nodes:
            pipeline, _ = self._nodes[nodes[0].name]
            reply = pipeline.submit(command)
        else:
            reply = asyncio.get_running_loop().create_future()
            reply.set_exception(RedisConnectionError("there is no connection to the server of this slot yet"))
        reply.add_done_callback(self._check_reply)
        return reply

    def _check_reply(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and isinstance(reply.exception(), OUTDATED):
            self._outdated.set()

    async def refresh(self) -> None:
        """Read the map, open the pipelines that are missing, close those to servers that are gone. Raises RedisError.

        To be awaited once before the first command.
        """
        try:
            await reraise_swallowed_cancellation(self._map.initialize())
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error
        nodes = {node.name: node for node in primaries(self._map.slots_cache.values())}
        for name in self._nodes.keys() - nodes.keys():
            await self._close(name)
        for name in nodes.keys() - self._nodes.keys():
            stack = AsyncExitStack()
            client = await stack.enter_async_context(client_of(nodes[name]))
            pipeline = await stack.enter_async_context(open_node_pipeline(client, self._replicas))
            pipeline.round_trips = self.round_trips
            self._nodes[name] = (pipeline, stack)

    async def watch(self) -> None:
        """Refresh whenever a reply says that the map is outdated, for ever."""
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                await self.refresh()
            except Exception as error:  # no error may end this loop: the map would stay as it is
                logger.warning("the Cluster's map cannot be read: %s", error)
                self._outdated.set()
            await asyncio.sleep(REFRESH_PAUSE)

    async def close(self) -> None:
        """Close the pipeline to each server."""
        for name in list(self._nodes):
            await self._close(name)

    async def _close(self, name: str) -> None:
        _, stack = self._nodes.pop(name)
        with contextlib.suppress(RedisError, OSError):
            await stack.aclose()


def primaries(slots: Iterable[list[ClusterNode]]) -> set[ClusterNode]:
    """The servers that own slots: the first of each range, whose others are its replicas."""
    return {nodes[0] for nodes in slots}


@asynccontextmanager
async def each_server(client: Client) -> AsyncIterator[dict[str, Redis]]:
    """A plain client of each primary of a Cluster, by its address. Of a single server: `client`, by an empty name."""
    if not isinstance(client, RedisCluster):
        yield {"": client}
        return
    nodes = primaries(client.nodes_manager.slots_cache.values())
    async with AsyncExitStack() as stack:
        yield {node.name: await stack.enter_async_context(client_of(node)) for node in nodes}


@asynccontextmanager
async def open_cluster_pipeline(client: RedisCluster, replicas: int = 0) -> AsyncIterator[ClusterPipeline]:
    """A pipeline that is closed with the block. Raises RedisError when no server can tell the map."""
    pipeline = ClusterPipeline(client, replicas)
    await pipeline.refresh()
    watch = asyncio.create_task(vital(pipeline.watch()), name="cluster-map")
    try:
        yield pipeline
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await pipeline.close()
