"""Pipelining: all commands that are submitted in one turn of the event loop are sent to Redis together.

A fixed number of batches is in flight at once. Commands that are submitted meanwhile wait for the next batch, so the
busier the process, the larger its batches; the server syncs its disk once for each.
"""

import asyncio
import hashlib
import logging
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.process import vital
from room_server.state.redis.retry import ReplicationWait
from room_server.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

Client = Redis | RedisCluster
RedisCommand = tuple[Any, ...]
Result = TypeVar("Result")
IN_FLIGHT = 2
"""Batches in flight at once: the next is encoded while the server executes the last."""
BATCH = 512
"""Most commands in one batch."""
CLOSED = "the handler is closed"
"""The end of uvloop's message when it writes to a closed connection."""
_INCLUDE = re.compile(rb"^-- include (\w+\.lua)$", re.MULTILINE)


class Script(NamedTuple):
    """A `.lua` file of room_server/state. EVALSHA runs it by its SHA-1; EVAL sends the text to a server without it.

    A line `-- include NAME.lua` is replaced by the text of that file.
    """

    text: bytes
    sha: str

    @classmethod
    @cache
    def read(cls, name: str) -> "Script":
        """The script `name`.lua."""
        here = files("room_server.state")
        text = here.joinpath(f"{name}.lua").read_bytes()
        text = _INCLUDE.sub(lambda line: here.joinpath(line[1].decode()).read_bytes(), text)
        return cls(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


class PendingCommand(NamedTuple):
    """A command and its reply to come. If the future is done before that, the caller was cancelled."""

    command: RedisCommand
    reply: asyncio.Future[Any]


class Pipeline(ABC):
    """Sends commands and gives each caller the reply, or the error, of its own command."""

    round_trips: Histogram
    """Seconds that each batch took, lost ones included."""

    @abstractmethod
    def submit(self, command: RedisCommand) -> asyncio.Future[Any]:
        """The reply to come; the command is sent with whatever else is submitted in this turn of the event loop."""

    async def call(self, *command: Any) -> Any:
        """The reply to one command. Raises RedisError: not connected, timed out, or refused by the server."""
        return await self.submit(command)

    async def call_all(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """The replies in the order of the commands. Raises the first RedisError."""
        return await asyncio.gather(*(self.submit(command) for command in commands))

    async def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """The reply of a script, by its hash first. Raises RedisError."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments)


class NodePipeline(Pipeline):
    """The pipeline to one server. `open_node_pipeline` runs IN_FLIGHT tasks of `send_batches`.

    With `replicas`, no command is answered before so many replicas have all of its batch (see ReplicationWait).
    """

    def __init__(self, client: Redis, replicas: int = 0) -> None:
        self._client = client
        self._replication = ReplicationWait(replicas)
        self._waiting: deque[PendingCommand] = deque()
        self._wake = asyncio.Event()
        self.round_trips = Histogram()

    def submit(self, command: RedisCommand) -> asyncio.Future[Any]:
        """See Pipeline."""
        pending = PendingCommand(command, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        self._wake.set()
        return pending.reply

    async def send_batches(self) -> None:
        """Send one batch after the other, for ever."""
        while True:
            await self._wake.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._wake.clear()
            if batch:
                await self._send(batch)

    def close(self) -> None:
        """Fail the commands that wait; call it when no task sends batches any more."""
        _fail(self._waiting)
        self._waiting.clear()

    def _next_batch(self) -> list[PendingCommand]:
        """The commands to send next. Those of cancelled callers are dropped, so that none is executed late."""
        batch: list[PendingCommand] = []
        while self._waiting and len(batch) < BATCH:
            pending = self._waiting.popleft()
            if not pending.reply.done():
                batch.append(pending)
        return batch

    async def _send(self, batch: list[PendingCommand]) -> None:
        sent_at = time.perf_counter()
        try:
            replies = await self._replies(batch)
        except asyncio.CancelledError:
            _fail(batch)
            raise
        self.round_trips.observe(time.perf_counter() - sent_at)
        for (_, future), reply in zip(batch, replies, strict=True):
            _resolve(future, reply)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._disconnect()  # the server became a replica: its address may lead to the new primary

    async def _replies(self, batch: list[PendingCommand]) -> list[Any]:
        """A reply or an exception for each command."""
        try:
            return await reraise_swallowed_cancellation(self._execute(batch))
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            return [error] * len(batch)
        except Exception as error:  # redis-py cannot encode a command, or cannot parse a reply
            await self._disconnect()  # replies that are still to come must not be taken for later ones
            if len(batch) == 1:
                return [error]
            return [reply for pending in batch for reply in await self._replies([pending])]

    async def _execute(self, batch: list[PendingCommand]) -> list[Any]:
        commands = [command for command, _ in batch]
        pipeline = self._client.pipeline(transaction=False)
        for command in (*commands, *self._replication.commands(commands)):
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        replies, of_replication = replies[: len(batch)], replies[len(batch) :]
        failure = self._replication.failure(of_replication)
        if failure is None:
            return replies
        return [reply if isinstance(reply, Exception) else failure for reply in replies]

    async def _disconnect(self) -> None:
        """Close the idle connections. redis-py does not use one again that failed to close in time."""
        try:
            await reraise_swallowed_cancellation(self._client.connection_pool.disconnect(inuse_connections=False))
        except Exception as error:  # no error in closing may end the task that sends batches
            logger.warning("a connection to Redis could not be closed in order: %s", error)


def _fail(pending: Iterable[PendingCommand]) -> None:
    for _, future in pending:
        _resolve(future, RedisConnectionError("the connection is closed"))


def _resolve(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


async def reraise_swallowed_cancellation(work: Awaitable[Result]) -> Result:
    """The result of redis-py's `work`. Raises CancelledError if this task was cancelled meanwhile, and only then.

    redis-py sends with `asyncio.wait_for`, which swallows a cancellation that comes just as the send is done (Python
    3.11). A CancelledError from inside of `work`, although nobody cancelled this task, becomes RedisConnectionError; so
    does the RuntimeError that uvloop raises when the connection closed just before it was written to.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await work
    except asyncio.CancelledError as error:
        raise RedisConnectionError("the client gave up") from error
    except RuntimeError as error:
        if not str(error).endswith(CLOSED):
            raise
        raise RedisConnectionError(str(error)) from error
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


def pairs(reply: Any) -> Iterator[tuple[bytes, Any]]:
    """The pairs in a reply: field and value of HGETALL and the like, member and score of WITHSCORES.

    RESP2 sends a flat list; RESP3 a map, or a list of pairs.
    """
    if isinstance(reply, dict):
        return iter(reply.items())
    if reply and isinstance(reply[0], list | tuple):
        return ((first, second) for first, second in reply)
    return zip(reply[::2], reply[1::2], strict=True)


@asynccontextmanager
async def open_node_pipeline(client: Redis, replicas: int = 0) -> AsyncIterator[NodePipeline]:
    """A pipeline that sends until the block ends. Errors go to the callers; a task that fails ends the process."""
    pipeline = NodePipeline(client, replicas)
    names = [f"redis-batches-{number}" for number in range(IN_FLIGHT)]
    tasks = [asyncio.create_task(vital(pipeline.send_batches()), name=name) for name in names]
    try:
        yield pipeline
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pipeline.close()
