"""When a room was on air, by the clock of the event loop, and which slots an interval of that clock touches.

A room's states tell it: the time on air so far, and since when it runs. So every process comes to the same slots, as
exactly as the clocks of their hosts agree.
"""

from datetime import datetime

from msgspec import Struct

from room_server.core import watch_time
from room_server.core.room import Status
from room_server.core.wire import RoomVersion

STRETCHES = 8
"""Stretches between pauses that are kept: nobody is heard of so late that an older one matters."""
SETTLED_SECONDS = 60.0
"""After the end: by then each socket that was open at the end was heard again, or is gone (keepalive)."""


class Stretch(Struct):
    """An uninterrupted time on air."""

    on_air_since: datetime
    from_ms: int
    """The time on air at its beginning."""
    since: float
    """Its beginning, in seconds of the loop's clock."""
    until: float | None = None
    """Its end; None while it lasts."""


class AirTime:
    """The latest stretches of one room. `now` is always the loop's clock, in seconds."""

    __slots__ = ("_started_at", "_stretches", "ended_at")

    def __init__(self) -> None:
        self._started_at: datetime | None = None
        self._stretches: list[Stretch] = []
        self.ended_at: float | None = None
        """When this process heard of the end; None before it."""

    @property
    def broadcast(self) -> datetime | None:
        """When the webinar went live, which tells it from another one of the same id; None: it never did."""
        return self._started_at

    def hear(self, head: RoomVersion, now: float, unix_now: float) -> None:
        """Take a newer state of the room; `unix_now` is the time of day at `now`, in Unix seconds."""
        if head.started_at != self._started_at:
            self._started_at, self._stretches, self.ended_at = head.started_at, [], None
        latest = self._stretches[-1] if self._stretches else None
        if head.status is Status.LIVE and head.on_air_since is not None:
            if latest is None or latest.until is not None or latest.on_air_since != head.on_air_since:
                self._end(latest, head.on_air_ms)
                began = now - max(unix_now - head.on_air_since.timestamp(), 0.0)
                stretch = Stretch(head.on_air_since, head.on_air_ms, began)
                self._stretches = [*self._stretches, stretch][-STRETCHES:]
            return
        self._end(latest, head.on_air_ms)
        if head.status is not Status.PAUSED and self._stretches and self.ended_at is None:
            self.ended_at = now

    @staticmethod
    def _end(stretch: Stretch | None, on_air_ms: int) -> None:
        if stretch is not None and stretch.until is None:
            stretch.until = stretch.since + max(on_air_ms - stretch.from_ms, 0) / 1000

    def is_settled(self, now: float) -> bool:
        """Whether there is nothing on air that somebody may still be found to have seen."""
        return not self._stretches or (self.ended_at is not None and now - self.ended_at > SETTLED_SECONDS)

    def slots(self, since: float, until: float) -> int:
        """The slots of the time on air that an interval of the loop's clock touches."""
        touched = 0
        for stretch in self._stretches:
            first = max(since, stretch.since)
            last = until if stretch.until is None else min(until, stretch.until)
            if first <= last:
                ahead = stretch.from_ms - stretch.since * 1000
                touched |= watch_time.span(first * 1000 + ahead, last * 1000 + ahead)
        return touched
