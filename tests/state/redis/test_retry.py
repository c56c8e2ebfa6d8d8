"""Redis is asked again where that helps, and given up within two seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from ssl import SSLCertVerificationError

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.errors import StateUnavailable
from room_server.state.redis.retry import DEADLINE, deadline, is_final, with_retries
from tests.support import SLACK

PASSING = [
    *(RedisConnectionError("cut"), RedisTimeoutError("silent"), OSError("gone"), BusyLoadingError("loading")),
    *(MovedError("1 127.0.0.1:1"), TryAgainError("moving"), ClusterDownError("down"), ReadOnlyError("a replica")),
]
LASTING = [ResponseError("WRONGTYPE"), OutOfMemoryError("full"), NoPermissionError("not you")]


def name_of(error: Exception) -> str:
    """How a test's id shows an error."""
    return type(error).__name__


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """A question that meets these errors, one at each time, and is then answered."""
    left = list(errors)

    async def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


@pytest.mark.parametrize("error", PASSING, ids=name_of)
async def test_what_passes_by_itself_is_asked_again(error: Exception) -> None:
    assert await with_retries(failing(error, error, error)) == "answer"


@pytest.mark.parametrize("error", LASTING, ids=name_of)
async def test_what_redis_refuses_is_said_at_once(error: Exception) -> None:
    with pytest.raises(StateUnavailable, match=f"Redis refused: {error}"):
        await with_retries(failing(error))


@pytest.mark.parametrize("error", PASSING, ids=name_of)
def test_what_passes_by_itself_is_worth_a_long_wait(error: Exception) -> None:
    assert not is_final(error)


@pytest.mark.parametrize(
    "cause", [AuthenticationError("not you"), NoPermissionError("not this"), SSLCertVerificationError("not them")]
)
def test_a_cause_that_lasts_is_found_behind_what_was_made_of_it(cause: Exception) -> None:
    """As redis-py's Cluster client does, which tells of the last server that it asked."""
    error = RedisConnectionError("cannot be connected")
    error.__cause__ = RedisClusterException("no reachable node")
    error.__cause__.__context__ = cause
    cause.__context__ = error  # a circle ends too

    assert is_final(error)


async def test_an_error_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await with_retries(failing(ZeroDivisionError()))


async def test_the_deadline_ends_what_never_passes() -> None:
    started = time.monotonic()
    with pytest.raises(StateUnavailable, match="repeat the request, it is safe"):
        async with deadline():
            await with_retries(failing(*[RedisConnectionError("cut")] * 1000))

    assert DEADLINE - 0.01 < time.monotonic() - started < DEADLINE + SLACK
    assert DEADLINE < 2.0


async def test_a_refusal_inside_the_deadline_stays_what_it_is() -> None:
    with pytest.raises(StateUnavailable, match="not in time"):
        async with deadline():
            raise StateUnavailable("not in time")


async def test_whoever_is_cancelled_is_cancelled() -> None:
    async def ask() -> None:
        async with deadline():
            await with_retries(failing(*[RedisConnectionError("cut")] * 1000))

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
