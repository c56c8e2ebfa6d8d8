"""Every status x trigger pair of docs/domain.md, "States of a webinar", and the time on air."""

from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from room_server.core.lifecycle import Trigger, cancel, move, show_cta
from room_server.core.room import Room, Status, Stretch, Visibility
from room_server.errors import Conflict
from tests.core.builders import NOW, STATUSES, at, code_of, code_with_detail, room, visible
from tests.core.sequences import bounded

SAME = "the same room"
NO_START = "webinar_state_invalid_start"
RESTART = "webinar_state_invalid_restart"
NO_STOP = "webinar_state_invalid_stop"
NO_PAUSE = "webinar_state_invalid_pause"
NO_RESUME = "webinar_state_invalid_resume"
NO_ARCHIVE = "webinar_state_invalid_archive"
REWIND = "webinar_state_invalid_rewind"
NO_CANCEL = "webinar_state_invalid_cancel"
NO_CTA = "webinar_state_invalid_cta"
LOCKED = "webinar_state_locked"

OUTCOMES: dict[str, dict[str, str]] = {
    "schedule": {
        "draft": "scheduled",
        "scheduled": SAME,
        "live": REWIND,
        "paused": REWIND,
        "finished": REWIND,
        "archived": LOCKED,
    },
    "start": {
        "draft": NO_START,
        "scheduled": "live",
        "live": SAME,
        "paused": NO_START,
        "finished": RESTART,
        "archived": LOCKED,
    },
    "pause": {
        "draft": NO_PAUSE,
        "scheduled": NO_PAUSE,
        "live": "paused",
        "paused": SAME,
        "finished": NO_PAUSE,
        "archived": LOCKED,
    },
    "resume": {
        "draft": NO_RESUME,
        "scheduled": NO_RESUME,
        "live": SAME,
        "paused": "live",
        "finished": NO_RESUME,
        "archived": LOCKED,
    },
    "stop": {
        "draft": NO_STOP,
        "scheduled": NO_STOP,
        "live": "finished",
        "paused": "finished",
        "finished": SAME,
        "archived": LOCKED,
    },
    "archive": {
        "draft": NO_ARCHIVE,
        "scheduled": NO_ARCHIVE,
        "live": NO_ARCHIVE,
        "paused": NO_ARCHIVE,
        "finished": "archived",
        "archived": SAME,
    },
}
"""trigger -> status -> the new status, SAME, or the code of the refusal."""

PAIRS = [(trigger, status, outcome) for trigger, row in OUTCOMES.items() for status, outcome in row.items()]
MOVES = [(trigger, status) for trigger, status, outcome in PAIRS if outcome in STATUSES]

CTA_OUTCOMES: dict[str, str] = {
    "draft": NO_CTA,
    "scheduled": "scheduled",
    "live": "live",
    "paused": "paused",
    "finished": NO_CTA,
    "archived": LOCKED,
}
"""status -> the status after the CTA was switched to what it was not, or the code of the refusal."""


def moved(state: Room, trigger: str, now: datetime = NOW) -> Room:
    return move(state, Trigger(trigger), now)


def outcome_of(before: Room, attempt: Callable[[], Room]) -> str:
    """The status after the attempt, SAME, or the code of the refusal."""
    try:
        after = attempt()
    except Conflict as refusal:
        return code_with_detail(refusal)
    return SAME if after is before else after.status.value


def test_the_table_names_every_pair() -> None:
    assert list(OUTCOMES) == [trigger.value for trigger in Trigger]
    for row in OUTCOMES.values():
        assert list(row) == [status.value for status in Status]


@pytest.mark.parametrize(("trigger", "status", "outcome"), PAIRS)
def test_every_trigger_in_every_status_has_the_outcome_of_the_canon(trigger: str, status: str, outcome: str) -> None:
    before = room(status)
    assert outcome == outcome_of(before, lambda: moved(before, trigger))
    assert room(status) == before


@pytest.mark.parametrize(("trigger", "status"), MOVES)
def test_a_move_makes_exactly_one_version(trigger: str, status: str) -> None:
    assert room(status).version + 1 == moved(room(status), trigger).version


@pytest.mark.parametrize(("trigger", "status"), MOVES)
def test_a_move_touches_only_status_version_and_clocks(trigger: str, status: str) -> None:
    after = moved(visible(status), trigger)

    names = ("started_at", "finished_at", "on_air_ms", "on_air_since", "stretches", "cta_shown")
    clocks = {name: getattr(after, name) for name in names}
    assert replace(visible(status), status=after.status, version=after.version, **clocks) == after


def test_schedule_and_archive_touch_no_clock() -> None:
    scheduled = replace(room("draft"), status=Status.SCHEDULED, version=8)
    archived = replace(room("finished"), status=Status.ARCHIVED, version=8)

    assert scheduled == moved(room("draft"), "schedule")
    assert archived == moved(room("finished"), "archive")


def test_a_start_sets_the_start_and_the_clock_on_air() -> None:
    began = {"started_at": NOW, "on_air_since": NOW, "stretches": (Stretch(0, NOW),)}
    expected = replace(room("scheduled"), status=Status.LIVE, version=8, **began)
    assert expected == moved(room("scheduled"), "start")


