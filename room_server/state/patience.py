"""How long Redis is waited for: asked again when a line is cut, given up within two seconds, in one clear refusal."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.errors import StateUnavailable
from room_server.state.pipeline import Unconfirmed

logger = logging.getLogger(__name__)

DEADLINE = 1.7
"""Seconds for one request's whole business with Redis: a caller hears within two."""
PAUSE = 0.02
"""Seconds before a question that was cut off is asked again."""
AGAIN = (
    *(RedisConnectionError, RedisTimeoutError, OSError),  # the line was cut, or nobody is there
    *(AskError, TryAgainError, ClusterDownError, ReadOnlyError),  # a Cluster or its like is changing hands
    Unconfirmed,  # a replica is late
)
"""What passes by itself. MovedError is an AskError."""


@asynccontextmanager
async def deadline() -> AsyncIterator[None]:
    """Bounds one request's business with Redis. Raises StateUnavailable."""
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except TimeoutError:
        raise StateUnavailable from None


async def persistently(question: Callable[[], Any]) -> Any:
    """The answer to a question that may safely be asked twice. Raises StateUnavailable for what Redis refuses."""
    while True:
        try:
            return await question()
        except AGAIN as error:
            logger.debug("Redis: %s; asking again", error)
            await asyncio.sleep(PAUSE)  # the deadline around the question bounds this
        except RedisError as error:
            logger.error("Redis refused a command: %s", error)
            raise StateUnavailable(f"Redis refused: {error}") from error
