"""What happened on air: stretches and pauses, the call to action, and what a lead saw of it."""

from datetime import datetime

import pytest
from msgspec.structs import replace

from room_server.core.broadcast import KEPT, Watched, cta_slots, cta_spans, moment, pauses, watched
from room_server.core.lifecycle import Trigger, move, show_cta
from room_server.core.room import Room
from room_server.core.watch_time import Segment, span
from tests.core.builders import at, room, visible


def happened(*events: tuple[float, Trigger | bool], begin: Room | None = None) -> Room:
    """The room after these triggers, and switches of the CTA, each so many seconds after NOW."""
    state = begin or room("scheduled")
    for seconds, event in events:
        now = at(seconds)
        state = show_cta(state, event, now) if isinstance(event, bool) else move(state, event, now)
    return state


PAUSED_ONCE = happened((0, Trigger.START), (60, Trigger.PAUSE), (160, Trigger.RESUME), (200, Trigger.STOP))
"""A minute on air, a pause of a hundred seconds, forty seconds on air."""


def test_the_time_on_air_is_told_with_the_moments_that_it_stands_for() -> None:
    moments = {at_ms: moment(PAUSED_ONCE, at_ms) for at_ms in (0, 59_000, 60_000, 100_000)}

    assert moments == {0: at(0), 59_000: at(59), 60_000: at(160), 100_000: at(200)}
    assert moment(PAUSED_ONCE, 60_000, is_end=True) == at(60)
    assert list(pauses(PAUSED_ONCE)) == [60_000]


def test_a_room_of_before_has_its_moments_from_the_start() -> None:
    assert moment(room("finished", started_at=at(-1800)), 60_000) == at(-1740)


def test_before_the_start_there_is_no_moment() -> None:
    assert moment(room("scheduled"), 0) is None


@pytest.mark.parametrize(
    ("events", "spans"),
    [
        ([(0, Trigger.START), (70, Trigger.STOP)], []),
        ([(0, Trigger.START), (10, True), (30, False), (70, Trigger.STOP)], [(10_000, 30_000)]),
        ([(0, Trigger.START), (10, True), (70, Trigger.STOP)], [(10_000, 70_000)]),
        ([(0, True), (10, Trigger.START), (30, False), (80, Trigger.STOP)], [(0, 20_000)]),
        ([(0, True), (5, False), (10, Trigger.START), (80, Trigger.STOP)], []),
        ([(0, Trigger.START), (10, True), (20, False), (30, True)], [(10_000, 20_000), (30_000, 45_000)]),
        ([(0, Trigger.START), (10, Trigger.PAUSE), (60, True), (90, Trigger.RESUME)], [(10_000, 45_000)]),
    ],
)
def test_the_cta_is_shown_on_air_from_when_until_when(
    events: list[tuple[float, Trigger | bool]], spans: list[tuple[int, int]]
) -> None:
    over = happened(*events)
    on_air_ms = over.on_air_ms if over.finished_at else 45_000

    assert list(cta_spans(over, on_air_ms)) == spans
    assert cta_slots(over, on_air_ms) == sum(span(*one) for one in spans)


def test_a_cta_that_was_shown_before_this_was_kept_is_hidden_all_the_same() -> None:
    assert show_cta(visible("live"), False, at(0)).cta_shown == ()


def test_a_room_keeps_so_many_stretches_and_spans_and_the_last_ones_are_right() -> None:
    state = happened((0, Trigger.START))
    for number in range(KEPT + 9):
        seconds = 10.0 * number
        events = ((1, True), (2, False), (3, Trigger.PAUSE), (10, Trigger.RESUME))
        state = happened(*[(seconds + later, event) for later, event in events], begin=state)

    assert len(state.stretches) == len(state.cta_shown) == KEPT
    assert moment(state, state.on_air_ms) == at(10 * (KEPT + 9))
    assert state.cta_shown[-1].until_ms is not None


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        (0, Watched()),
        (
            span(5000, 70_000),
            Watched(watched_ms=65_000, share=0.65, first_at=at(5), last_at=at(170), segment=Segment.LEFT_EARLY),
        ),
        (
            span(60_000, 100_000),
            Watched(watched_ms=40_000, share=0.4, first_at=at(160), last_at=at(200), segment=Segment.JOINED_LATE),
        ),
        (
            span(0, 60_000),
            Watched(watched_ms=60_000, share=0.6, first_at=at(0), last_at=at(60), segment=Segment.LEFT_EARLY),
        ),
    ],
)
def test_a_lead_watched_from_when_until_when(slots: int, expected: Watched) -> None:
    assert watched(PAUSED_ONCE, slots, at(9999)) == expected


def test_nobody_watched_what_is_not_there_or_has_not_begun() -> None:
    assert watched(None, 1, at(0)) == watched(replace(room("scheduled"), started_at=None), 1, at(0)) == Watched()


def test_the_time_on_air_goes_on_until_now() -> None:
    live = happened((0, Trigger.START))
    until: datetime = at(10)
    assert watched(live, 0b111, until) == Watched(
        watched_ms=10_000, share=1.0, first_at=at(0), last_at=at(10), segment=Segment.STAYED
    )
