"""Our server without shared pipelines: `python -m … pool|line web …`.

`pool`: each command makes its own round trip, on one of a pool of connections, as redis-py does it by itself.
`line`: one command after the other on one connection.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from room_server.cli import main
from room_server.state import startup
from room_server.state.redis import pipeline
from room_server.state.redis.connect import CONNECTIONS
from room_server.state.redis.pipeline import NodePipeline, RedisCommand


class Alone(NodePipeline):
    """Each command by itself."""

    def __init__(self, client: Redis, replicas: int = 0) -> None:
        super().__init__(client, replicas)
        self._client: Any = client  # redis-py leaves parts of it untyped
        self._free = asyncio.Semaphore(CONNECTIONS - 4)  # the listener has some of them
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, command: RedisCommand) -> asyncio.Future[Any]:
        """The reply to come."""
        task = asyncio.create_task(self._travel(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _travel(self, command: RedisCommand) -> Any:
        async with self._free:
            return await self._client.execute_command(*command)


@asynccontextmanager
async def alone(client: Redis, replicas: int = 0) -> AsyncIterator[NodePipeline]:
    """A pipeline without shared batches, in the place of `open_node_pipeline`."""
    yield Alone(client, replicas)


if __name__ == "__main__":
    if sys.argv.pop(1) == "pool":
        vars(startup)["open_node_pipeline"] = alone
    else:
        pipeline.IN_FLIGHT = pipeline.BATCH = 1
    main()
