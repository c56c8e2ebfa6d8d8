"""The pipelines to a Cluster: one line to each primary, so that a server that fails costs only its own partitions.

redis-py knows the map of slots; its Cluster pipeline does not serve, since one dead server fails the whole batch and
nothing ever reads the map again. Here any sign of an outdated map reads it anew, and the store asks again meanwhile.
A slot on its way to another server is answered when it has arrived.
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
"""Signs that another server may be responsible by now (MovedError is an AskError)."""
REFRESH_PAUSE = 0.1
"""Seconds between two readings of the map."""


class ClusterPipeline(Pipeline):
    """Finds the line for each command by the key in it."""

    def __init__(self, client: RedisCluster, replicas: int = 0) -> None:
        self._map = client.nodes_manager
        self._replicas = replicas
        self._lines: dict[str, NodePipeline] = {}
        self._open: dict[str, AsyncExitStack] = {}
        self._outdated = asyncio.Event()
        self.round_trips = Histogram()

    def ask(self, command: RedisCommand) -> asyncio.Future[Any]:
        """The reply to come."""
        line = self._line(command)
        if line is None:
            reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            reply.set_exception(RedisConnectionError("no line leads to the server of this slot yet"))
        else:
            reply = line.ask(command)
        reply.add_done_callback(self._notice)
        return reply

    def _line(self, command: RedisCommand) -> NodePipeline | None:
        """A command without a key goes where the number of partitions is: a start needs that server and no other."""
        nodes = self._map.slots_cache.get(slot(key_of(command)))
        return self._lines.get(nodes[0].name) if nodes else None

    def _notice(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and isinstance(reply.exception(), OUTDATED):
            self._outdated.set()

    async def refresh(self) -> None:
        """Read the map, open the lines that are missing, close those to servers that have gone. Raises RedisError."""
        try:
            await reraise_swallowed_cancellation(self._map.initialize())
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error
        nodes = {node.name: node for node in primaries(self._map.slots_cache.values())}
        for name in self._open.keys() - nodes.keys():
            await self._close(name)
        for name in nodes.keys() - self._open.keys():
            opened = self._open[name] = AsyncExitStack()
            client = await opened.enter_async_context(client_of(nodes[name]))
            line = self._lines[name] = await opened.enter_async_context(open_node_pipeline(client, self._replicas))
            line.round_trips = self.round_trips

    async def watch(self) -> None:
        """Refresh whenever there is a sign for it, for ever."""
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                await self.refresh()
            except Exception as error:  # whatever it is: without this loop no line would ever lead anywhere else
                logger.warning("the Cluster's map cannot be read: %s", error)
                self._outdated.set()
            await asyncio.sleep(REFRESH_PAUSE)

    async def close(self) -> None:
        """Close every line."""
        for name in list(self._open):
            await self._close(name)

    async def _close(self, name: str) -> None:
        self._lines.pop(name, None)
        with contextlib.suppress(RedisError, OSError):
            await self._open.pop(name).aclose()


def primaries(slots: Iterable[list[ClusterNode]]) -> set[ClusterNode]:
    """The servers that are responsible for slots: the first of each range."""
    return {nodes[0] for nodes in slots}


@asynccontextmanager
async def each_server(client: Client) -> AsyncIterator[dict[str, Redis]]:
    """A plain client of every primary, by its address; of the one server there is, by an empty name."""
    if not isinstance(client, RedisCluster):
        yield {"": client}
        return
    nodes = primaries(client.nodes_manager.slots_cache.values())
    async with AsyncExitStack() as stack:
        yield {node.name: await stack.enter_async_context(client_of(node)) for node in nodes}


@asynccontextmanager
async def open_cluster_pipeline(client: RedisCluster, replicas: int = 0) -> AsyncIterator[ClusterPipeline]:
    """Lines that are closed with the block. Raises RedisError when no server can tell the map."""
    lines = ClusterPipeline(client, replicas)
    await lines.refresh()
    watch = asyncio.create_task(vital(lines.watch()), name="cluster-map")
    try:
        yield lines
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await lines.close()
