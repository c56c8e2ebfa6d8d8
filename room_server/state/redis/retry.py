"""How long Redis is waited for: asked again when a line is cut, given up within two seconds, in one clear refusal.

A process that starts has more patience (opening.wait_for_state), but not with an answer that waiting does not change.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    ClusterDownError,
    InvalidResponse,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.errors import StateUnavailable
from room_server.state.redis.confirmation import NotReplicated

logger = logging.getLogger(__name__)

DEADLINE = 1.7
"""Seconds for one request's whole business with Redis: a caller hears within two."""
PAUSE = 0.02
"""Seconds before a question that was cut off is asked again."""
AGAIN = (
    *(RedisConnectionError, RedisTimeoutError, OSError),  # the line was cut, or nobody is there
    *(AskError, TryAgainError, ClusterDownError, ReadOnlyError),  # a Cluster or its like is changing hands
    NotReplicated,  # a replica is late
)
"""What passes by itself. MovedError is an AskError."""


FINAL = (
    *(AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError, NoPermissionError),  # who we are
    *(InvalidResponse, ssl.SSLCertVerificationError),  # who they are
)
"""What only a person mends, in the settings or at the server."""


def is_final(error: BaseException) -> bool:
    """Whether waiting would not mend it: the login, a right, the database or the kind of server is wrong.

    Nobody there, loading, failing over or short of memory all pass. `ERR` is Redis' code for a command that it will
    never take; each trouble of its own has another. What redis-py made of an error is searched for its causes.
    """
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return any(isinstance(one, FINAL) or (type(one) is ResponseError and one.status_code == "ERR") for one in causes)


@asynccontextmanager
async def deadline() -> AsyncIterator[None]:
    """Bounds one request's business with Redis. Raises StateUnavailable."""
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except TimeoutError:
        raise StateUnavailable from None


async def with_retries(question: Callable[[], Any]) -> Any:
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
