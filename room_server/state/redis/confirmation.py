"""How many replicas have what a flight wrote and what it read: WAIT, and the mark that is written before it.

WAIT waits until replicas have the last write of its own connection; where that connection wrote nothing, Valkey 9
answers at once. But what a flight only read may have been written by another one a moment ago, and no replica may have
it yet. So each flight writes a mark behind its commands. Replication is one stream in the order of the writes: a
replica that has the mark has everything that the flight can have seen.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from redis.exceptions import ReadOnlyError, RedisError

from room_server.state.keys import key_of, mark

logger = logging.getLogger(__name__)

CONFIRM_MS = 500
"""How long one flight waits for its replicas: less than its reply may take."""
MARKS = 2
"""Slots that are marked at most: one of them may just be on its way to another server of a Cluster."""
MARK_SECONDS = 60
"""How long a mark is kept; nobody reads it."""


class NotReplicated(RedisError):
    """It was done, and too few replicas have it yet."""


class ReplicationWait:
    """What a line adds to each of its flights, so that `replicas` replicas have all of it; with 0 nothing."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._have = replicas

    def commands(self, carried: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """What the flight that carries these commands sends behind them."""
        if not self._replicas:
            return []
        marks = dict.fromkeys(mark(key_of(command)) for command in carried)
        setting = [("SET", key, "", "EX", MARK_SECONDS) for key in islice(marks, MARKS)]
        return [*setting, ("WAIT", self._replicas, CONFIRM_MS)]

    def doubt(self, replies: Sequence[Any]) -> Exception | None:
        """Why nobody may be answered, by the replies to `commands`; None when replicas have everything."""
        if not self._replicas:
            return None
        *marked, have = replies
        if isinstance(have, Exception):
            return ReadOnlyError(str(have)) if _became_a_replica(have) else have
        self._tell(have)
        if have < self._replicas:
            return NotReplicated(f"{have} of {self._replicas} replicas have it")
        failed = [reply for reply in marked if isinstance(reply, Exception)]
        return failed[0] if len(failed) == len(marked) else None

    def _tell(self, have: int) -> None:
        """A word in the log when there begin to be too few, and when there are enough again."""
        if (have < self._replicas) != (self._have < self._replicas):
            level = logging.WARNING if have < self._replicas else logging.INFO
            logger.log(level, "%d replicas have what was written, %d are asked for", have, self._replicas)
        self._have = have


def _became_a_replica(error: Exception) -> bool:
    """Whether the server does not lead any more: before it was asked to wait, or while it did (UNBLOCKED)."""
    return "replica instances" in str(error) or str(error).startswith("UNBLOCKED")
