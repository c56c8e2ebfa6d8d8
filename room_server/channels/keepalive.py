"""When a socket is to be looked at, and what for: silence, a stalled peer, the token's end, the process's own goodbye.

Everything is asked by the process's one wheel. A peer that reads too slowly is aborted, not closed: a close frame would
wait behind what the peer does not read, and so would the wait for its answer.
"""

import asyncio
import time
from abc import abstractmethod
from math import inf

from room_server.channels.frames import MOST_CONTROLS
from room_server.channels.handshake import Admission
from room_server.core.messages import Actor
from room_server.errors import CloseCode

CONTROLS_PER_SECOND = 20.0
"""Pings and unasked pongs that a peer may go on sending: no browser sends any."""


class Deadlines:
    """The times of one socket, in monotonic seconds."""

    __slots__ = (
        "_admission",
        "_behind_since",
        "_calm_at",
        "_leaves_at",
        "_loop",
        "_pinged",
        "_silent_since",
        "_transport",
        "actor",
    )

    actor: Actor
    """Known once the handshake was checked."""
    _transport: asyncio.Transport

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._behind_since = 0.0
        """Since when the peer has not read what was written; 0: it has."""
        self._silent_since = 0.0
        self._calm_at = 0.0
        """When the control frames so far will have been few enough (GCRA)."""
        self._leaves_at = inf
        self._pinged = False

    @abstractmethod
    def ping(self) -> None:
        """Ask the peer for a sign of life."""

    @abstractmethod
    def close(self, code: CloseCode) -> None:
        """Start the closing handshake."""

    @abstractmethod
    def is_closing(self) -> bool:
        """Whether the closing handshake has begun."""

    @abstractmethod
    def on_drained(self) -> None:
        """The peer has read everything."""

    def write(self, data: bytes) -> None:
        """Write, unless the connection is on its way down: uvloop's transports refuse that."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        """Asyncio's word: the kernel takes no more."""
        self._behind_since = self._loop.time()
        if not self.is_closing():  # a goodbye has a time of its own
            self._admission.timers.schedule(self, self._next(self._behind_since))

    def resume_writing(self) -> None:
        """Asyncio's word: everything is with the kernel."""
        self._behind_since = 0.0
        self.on_drained()

    def floods(self, controls: int) -> bool:
        """Whether so many more control frames are too many; answers to our pings are not to be counted."""
        now = self._loop.time()
        self._calm_at = max(self._calm_at, now) + controls / CONTROLS_PER_SECOND
        return self._calm_at - now > MOST_CONTROLS / CONTROLS_PER_SECOND

    def on_timer(self, now: float) -> float | None:
        """The wheel's question: is anything to be done for this socket? See Wheel."""
        admission, silence = self._admission, now - self._silent_since
        unanswered = self._pinged and silence >= admission.ping_after + admission.gone_after
        stalled = self._behind_since and now - self._behind_since >= admission.stall_seconds
        if self.is_closing() or unanswered or stalled:
            self._transport.abort()
            return None
        if self.actor.expires_at is not None and self.actor.expires_at <= time.time():
            return self._closed(CloseCode.TOKEN_EXPIRED, now)
        if self._leaves_at <= now:
            return self._closed(CloseCode.RESTART, now)
        if not self._pinged and not self._behind_since and silence >= admission.ping_after:
            self._pinged = True
            self.ping()
        return self._next(now)

    def _closed(self, code: CloseCode, now: float) -> float:
        self.close(code)
        return now + self._admission.gone_after

    def _next(self, now: float) -> float:
        """When this socket is to be looked at again, at the latest."""
        admission = self._admission
        patience = admission.ping_after + admission.gone_after if self._pinged else admission.ping_after
        at = min(max(self._silent_since + patience, now), self._leaves_at)
        if self._behind_since:
            at = min(at, self._behind_since + admission.stall_seconds)
        if self.actor.expires_at is not None:
            at = min(at, now + max(0.0, self.actor.expires_at - time.time()))
        return at
