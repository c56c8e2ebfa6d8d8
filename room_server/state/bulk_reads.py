"""Reads of more than one command: a large hash slice by slice, and one question to all partitions at once."""

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
"""Fields that one read of a hash returns, about: neither Redis nor this process is to be busy for long."""
ANSWER_SECONDS = 1.2
"""How long a partition may take before the others are answered without it; less than the deadline of a request."""
AWAY_SECONDS = 0.4
"""The same for one that did not answer the last time, while others did."""


async def hash_slices(store: Store, key: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The fields of the hash at `key`, in no order; no slice is empty. Raises StateUnavailable.

    A field that exists throughout the pass is returned; one that changes meanwhile may come twice (the guarantees of
    HSCAN). That holds for one run of one server, so a restart or a fail-over breaks the pass off.
    """
    script, cursor, first_server = Script.read("scan"), 0, b""
    while True:
        async with deadline():
            cursor, found, server = await store.run(script, [key], [cursor, SLICE])
        if server != (first_server or server):
            raise StateUnavailable("Redis was restarted in the middle of a long reading; repeat the request")
        first_server = server
        if part := dict(pairs(found)):
            yield part
        if int(cursor) == 0:
            return


async def ask_each(store: Store, questions: Mapping[str, Sequence[RedisCommand]]) -> dict[str, list[Any]]:
    """The replies by partition, without those that are away (see `Store.away`). Each question may safely run twice.

    Raises StateUnavailable when all of them are away.
    """
    asked = (answer(store, tag, partial(store.call_all, of_it)) for tag, of_it in questions.items())
    replies = zip(questions, await asyncio.gather(*asked), strict=True)
    found = {tag: reply for tag, reply in replies if reply is not None}
    if questions and not found:
        raise StateUnavailable
    return found


async def answer(store: Store, tag: str, ask: Callable[[], Awaitable[Reply]]) -> Reply | None:
    """The result of `ask`, which asks this partition alone; None when its server does not answer in time."""
    known_away = tag in store.away and len(store.away) < len(store.keys.tags)
    try:
        async with asyncio.timeout(AWAY_SECONDS if known_away else ANSWER_SECONDS):
            reply = await ask()
    except (TimeoutError, StateUnavailable):
        store.away.add(tag)
        return None
    store.away.discard(tag)
    return reply