def test_a_pause_keeps_the_time_on_air_and_halts_the_clock() -> None:
    """The room was on air for 10 minutes before, and for 20 minutes since."""
    expected = replace(room("live"), status=Status.PAUSED, version=8, on_air_ms=1_800_000, on_air_since=None)
    assert expected == moved(room("live"), "pause")


def test_a_resume_runs_the_clock_again_and_keeps_the_first_start() -> None:
    expected = replace(
        room("paused"), status=Status.LIVE, version=8, on_air_since=NOW, stretches=(Stretch(600_000, NOW),)
    )
    assert expected == moved(room("paused"), "resume")


def test_a_stop_of_a_live_webinar_sets_the_end_and_counts_the_last_stretch() -> None:
    expected = replace(
        room("live"), status=Status.FINISHED, version=8, finished_at=NOW, on_air_ms=1_800_000, on_air_since=None
    )
    assert expected == moved(room("live"), "stop")


def test_a_stop_of_a_paused_webinar_adds_nothing_to_the_time_on_air() -> None:
    expected = replace(room("paused"), status=Status.FINISHED, version=8, finished_at=NOW)
    assert expected == moved(room("paused"), "stop")


def test_the_end_is_recorded_once() -> None:
    stopped = moved(room("live"), "stop", at(0))

    assert stopped is moved(stopped, "stop", at(99))
    assert stopped.finished_at == moved(stopped, "archive", at(100)).finished_at


def test_time_on_air_excludes_pauses() -> None:
    state = room("scheduled")
    for trigger, seconds in (("start", 0), ("pause", 60), ("resume", 1000), ("pause", 1030.5), ("stop", 9000)):
        state = moved(state, trigger, at(seconds))

    expected = 90_500
    assert expected == state.on_air_ms


def test_time_on_air_is_counted_in_whole_milliseconds() -> None:
    expected = 600_001
    assert expected == moved(room("live", on_air_since=at(-0.0019)), "pause").on_air_ms


@pytest.mark.parametrize("trigger", ["pause", "stop"])
def test_a_clock_that_goes_back_takes_nothing_away(trigger: str) -> None:
    after = moved(room("live", on_air_since=at(500)), trigger)

    assert room("live").on_air_ms == after.on_air_ms
    assert after.on_air_since is None


@bounded
@given(st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=12))
def test_time_on_air_is_the_sum_of_the_stretches_in_live(clock: list[int]) -> None:
    """The clock, in milliseconds, is read at each move and may jump either way."""
    state = moved(room("scheduled"), "start", at(clock[0] / 1000))
    for trigger, milliseconds in zip(["pause", "resume"] * 6, clock[1:], strict=False):
        state = moved(state, trigger, at(milliseconds / 1000))

    stretches = [max(0, end - begin) for begin, end in zip(clock[::2], clock[1::2], strict=False)]
    assert sum(stretches) == state.on_air_ms
    assert (state.status is Status.LIVE) == (state.on_air_since is not None)


@pytest.mark.parametrize(("status", "outcome"), CTA_OUTCOMES.items())
def test_a_switch_of_the_cta_in_every_status_has_the_outcome_of_the_canon(status: str, outcome: str) -> None:
    hidden, shown = room(status), visible(status)

    assert outcome == outcome_of(hidden, lambda: show_cta(hidden, True, NOW))
    assert outcome == outcome_of(shown, lambda: show_cta(shown, False, NOW))


@pytest.mark.parametrize("status", ["scheduled", "live", "paused"])
def test_a_switch_of_the_cta_touches_only_the_cta_and_the_version(status: str) -> None:
    shown = replace(room(status), version=8, cta_visibility=Visibility.VISIBLE)
    hidden = replace(room(status), version=8, cta_visibility=Visibility.HIDDEN)

    switched = show_cta(room(status), True, NOW)
    assert replace(shown, cta_shown=switched.cta_shown) == switched
    assert hidden == show_cta(visible(status), False, NOW)


@pytest.mark.parametrize("status", ["scheduled", "live", "paused"])
def test_a_cta_that_is_so_already_stays_the_same_room(status: str) -> None:
    for state, shown in ((visible(status), True), (room(status), False)):
        assert state is show_cta(state, shown, NOW)


CANCEL_OUTCOMES = {
    "draft": "ok",
    "scheduled": "ok",
    "live": NO_CANCEL,
    "paused": NO_CANCEL,
    "finished": NO_CANCEL,
    "archived": LOCKED,
}


@pytest.mark.parametrize(("status", "outcome"), CANCEL_OUTCOMES.items())
def test_a_webinar_is_cancelled_before_it_has_begun_only(status: str, outcome: str) -> None:
    assert code_of(lambda: cancel(room(status), NOW)) == outcome


@pytest.mark.parametrize("status", ["draft", "scheduled"])
def test_cancelling_keeps_the_status_and_the_moment(status: str) -> None:
    cancelled = cancel(room(status), NOW)

    assert replace(room(status), cancelled_at=NOW, version=8) == cancelled
    assert cancel(cancelled, at(60)) is cancelled


def test_a_cancelled_webinar_cannot_be_started() -> None:
    cancelled = cancel(room("scheduled"), NOW)

    assert code_of(lambda: move(cancelled, Trigger.START, NOW)) == NO_START
