"""What happened on air, by the time on air: the stretches between pauses, when the call to action was shown, and what
a lead saw of it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from room_server.core import watch_time
from room_server.core.room import Room, Span, Stretch, Visibility
from room_server.core.watch_time import Segment

KEPT = 100
"""Stretches, and times at which the CTA was shown, that a room keeps; the record must stay small."""


def went_live(room: Room, now: datetime) -> Room:
    """The room with the stretch on air that begins at `now`, and with its CTA if that is visible already."""
    stretches = (*room.stretches, Stretch(room.on_air_ms, now))[-KEPT:]
    is_start = room.started_at is None and room.cta_visibility is Visibility.VISIBLE
    return replace(room, stretches=stretches, cta_shown=(Span(0),) if is_start else room.cta_shown)


def cta_switched(room: Room, visible: bool, now: datetime) -> Room:
    """The room with the moment at which its CTA is shown or hidden. Before the start it is not on air."""
    if room.started_at is None:
        return room
    at_ms, shown = room.on_air_ms_at(now), room.cta_shown
    if not visible:
        return replace(room, cta_shown=(*shown[:-1], replace(shown[-1], until_ms=at_ms)) if shown else shown)
    if len(shown) == KEPT:  # as if it had not been hidden since
        return replace(room, cta_shown=(*shown[:-1], replace(shown[-1], until_ms=None)))
    return replace(room, cta_shown=(*shown, Span(at_ms)))


def moment(room: Room, at_ms: int, *, is_end: bool = False) -> datetime | None:
    """When the time on air came to `at_ms`; None before the start.

    At the border of two stretches that is the beginning of the second, or the end of the first if `is_end`.
    """
    known = [one for one in room.stretches if one.from_ms < at_ms or (one.from_ms == at_ms and not is_end)]
    if known:
        return known[-1].since + timedelta(milliseconds=at_ms - known[-1].from_ms)
    return room.started_at + timedelta(milliseconds=at_ms) if room.started_at else None


def pauses(room: Room) -> Iterator[int]:
    """When the pauses were, in ms of the time on air."""
    return (stretch.from_ms for stretch in room.stretches[1:])


def cta_spans(room: Room, on_air_ms: int) -> Iterator[tuple[int, int]]:
    """When the CTA was shown, in ms of the time on air that is `on_air_ms` so far."""
    for span in room.cta_shown:
        yield span.from_ms, on_air_ms if span.until_ms is None else span.until_ms


def cta_slots(room: Room, on_air_ms: int) -> int:
    """The slots in which the CTA was shown."""
    slots = 0
    for from_ms, until_ms in cta_spans(room, on_air_ms):
        slots |= watch_time.span(from_ms, until_ms)
    return slots


class Watched(Struct, frozen=True, kw_only=True):
    """What one lead watched. Times are the server's clock, UTC; None: it was not seen."""

    watched_ms: int = 0
    share: float = 0.0
    """Of the time on air: 0 to 1, to four places."""
    first_at: datetime | None = None
    last_at: datetime | None = None
    segment: Segment = Segment.ABSENT


def watched(room: Room | None, slots: int, now: datetime) -> Watched:
    """What the lead with these slots has watched until `now`; None: there is no room any more."""
    on_air_ms = room.on_air_ms_at(now) if room else 0
    seen = watch_time.seen_between(slots, on_air_ms)
    if room is None or seen is None:
        return Watched()
    ms = watch_time.watched_ms(slots, on_air_ms)
    return Watched(
        watched_ms=ms,
        share=round(ms / on_air_ms, 4),
        first_at=moment(room, seen[0]),
        last_at=moment(room, seen[1], is_end=True),
        segment=watch_time.segment(slots, on_air_ms),
    )
