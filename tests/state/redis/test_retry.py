"""Temporary errors are retried until the deadline, and a batch waits for replicas."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from ssl import SSLCertVerificationError
from typing import Any

import pytest
from redis.exceptions import (
    AskError,
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
from room_server.state.keys import PARTITIONS, slot
from room_server.state.redis.retry import (
    DEADLINE,
    MARK_SECONDS,
    WAIT_MS,
    NotReplicated,
    ReplicationWait,
    deadline,
    is_final,
    with_retries,
)
from tests.support import SLACK

TEMPORARY = [
    *(RedisConnectionError("cut"), RedisTimeoutError("silent"), OSError("gone"), BusyLoadingError("loading")),
    *(MovedError("1 127.0.0.1:1"), TryAgainError("moving"), ClusterDownError("down"), ReadOnlyError("a replica")),
]
LASTING = [ResponseError("WRONGTYPE"), OutOfMemoryError("full"), NoPermissionError("not you")]


def name_of(error: Exception) -> str:
    """How a test's id shows an error."""
    return type(error).__name__


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """An operation that raises these errors, one at each try, and then succeeds."""
    left = list(errors)

    async def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


@pytest.mark.parametrize("error", TEMPORARY, ids=name_of)
async def test_a_temporary_error_is_retried(error: Exception) -> None:
    assert await with_retries(failing(error, error, error)) == "answer"


@pytest.mark.parametrize("error", LASTING, ids=name_of)
async def test_another_error_of_redis_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(StateUnavailable, match=f"Redis refused: {error}"):
        await with_retries(failing(error))


@pytest.mark.parametrize("error", TEMPORARY, ids=name_of)
def test_a_temporary_error_is_not_final(error: Exception) -> None:
    assert not is_final(error)


@pytest.mark.parametrize(
    "cause", [AuthenticationError("not you"), NoPermissionError("not this"), SSLCertVerificationError("not them")]
)
def test_a_final_error_is_found_among_the_causes(cause: Exception) -> None:
    """redis-py's Cluster client wraps the error of the last server that it asked."""
    error = RedisConnectionError("cannot be connected")
    error.__cause__ = RedisClusterException("no reachable node")
    error.__cause__.__context__ = cause
    cause.__context__ = error  # a circle ends too

    assert is_final(error)


async def test_any_time_out_in_the_block_means_that_redis_is_away() -> None:
    with pytest.raises(StateUnavailable):
        async with deadline():
            raise TimeoutError
    with pytest.raises(StateUnavailable):
        async with deadline(0.01):
            await asyncio.Event().wait()


async def test_an_error_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await with_retries(failing(ZeroDivisionError()))


async def test_the_deadline_ends_endless_retries() -> None:
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


async def test_a_cancelled_caller_is_cancelled() -> None:
    async def ask() -> None:
        async with deadline():
            await with_retries(failing(*[RedisConnectionError("cut")] * 1000))

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


DEMOTED = ResponseError("WAIT cannot be used with replica instances. Please also note that …")
UNBLOCKED = ResponseError(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)
MOVING = AskError("1234 127.0.0.1:7001")
DENIED = ResponseError("NOPERM this user has no permissions to run the 'wait' command")


def reads(*tags: str) -> list[tuple[Any, ...]]:
    """Commands that read a record of each partition."""
    return [("HGET", f"rs:{{{tag}}}:room:w", "record") for tag in tags]


def mark_of(tag: str) -> tuple[Any, ...]:
    return ("SET", f"rs:{{{tag}}}:mark", "", "EX", MARK_SECONDS)


def test_without_replicas_a_batch_has_no_other_commands() -> None:
    replication = ReplicationWait(0)

    assert replication.commands(reads("p1")) == []
    assert replication.failure([]) is None


def test_a_batch_marks_its_slots_and_waits_last() -> None:
    expected = [mark_of("p1"), mark_of("p2"), ("WAIT", 2, WAIT_MS)]

    assert ReplicationWait(2).commands(reads("p1", "p1", "p2", "p1")) == expected


def test_a_batch_marks_two_slots_at_most() -> None:
    assert ReplicationWait(1).commands(reads("p1", "p2", "p3"))[:-1] == [mark_of("p1"), mark_of("p2")]


@pytest.mark.parametrize(
    "command",
    [("EVALSHA", "0" * 40, 1, "rs:{p2}:room:w", "argument"), ("GET", "rs:webhook:digest"), ("PING",)],
    ids=["a script", "a key without braces", "no key"],
)
def test_the_mark_is_in_the_slot_of_the_command(command: tuple[Any, ...]) -> None:
    """On a Cluster the server that executes the command would refuse any other."""
    (_, key, *_), _ = ReplicationWait(1).commands([command])
    expected = next((part for part in command if str(part).startswith("rs:")), PARTITIONS)

    assert slot(str(key)) == slot(str(expected))


@pytest.mark.parametrize(
    ("replies", "failure"),
    [
        ([True, 2], None),
        ([True, 3], None),
        ([MOVING, True, 2], None),
        ([True, 1], NotReplicated),
        ([MOVING, MOVING, 2], AskError),
        ([True, DENIED], ResponseError),
        ([ReadOnlyError(), DEMOTED], ReadOnlyError),
        ([True, UNBLOCKED], ReadOnlyError),
    ],
    ids=[
        "all",
        "more",
        "one mark of two",
        "too few",
        "no mark",
        "may not wait",
        "is a replica",
        "became one meanwhile",
    ],
)
def test_a_batch_is_answered_when_it_is_marked_and_enough_replicas_have_the_mark(
    replies: list[Any], failure: type[Exception] | None
) -> None:
    found = ReplicationWait(2).failure(replies)

    assert (type(found) if found else None) is failure


def test_missing_replicas_are_logged_once_and_so_is_their_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replication = ReplicationWait(1)
    for acknowledged in (1, 0, 0, 1, 1):
        replication.failure([True, acknowledged])

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "0 replicas have what was written, 1 are asked for"),
        ("INFO", "1 replicas have what was written, 1 are asked for"),
    ]
