"""When a room was on air, by what its states tell, and which slots an interval touches."""

from datetime import UTC, datetime, timedelta

from room_server.channels.air_time import SETTLED_SECONDS, STRETCHES, AirTime
from room_server.core.room import Status
from room_server.core.wire import RoomVersion

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOOP = 1000.0
"""The loop's clock at noon."""


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def head(status: Status, on_air_ms: int = 0, since: float | None = None, started: float | None = 0.0) -> RoomVersion:
    """What a state says; `since` and `started` are seconds after noon."""
    return RoomVersion(
        webinar_id="w",
        epoch="e",
        version=1,
        status=status,
        started_at=None if started is None else at(started),
        on_air_ms=on_air_ms,
        on_air_since=None if since is None else at(since),
    )


def heard(*states: tuple[float, RoomVersion]) -> AirTime:
    """The air time of a process that heard of these states, each so many seconds after noon."""
    air = AirTime()
    for seconds, state in states:
        air.hear(state, LOOP + seconds, at(seconds).timestamp())
    return air


def slots(air: AirTime, begin: float, end: float) -> list[int]:
    """The slots from `begin` to `end`, in seconds after noon."""
    touched = air.slots(LOOP + begin, LOOP + end)
    return [slot for slot in range(touched.bit_length()) if touched >> slot & 1]


LIVE = (0.0, head(Status.LIVE, since=0.0))
PAUSED = (20.0, head(Status.PAUSED, on_air_ms=20_000))
RESUMED = (120.0, head(Status.LIVE, on_air_ms=20_000, since=120.0))
FINISHED = (130.0, head(Status.FINISHED, on_air_ms=30_000))


def test_before_the_start_nothing_is_seen() -> None:
    air = heard((0.0, head(Status.SCHEDULED, started=None)))

    assert (air.broadcast, air.is_settled(LOOP), slots(air, -60, 60)) == (None, True, [])


def test_slots_are_counted_from_the_start() -> None:
    air = heard(LIVE)

    assert (air.broadcast, air.is_settled(LOOP)) == (NOON, False)
    assert slots(air, -60, 12) == [0, 1, 2]
    assert slots(air, 12, 12) == [2]
    assert slots(air, -60, -1) == []


def test_a_process_that_comes_later_counts_the_same_slots() -> None:
    assert slots(heard((700.0, head(Status.LIVE, since=0.0))), 698, 702) == [139, 140]


def test_a_pause_has_no_slots_and_the_time_on_air_goes_on_after_it() -> None:
    air = heard(LIVE, PAUSED, RESUMED)

    assert slots(air, 18, 119) == [3]
    assert slots(air, 30, 110) == []
    assert slots(air, 18, 126) == [3, 4, 5]


def test_a_pause_that_was_missed_is_known_from_the_resuming() -> None:
    assert slots(heard(LIVE, RESUMED), 18, 119) == [3]


def test_the_end_ends_it_and_a_minute_later_nothing_more_is_to_be_found() -> None:
    air = heard(LIVE, PAUSED, RESUMED, FINISHED, (140.0, head(Status.ARCHIVED, on_air_ms=30_000)))

    assert slots(air, 100, 500) == [4, 5]
    assert air.ended_at == LOOP + 130
    assert [air.is_settled(LOOP + 130 + after) for after in (SETTLED_SECONDS, SETTLED_SECONDS + 1)] == [False, True]


def test_a_stop_in_the_pause_adds_nothing() -> None:
    assert slots(heard(LIVE, PAUSED, (60.0, head(Status.FINISHED, on_air_ms=20_000))), 0, 60) == [0, 1, 2, 3]


def test_a_change_of_something_else_changes_nothing() -> None:
    assert slots(heard(LIVE, (7.0, head(Status.LIVE, since=0.0))), 0, 12) == [0, 1, 2]


def test_a_webinar_that_was_made_again_begins_anew() -> None:
    air = heard(LIVE, FINISHED, (200.0, head(Status.LIVE, since=200.0, started=200.0)))

    assert (air.broadcast, air.ended_at) == (at(200), None)
    assert slots(air, 0, 201) == [0]


def test_a_clock_that_is_behind_takes_what_it_hears_for_now() -> None:
    air = AirTime()
    air.hear(head(Status.LIVE, since=0.0), LOOP, at(-3).timestamp())

    assert slots(air, 0, 1) == [0]


def test_only_the_latest_stretches_are_kept() -> None:
    pauses = 3 * STRETCHES
    states = [
        state
        for number in range(pauses)
        for state in (
            (20.0 * number, head(Status.LIVE, on_air_ms=10_000 * number, since=20.0 * number)),
            (20.0 * number + 10, head(Status.PAUSED, on_air_ms=10_000 * number + 10_000)),
        )
    ]
    assert slots(heard(*states), 0, 20.0 * pauses) == list(range(2 * (pauses - STRETCHES), 2 * pauses))
