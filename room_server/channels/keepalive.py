"""Time limits of sockets: keepalive, slow readers, token expiry, shutdown; and the one timer for all of them.

`Deadlines` decides by the times it is given and does no I/O. All times are seconds of the event loop's clock.
"""

import asyncio
from collections.abc import Iterator
from enum import Enum, auto
from math import inf
from typing import Protocol

from msgspec import Struct

from room_server.errors import CloseCode

PING_AFTER = 25.0
"""Seconds of silence before a ping."""
GONE_AFTER = 20.0
"""Seconds that a ping, or a close frame, may stay unanswered."""
TICK = 0.25
"""Seconds between two looks at the timer wheel."""


class Limits(Struct):
    """The time limits of this process's sockets, in seconds."""

    stall_seconds: float
    ping_after: float = PING_AFTER
    gone_after: float = GONE_AFTER


class Due(Enum):
    """What a socket has to do now, besides closing with a code."""

    PING = auto()
    ABORT = auto()


class Deadlines(Struct, gc=False):
    """The times of one socket. `token_seconds` is how long its token is still valid, inf for one that never expires.

    Every socket has one, so it is not tracked by the garbage collector, which saves 16 bytes: it holds numbers only.
    """

    last_received: float = 0.0
    behind_since: float = 0.0
    """Since when bytes wait in the transport's buffer because the peer does not read; 0: none wait."""
    close_at: float = inf
    """When the socket is closed because this process goes away."""
    pinged: bool = False
    """A keepalive ping was sent since `last_received`."""

    @property
    def is_behind(self) -> bool:
        """Whether the peer has not read everything that was written."""
        return self.behind_since > 0

    def due(self, now: float, limits: Limits, token_seconds: float) -> Due | CloseCode | None:
        """What to do at `now`: ping, close with a code, abort, or nothing.

        A slow reader is aborted, not closed: a close frame would wait behind what the peer does not read.
        """
        silence = now - self.last_received
        if self.pinged and silence >= limits.ping_after + limits.gone_after:
            return Due.ABORT
        if self.behind_since and now - self.behind_since >= limits.stall_seconds:
            return Due.ABORT
        if token_seconds <= 0:
            return CloseCode.TOKEN_EXPIRED
        if self.close_at <= now:
            return CloseCode.RESTART
        if not self.pinged and not self.behind_since and silence >= limits.ping_after:
            return Due.PING
        return None

    def next_check(self, now: float, limits: Limits, token_seconds: float) -> float:
        """When something may be due next."""
        silence = limits.ping_after + (limits.gone_after if self.pinged else 0)
        stalled = self.behind_since + limits.stall_seconds if self.behind_since else inf
        return min(max(self.last_received + silence, now), self.close_at, stalled, now + max(token_seconds, 0))


class Bucket(set["Timed"]):
    """What is due in one second."""

    __slots__ = ("second",)

    def __init__(self, second: int) -> None:
        super().__init__()
        self.second = second


class Timed(Protocol):
    """What the timer wheel calls."""

    bucket: Bucket | None
    """The wheel's own note; None at first."""

    def on_timer(self, now: float) -> object:
        """Do what is due at `now`; to be called again, schedule it again."""


class TimerWheel:
    """One timer for all sockets, in buckets of a second: a tick costs what is due, not what is connected.

    Each entry knows its bucket: a table of them would cost a socket another hundred bytes.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._now = 0
        """The last second whose bucket was emptied."""

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def schedule(self, entry: Timed, at: float) -> None:
        """Call `entry` once, up to about a second after `at`, instead of at any time scheduled before."""
        self.cancel(entry)
        second = max(int(at) + 1, self._now + 1)
        bucket = entry.bucket = self._buckets.get(second) or self._buckets.setdefault(second, Bucket(second))
        bucket.add(entry)

    def cancel(self, entry: Timed) -> None:
        """Do not call `entry` any more."""
        bucket, entry.bucket = entry.bucket, None
        if bucket is not None:
            bucket.discard(entry)
            if not bucket:  # an emptied set keeps the memory that it had for thousands
                self._buckets.pop(bucket.second, None)

    async def run(self) -> None:
        """Call what is due, for ever. An exception of an entry ends it, and so the process (process.vital)."""
        clock = asyncio.get_running_loop().time
        self._now = int(clock())
        for bucket in list(self._buckets.values()):  # scheduled before the loop's clock was known
            for entry in list(bucket):
                self.schedule(entry, bucket.second - 1)
        while True:
            await asyncio.sleep(TICK)
            now = clock()
            for entry in self._take_due(int(now)):
                entry.on_timer(now)

    def _take_due(self, now: int) -> Iterator[Timed]:
        for second in range(self._now + 1, now + 1):
            self._now = second
            bucket = self._buckets.pop(second, None)
            while bucket:  # an entry may have those after it cancelled or rescheduled
                yield bucket.pop()
