"""One pipeline for all commands of an event-loop turn: what is asked at the same time travels together.

A fixed number of flights is in the air at once; whatever is asked meanwhile waits for the next, so the busier the
process, the fuller its pipelines, and the server syncs its disk once for each.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError

Client = Redis | RedisCluster
FLIGHTS = 2
"""Pipelines in the air at once: the next is packed while the server works on the last."""
BATCH = 512
"""Commands in one pipeline at most."""


class Script(NamedTuple):
    """A `.lua` file beside this one; it runs by its SHA-1 and is sent whole where the server does not know it."""

    text: bytes
    sha: str

    @classmethod
    def read(cls, name: str) -> "Script":
        """The script `name`.lua of this package."""
        text = files(__package__).joinpath(f"{name}.lua").read_bytes()
        return cls(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


class Pipeline:
    """Callers await `call`; whoever opened the pipeline owns its flights."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()

    async def call(self, *command: Any) -> Any:
        """The reply to one command. Raises RedisError: not connected, timed out, or refused by the server."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, reply))
        self._wake.set()
        return await reply

    async def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """The reply of a script, by its hash first. Raises RedisError."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    async def fly(self) -> None:
        """One flight after the other, for ever."""
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._wake.clear()
            if batch:
                await self._send(batch)

    async def _send(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]]) -> None:
        try:
            pipeline = self._client.pipeline(transaction=False)
            for command, _ in batch:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            replies = [error] * len(batch)
        for (_, reply), answer in zip(batch, replies, strict=True):
            if reply.done():
                continue
            if isinstance(answer, Exception):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)


def pairs(reply: Any) -> Iterator[tuple[bytes, bytes]]:
    """Field and value of replies such as HGETALL's: RESP2 gives them flat, RESP3 as a map."""
    if isinstance(reply, dict):
        return iter(reply.items())
    return zip(reply[::2], reply[1::2], strict=True)


def flat(rows: list[tuple[Any, ...]]) -> list[Any]:
    """Rows as a script takes them: their number, then their columns one after the other."""
    return [len(rows), *chain.from_iterable(rows)]


@asynccontextmanager
async def open_pipeline(client: Client) -> AsyncIterator[Pipeline]:
    """A pipeline whose flights end with the block. A flight never dies by itself: each failure goes to its callers."""
    pipeline = Pipeline(client)
    tasks = [asyncio.create_task(pipeline.fly(), name=f"pipeline-{number}") for number in range(FLIGHTS)]
    try:
        yield pipeline
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
