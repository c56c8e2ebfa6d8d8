"""Reads of more than one command: a large hash in slices, and commands to all partitions at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from room_server.errors import StateUnavailable
from room_server.state.redis.pipeline import RedisCommand, Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

Reply = TypeVar("Reply")
SLICE = 500
"""About how many fields one read of a hash returns: neither Redis nor this process may be blocked for long."""
ANSWER_SECONDS = 1.2
"""Timeout of a partition, after which the others are answered without it; less than `retry.DEADLINE`."""
UNAVAILABLE_SECONDS = 0.4
"""The same for a partition that did not answer the last time, while others did."""


async def hash_slices(store: Store, key: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The fields of the hash at `key`, in no order; no slice is empty. Raises StateUnavailable.

    As HSCAN guarantees, a field that exists during the whole read is returned, and one that changes meanwhile may come
    twice. The guarantee ends with a restart or a fail-over of the server; then StateUnavailable is raised.
    """
    async for found in _slices(store, key, "0"):
        yield dict(pairs(found))


async def hash_fields(store: Store, key: str) -> AsyncIterator[list[bytes]]:
    """The same of the names of the fields, without their values."""
    async for found in _slices(store, key, "1"):
        yield found


async def _slices(store: Store, key: str, names_alone: str) -> AsyncIterator[Any]:
    """What `hash_slice.lua` finds, slice by slice."""
    script, cursor, first_server = Script.read("hash_slice"), 0, b""
    while True:
        async with deadline():
            cursor, found, server = await store.run(script, [key], [cursor, SLICE, names_alone])
        if server != (first_server or server):
            raise StateUnavailable("Redis was restarted in the middle of a long reading; repeat the request")
        first_server = server
        if found:
            yield found
        if int(cursor) == 0:
            return


async def ask_each(store: Store, commands: Mapping[str, Sequence[RedisCommand]]) -> dict[str, list[Any]]:
    """The replies to each partition's commands, by its tag. Each command must be safe to run twice.

    Partitions that are unavailable are left out (see `answer`). Raises StateUnavailable when all of them are.
    """
    asked = (answer(store, tag, partial(store.call_all, of_it)) for tag, of_it in commands.items())
    replies = zip(commands, await asyncio.gather(*asked), strict=True)
    found = {tag: reply for tag, reply in replies if reply is not None}
    if commands and not found:
        raise StateUnavailable
    return found


async def answer(store: Store, tag: str, ask: Callable[[], Awaitable[Reply]]) -> Reply | None:
    """The result of `ask`, which uses this partition alone; None if it does not answer in time.

    Then the partition is in `Store.unavailable` until it answers again.
    """
    failed_before = tag in store.unavailable and len(store.unavailable) < len(store.keys.tags)
    try:
        async with asyncio.timeout(UNAVAILABLE_SECONDS if failed_before else ANSWER_SECONDS):
            reply = await ask()
    except (TimeoutError, StateUnavailable):
        store.unavailable.add(tag)
        return None
    store.unavailable.discard(tag)
    return reply
