"""Watch time: which slots of the time on air a lead was seen in, and what follows from that.

The time on air, without pauses, is cut into slots of SLOT_MS. The slots of a lead are one integer: bit k is set when
the lead was seen in slot k. It is only ever OR-ed, so nothing that is told twice is counted twice.
"""

from collections.abc import Iterator
from enum import StrEnum

SLOT_MS = 5000
MAX_SLOTS = 48 * 3600 * 1000 // SLOT_MS
"""The slots of 48 hours on air; what comes later is not kept, so that no bitmap exceeds 4,320 bytes."""
JOINED_LATE = 0.1
"""The share of the time on air after which a first slot is late."""
LEFT_EARLY = 0.9
"""The share of the time on air before which a last slot is early."""


class Segment(StrEnum):
    """How a lead watched."""

    ABSENT = "absent"
    LEFT_EARLY = "left_early"
    JOINED_LATE = "joined_late"
    STAYED = "stayed"


def slot_at(on_air_ms: float) -> int:
    """The slot that this moment of the time on air is in."""
    return int(on_air_ms // SLOT_MS)


def span(from_ms: float, to_ms: float) -> int:
    """The slots that the time on air from `from_ms` to `to_ms` touches; just before a border is not beyond it."""
    first = max(slot_at(from_ms), 0)
    last = min(max(first, -int(-to_ms // SLOT_MS) - 1), MAX_SLOTS - 1)
    return (1 << (last + 1)) - (1 << first) if to_ms >= max(from_ms, 0) and first <= last else 0


def within(slots: int, on_air_ms: int) -> int:
    """The slots that are within this time on air: a process may have seen somebody before it heard of the stop."""
    return slots & span(0, on_air_ms) if on_air_ms > 0 else 0


def watched_ms(slots: int, on_air_ms: int) -> int:
    """The length of these slots; that of the last one ends with the time on air."""
    counted = within(slots, on_air_ms)
    missing = -on_air_ms % SLOT_MS
    is_last_seen = bool(counted >> slot_at(on_air_ms - 1) & 1) if on_air_ms > 0 else False
    return counted.bit_count() * SLOT_MS - (missing if is_last_seen else 0)


def seen_between(slots: int, on_air_ms: int) -> tuple[int, int] | None:
    """From the beginning of the first slot to the end of the last one, in ms of the time on air; None without one."""
    counted = within(slots, on_air_ms)
    if not counted:
        return None
    first = (counted & -counted).bit_length() - 1
    return first * SLOT_MS, min(counted.bit_length() * SLOT_MS, on_air_ms)


def segment(slots: int, on_air_ms: int) -> Segment:
    """How somebody with these slots watched."""
    seen = seen_between(slots, on_air_ms)
    if seen is None:
        return Segment.ABSENT
    first, last = seen
    if last <= LEFT_EARLY * on_air_ms:
        return Segment.LEFT_EARLY
    return Segment.JOINED_LATE if first >= JOINED_LATE * on_air_ms else Segment.STAYED


def runs(slots: int) -> Iterator[tuple[int, int]]:
    """First and last slot of each uninterrupted run, in order."""
    borders = slots ^ (slots << 1)
    while borders:
        first = (borders & -borders).bit_length() - 1
        borders &= borders - 1
        end = (borders & -borders).bit_length() - 1
        borders &= borders - 1
        yield first, end - 1


def from_bytes(bitmap: bytes) -> int:
    """The slots of a stored bitmap: slot k is bit k mod 8 of byte k // 8."""
    return int.from_bytes(bitmap, "little")
