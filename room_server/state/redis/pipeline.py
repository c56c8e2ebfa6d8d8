"""One pipeline for all commands of an event-loop turn: what is asked at the same time travels together.

A fixed number of flights is in the air at once; whatever is asked meanwhile waits for the next, so the busier the
process, the fuller its pipelines, and the server syncs its disk once for each.
"""

import asyncio
import hashlib
import logging
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.process import vital
from room_server.state.redis.confirmation import ReplicationWait
from room_server.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

Client = Redis | RedisCluster
RedisCommand = tuple[Any, ...]
Answer = TypeVar("Answer")
FLIGHTS = 2
"""Pipelines in the air at once: the next is packed while the server works on the last."""
BATCH = 512
"""Commands in one pipeline at most."""
CLOSED = "the handler is closed"
"""The end of what uvloop says of a connection that is not there any more."""
_INCLUDE = re.compile(rb"^-- include (\w+\.lua)$", re.MULTILINE)


class Script(NamedTuple):
    """A `.lua` file of room_server/state; it runs by its SHA-1 and is sent whole where the server does not know it.

    A line `-- include NAME.lua` stands for what that file says.
    """

    text: bytes
    sha: str

    @classmethod
    def read(cls, name: str) -> "Script":
        """The script `name`.lua."""
        here = files("room_server.state")
        text = here.joinpath(f"{name}.lua").read_bytes()
        text = _INCLUDE.sub(lambda line: here.joinpath(line[1].decode()).read_bytes(), text)
        return cls(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


class PendingCommand(NamedTuple):
    """A command on its way. A reply that is done already belongs to a caller who has gone."""

    command: RedisCommand
    reply: asyncio.Future[Any]


class Pipeline(ABC):
    """Commands in, replies out; each caller hears of its own command only."""

    round_trips: Histogram
    """How long each flight took, those included that were lost."""

    @abstractmethod
    def ask(self, command: RedisCommand) -> asyncio.Future[Any]:
        """The reply to come; it travels with whatever else is asked in this turn of the event loop."""

    async def call(self, *command: Any) -> Any:
        """The reply to one command. Raises RedisError: not connected, timed out, or refused by the server."""
        return await self.ask(command)

    async def call_all(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """The replies in the order asked for. Raises RedisError, the first there is."""
        return await asyncio.gather(*(self.ask(command) for command in commands))

    async def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """The reply of a script, by its hash first. Raises RedisError."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments)


class NodePipeline(Pipeline):
    """The pipeline to one server; whoever opened it owns its flights.

    With `replicas`, nothing is answered before so many of them have what its flight wrote and read (see Confirmation).
    """

    def __init__(self, client: Redis, replicas: int = 0) -> None:
        self._client = client
        self._confirmation = ReplicationWait(replicas)
        self._waiting: deque[PendingCommand] = deque()
        self._wake = asyncio.Event()
        self.round_trips = Histogram()

    def ask(self, command: RedisCommand) -> asyncio.Future[Any]:
        """The reply to come."""
        asked = PendingCommand(command, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._wake.set()
        return asked.reply

    async def fly(self) -> None:
        """One flight after the other, for ever."""
        while True:
            await self._wake.wait()
            batch = self._pack()
            if not self._waiting:
                self._wake.clear()
            if batch:
                await self._send(batch)

    def close(self) -> None:
        """Nothing flies any more: tell those who wait."""
        _answer(list(self._waiting), [RedisConnectionError("the line is closed")] * len(self._waiting))
        self._waiting.clear()

    def _pack(self) -> list[PendingCommand]:
        """The next commands; those whose callers have gone stay on the ground, so no old wish comes true late."""
        batch: list[PendingCommand] = []
        while self._waiting and len(batch) < BATCH:
            asked = self._waiting.popleft()
            if not asked.reply.done():
                batch.append(asked)
        return batch

    async def _send(self, batch: list[PendingCommand]) -> None:
        left_at = time.perf_counter()
        try:
            replies = await self._replies(batch)
        except asyncio.CancelledError:
            _answer(batch, [RedisConnectionError("the line is closed")] * len(batch))
            raise
        self.round_trips.observe(time.perf_counter() - left_at)
        _answer(batch, replies)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._hang_up()  # a server that became a replica: its address may lead to the new primary

    async def _replies(self, batch: list[PendingCommand]) -> list[Any]:
        try:
            return await reraise_swallowed_cancellation(self._execute(batch))
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            return [error] * len(batch)
        except Exception as error:  # a command that cannot be packed, or a reply that cannot be read
            await self._hang_up()  # what follows on the wire is nobody's any more
            if len(batch) == 1:
                return [error]
            return [reply for asked in batch for reply in await self._replies([asked])]

    async def _execute(self, batch: list[PendingCommand]) -> list[Any]:
        carried = [command for command, _ in batch]
        pipeline = self._client.pipeline(transaction=False)
        for command in (*carried, *self._confirmation.commands(carried)):
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        answers, said = replies[: len(batch)], replies[len(batch) :]
        doubt = self._confirmation.doubt(said)
        if doubt is None:
            return answers
        return [answer if isinstance(answer, Exception) else doubt for answer in answers]

    async def _hang_up(self) -> None:
        """Close the idle connections. One that does not close in time is left; redis-py uses none of them again."""
        try:
            await reraise_swallowed_cancellation(self._client.connection_pool.disconnect(inuse_connections=False))
        except Exception as error:  # whatever it is, the flight goes on
            logger.warning("a connection to Redis could not be closed in order: %s", error)


def _answer(batch: list[PendingCommand], replies: list[Any]) -> None:
    for (_, reply), answer in zip(batch, replies, strict=True):
        if reply.done():
            continue
        if isinstance(answer, Exception):
            reply.set_exception(answer)
        else:
            reply.set_result(answer)


async def reraise_swallowed_cancellation(work: Awaitable[Answer]) -> Answer:
    """What redis-py's `work` gives; it is cancelled when this task is, and only then.

    It sends with `asyncio.wait_for`, which swallows a cancellation that comes just as the send is done (Python 3.11).
    One of something inside of it, which nobody asked of this task, is raised as RedisConnectionError. So is the
    RuntimeError by which uvloop says that the connection closed just before it was written to.
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
    """Field and value of HGETALL and its like, member and score of WITHSCORES: flat in RESP2, not in RESP3."""
    if isinstance(reply, dict):
        return iter(reply.items())
    if reply and isinstance(reply[0], list | tuple):
        return ((first, second) for first, second in reply)
    return zip(reply[::2], reply[1::2], strict=True)


def flat(rows: list[tuple[Any, ...]]) -> list[Any]:
    """Rows as a script takes them: their number, then their columns one after the other."""
    return [len(rows), *chain.from_iterable(rows)]


@asynccontextmanager
async def open_node_pipeline(client: Redis, replicas: int = 0) -> AsyncIterator[NodePipeline]:
    """A line whose flights end with the block. Each failure goes to the callers; no flight ends by itself."""
    line = NodePipeline(client, replicas)
    tasks = [asyncio.create_task(vital(line.fly()), name=f"flight-{number}") for number in range(FLIGHTS)]
    try:
        yield line
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        line.close()
