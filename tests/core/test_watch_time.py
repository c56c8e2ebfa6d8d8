"""Slots of the time on air: which an interval touches, how long they are, and how somebody with them watched."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_server.core.watch_time import (
    MAX_SLOTS,
    Segment,
    from_bytes,
    runs,
    seen_between,
    segment,
    slot_at,
    span,
    watched_ms,
    within,
)

HOUR = 3600 * 1000
SOME_SLOTS = st.integers(0, 2**60)


def test_a_slot_is_five_seconds_of_the_time_on_air() -> None:
    assert [slot_at(ms) for ms in (0, 4999, 5000, 62_000)] == [0, 0, 1, 12]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "slots"),
    [
        (0, 1, 0b1),
        (0, 5000, 0b1),  # the border belongs to the next slot, which was not seen
        (0, 5001, 0b11),
        (4999, 12_000, 0b111),
        (7000, 7000, 0b10),  # a moment
        (5000, 5000, 0b10),
        (-9000, 1, 0b1),  # by a clock that is ahead
        (-9000, -1, 0),
        (8000, 7000, 0),
    ],
)
def test_an_interval_touches_slots(from_ms: float, to_ms: float, slots: int) -> None:
    assert span(from_ms, to_ms) == slots


def test_slots_beyond_the_most_are_not_kept() -> None:
    assert span(0, 1000 * HOUR) == 2**MAX_SLOTS - 1
    assert span(999 * HOUR, 1000 * HOUR) == 0


@given(st.lists(st.tuples(st.integers(0, 600_000), st.integers(0, 60_000)), max_size=8), st.integers(0, 600_000))
def test_watch_time_is_the_length_of_the_slots_that_were_touched(visits: list[tuple[int, int]], on_air_ms: int) -> None:
    """Beside a count of milliseconds of the slots, one after the other."""
    slots = 0
    for begin, lasted in visits:
        slots |= span(begin, begin + lasted)
    touched = {
        slot
        for begin, lasted in visits
        for slot in range(begin // 5000, max(begin // 5000, -(-(begin + lasted) // 5000) - 1) + 1)
    }
    lengths = [max(0, min(on_air_ms, 5000 * slot + 5000) - 5000 * slot) for slot in touched]

    assert watched_ms(slots, on_air_ms) == sum(lengths)
    assert watched_ms(slots, on_air_ms) <= on_air_ms


def test_what_was_seen_after_the_end_does_not_count() -> None:
    assert within(0b1111, 11_000) == 0b111
    assert within(0b1111, 0) == 0
    assert watched_ms(0b1111, 11_000) == 11_000


@pytest.mark.parametrize(
    ("slots", "on_air_ms", "seen"),
    [(0, 60_000, None), (0b110, 60_000, (5000, 15_000)), (0b100, 12_000, (10_000, 12_000)), (0b1000, 12_000, None)],
)
def test_somebody_was_seen_from_the_first_slot_to_the_last(
    slots: int, on_air_ms: int, seen: tuple[int, int] | None
) -> None:
    assert seen_between(slots, on_air_ms) == seen


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 99, Segment.STAYED),
        (9, 90, Segment.STAYED),
        (0, 89, Segment.LEFT_EARLY),
        (10, 99, Segment.JOINED_LATE),
        (50, 60, Segment.LEFT_EARLY),
    ],
)
def test_a_segment_tells_how_somebody_watched(first: int, last: int, expected: Segment) -> None:
    """Of a hundred slots: late is after the first ten, early is before the last ten."""
    assert segment((1 << first) | (1 << last), 500_000) is expected


def test_nobody_is_absent_who_has_a_slot() -> None:
    assert segment(0, 500_000) is Segment.ABSENT
    assert segment(1 << 200, 500_000) is Segment.ABSENT  # after the end
    assert segment(1, 3000) is Segment.STAYED  # all of a webinar of three seconds


@given(SOME_SLOTS)
def test_runs_are_the_slots_in_order(slots: int) -> None:
    found = list(runs(slots))

    assert sum(2 ** (last + 1) - 2**first for first, last in found) == slots
    assert all(end + 1 < begin for (_, end), (begin, _) in pairwise(found))


@given(SOME_SLOTS)
def test_a_stored_bitmap_has_slot_k_in_bit_k_mod_8_of_byte_k_div_8(slots: int) -> None:
    stored = bytes(sum((slots >> (8 * byte + bit) & 1) << bit for bit in range(8)) for byte in range(8))
    assert from_bytes(stored) == slots
