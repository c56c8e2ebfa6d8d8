"""Questions to all partitions at once. One whose server is away is left out, and soon nobody waits for it any more."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from room_server.errors import StateUnavailable
from room_server.state.redis.pipeline import RedisCommand
from room_server.state.store import Store

Reply = TypeVar("Reply")
ANSWER_SECONDS = 1.2
"""How long a partition may take before the others are answered without it; less than the deadline of a request."""
AWAY_SECONDS = 0.4
"""The same for one that did not answer the last time, while others did."""


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
    """What `ask` gives, which asks this partition alone; None: it is away."""
    known_away = tag in store.away and len(store.away) < len(store.keys.tags)
    try:
        async with asyncio.timeout(AWAY_SECONDS if known_away else ANSWER_SECONDS):
            reply = await ask()
    except (TimeoutError, StateUnavailable):
        store.away.add(tag)
        return None
    store.away.discard(tag)
    return reply
