"""What a request waits for in Redis: a reply, which is retried until a deadline, and replicas that have the write.

A process that starts waits longer (`startup.wait_for_state`), except for an error that waiting does not change.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
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
from room_server.state.keys import key_of, mark

logger = logging.getLogger(__name__)

DEADLINE = 1.7
"""Seconds for everything that one request asks of Redis; its caller gets an answer within two seconds."""
PAUSE = 0.02
"""Seconds between two tries."""
WAIT_MS = 500
"""How long WAIT may take for one batch: less than the timeout of its reply (`connect.REPLY_SECONDS`)."""
MARKS = 2
"""Most slots that a batch marks: one of the two may be on its way to another server of a Cluster."""
MARK_SECONDS = 60
"""How long a mark is kept; nobody reads it."""


class NotReplicated(RedisError):
    """The command was executed, but too few replicas have it yet."""


TEMPORARY = (
    *(RedisConnectionError, RedisTimeoutError, OSError),  # the connection broke, or nothing listens
    *(AskError, TryAgainError, ClusterDownError, ReadOnlyError),  # a slot moves, or a fail-over is under way
    NotReplicated,
)
"""Errors that pass by themselves. MovedError is an AskError."""
FINAL = (
    *(AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError, NoPermissionError),  # our login
    *(InvalidResponse, ssl.SSLCertVerificationError),  # not a Redis, or not the right one
)
"""Errors that last until a person changes the settings or the server."""


def is_final(error: BaseException) -> bool:
    """Whether waiting would not help: the login, a right, the database or the kind of server is wrong.

    A server that is down, loading, failing over or short of memory is temporary. `ERR` is Redis' code for a command
    that it will never accept. redis-py wraps errors in others, so the causes are searched, too.
    """
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return any(isinstance(one, FINAL) or (type(one) is ResponseError and one.status_code == "ERR") for one in causes)


class deadline:  # noqa: N801 - used like a function, and a quarter cheaper than one with `asynccontextmanager`
    """Bounds everything that one request asks of Redis. Raises StateUnavailable."""

    def __init__(self, seconds: float = DEADLINE) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise StateUnavailable from None
        if isinstance(error, TimeoutError):
            raise StateUnavailable from None


async def with_retries(operation: Callable[[], Any]) -> Any:
    """The result of an operation that may safely run twice; temporary errors are retried without end.

    The caller bounds that with `deadline`. Raises StateUnavailable for any other error of Redis.
    """
    while True:
        try:
            return await operation()
        except TEMPORARY as error:
            logger.debug("Redis: %s; asking again", error)
            await asyncio.sleep(PAUSE)
        except RedisError as error:
            logger.error("Redis refused a command: %s", error)
            raise StateUnavailable(f"Redis refused: {error}") from error


class ReplicationWait:
    """Commands at the end of each batch that wait until `replicas` replicas have all of it; none when that is 0.

    WAIT waits for the last write of its own connection; if there was none, Valkey 9 replies at once. But a batch that
    only reads may return what another connection wrote a moment ago, and no replica may have that yet. So each batch
    ends with a write of its own, the mark. Replication is one stream in the order of the writes: a replica that has the
    mark has everything that the batch can have read.
    """

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._acknowledged = replicas

    def commands(self, batch: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The commands to send after those of the batch."""
        if not self._replicas:
            return []
        marks = dict.fromkeys(mark(key_of(command)) for command in batch)
        writes = [("SET", key, "", "EX", MARK_SECONDS) for key in islice(marks, MARKS)]
        return [*writes, ("WAIT", self._replicas, WAIT_MS)]

    def failure(self, replies: Sequence[Any]) -> Exception | None:
        """Why no command of the batch may be answered, from the replies to `commands`; None if replicas have it."""
        if not self._replicas:
            return None
        *marked, acknowledged = replies
        if isinstance(acknowledged, Exception):
            return ReadOnlyError(str(acknowledged)) if _became_a_replica(acknowledged) else acknowledged
        self._log_change(acknowledged)
        if acknowledged < self._replicas:
            return NotReplicated(f"{acknowledged} of {self._replicas} replicas have it")
        failed = [reply for reply in marked if isinstance(reply, Exception)]
        return failed[0] if len(failed) == len(marked) else None

    def _log_change(self, acknowledged: int) -> None:
        """Log once when there are too few replicas, and once when there are enough again."""
        if (acknowledged < self._replicas) != (self._acknowledged < self._replicas):
            level = logging.WARNING if acknowledged < self._replicas else logging.INFO
            logger.log(level, "%d replicas have what was written, %d are asked for", acknowledged, self._replicas)
        self._acknowledged = acknowledged


def _became_a_replica(error: Exception) -> bool:
    """Whether WAIT failed because the server is a replica now; UNBLOCKED: it became one while WAIT was running."""
    return "replica instances" in str(error) or str(error).startswith("UNBLOCKED")
