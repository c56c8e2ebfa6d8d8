"""Tracker, emitter and attendance service: entering, completing, and the one classification of a lead."""

import pytest
from msgspec.structs import replace

from room_server.core.attendance import (
    check_complete,
    check_enter,
    classify,
    classify_completed,
    emit_completed,
    evaluate,
    has_watched_enough,
    name_session,
    track_completed,
    track_entered,
)
from room_server.core.attendance_rule import AttendedBy
from room_server.core.decision_types import Facts, Reaction
from room_server.core.messages import AttendanceClassified, WebinarCompleted
from room_server.core.room import Participation
from room_server.errors import Conflict
from tests.core.builders import (
    LEAD,
    NOW,
    STATUSES,
    WEBINAR,
    at,
    attended,
    code_of,
    complete,
    context,
    enter,
    entered,
    entry,
    missed,
    room,
)

NOT_LIVE = "webinar_not_live"
NOT_FINISHED = "webinar_not_finished"
NOT_ENTERED = "lead_not_entered"

ENTER = {
    "draft": NOT_LIVE,
    "scheduled": NOT_LIVE,
    "live": "ok",
    "paused": NOT_LIVE,
    "finished": NOT_LIVE,
    "archived": NOT_LIVE,
}

COMPLETE = {
    "draft": NOT_FINISHED,
    "scheduled": NOT_FINISHED,
    "live": NOT_FINISHED,
    "paused": NOT_FINISHED,
    "finished": "ok",
    "archived": NOT_FINISHED,
}

NEVER_CAME = Participation(lead_id=LEAD, attended=False, classified_at=at(-30), route="not_attended")
"""A lead of the roster that the evaluation classified."""

DONE = WebinarCompleted(webinar_id=WEBINAR, lead_id=LEAD, completed_at=at(0), session_id="s-1")


@pytest.mark.parametrize(("status", "code"), ENTER.items())
@pytest.mark.parametrize("known", [None, NEVER_CAME])
def test_a_lead_enters_only_while_live(status: str, code: str, known: Participation | None) -> None:
    assert code == code_of(lambda: check_enter(context(status, participation=known)))


@pytest.mark.parametrize(("status", "code"), COMPLETE.items())
def test_a_lead_that_entered_completes_only_when_finished(status: str, code: str) -> None:
    assert code == code_of(lambda: check_complete(context(status)))


@pytest.mark.parametrize("known", [None, NEVER_CAME])
def test_a_lead_that_never_entered_completes_nothing(known: Participation | None) -> None:
    with pytest.raises(Conflict, match="never entered") as refusal:
        check_complete(context("finished", participation=known))

    expected = (409, NOT_ENTERED)
    assert expected == (refusal.value.status, refusal.value.code)


@pytest.mark.parametrize("status", ["draft", "scheduled", "live", "paused", "archived"])
def test_the_status_is_checked_before_the_entry(status: str) -> None:
    assert COMPLETE[status] == code_of(lambda: check_complete(context(status, participation=None)))


def test_a_first_hook_is_told_from_a_repeat() -> None:
    assert check_enter(context("live", participation=None)) is True
    assert check_complete(context("finished")) is True


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("known", [entered(), attended(), missed()])
def test_entering_twice_is_a_repeat_whatever_the_status(status: str, known: Participation) -> None:
    assert check_enter(context(status, participation=known)) is False


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("known", [attended(), replace(missed(), completed_at=at(-1))])
def test_completing_twice_is_a_repeat_whatever_the_status(status: str, known: Participation) -> None:
    assert check_complete(context(status, participation=known)) is False


def test_an_entry_is_kept_with_the_servers_clock_and_the_callers_name() -> None:
    expected = Reaction(participation=Participation(lead_id=LEAD, name="Анна", session_id="c-1", entered_at=NOW))
    assert expected == track_entered(enter(session_id="c-1"), context("live", participation=None, actor_name="Анна"))


@pytest.mark.parametrize(("claimed", "session"), [("s-9", "s-9"), (None, "c-1"), ("", "c-1")])
def test_a_session_id_is_the_clients_or_else_made_by_the_server(claimed: str | None, session: str) -> None:
    named = name_session(enter(session_id=claimed), context("live", participation=None))
    assert session == named.session_id


def test_an_entry_keeps_what_was_known_of_the_lead() -> None:
    tracked = track_entered(enter(session_id="c-1"), context("live", participation=NEVER_CAME)).participation

    assert replace(NEVER_CAME, session_id="c-1", entered_at=NOW) == tracked


@pytest.mark.parametrize("known", [entered(), missed()])
def test_a_completion_is_kept_with_the_servers_clock(known: Participation) -> None:
    expected = Reaction(participation=replace(known, completed_at=NOW))
    assert expected == track_completed(complete(), context(participation=known))


def test_a_completion_without_a_participation_begins_one() -> None:
    expected = Reaction(participation=Participation(lead_id=LEAD, completed_at=NOW))
    assert expected == track_completed(complete(), context(participation=None))


def test_the_emitter_emits_the_completion_and_changes_no_record() -> None:
    reaction = emit_completed(complete(session_id="s-1"), context())

    emitted = reaction.emit[0]
    assert isinstance(emitted, WebinarCompleted)
    expected = (WEBINAR, LEAD, "s-1", "live")
    assert expected == (emitted.webinar_id, emitted.lead_id, emitted.session_id, emitted.webinar_type)
    assert Reaction(emit=(emitted,)) == reaction


def test_an_emitted_completion_has_the_servers_clock() -> None:
    emitted = emit_completed(complete(), context()).emit[0]

    clock = NOW
    assert isinstance(emitted, WebinarCompleted)
    assert clock == emitted.completed_at


@pytest.mark.parametrize(("claimed", "session"), [("s-9", "s-9"), (None, "s-1"), ("", "s-1")])
def test_a_session_id_is_always_in_what_is_emitted(claimed: str | None, session: str) -> None:
    emitted = emit_completed(name_session(complete(session_id=claimed), context()), context()).emit[0]

    assert isinstance(emitted, WebinarCompleted)
    assert session == emitted.session_id


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("known", [entered(), None])
def test_a_classification_is_kept_and_emitted_with_the_servers_clock(
    was_there: bool, known: Participation | None
) -> None:
    expected = Reaction(
        participation=replace(known or Participation(lead_id=LEAD), attended=was_there, classified_at=NOW),
        emit=(AttendanceClassified(lead_id=LEAD, webinar_id=WEBINAR, attended=was_there, timestamp=NOW),),
    )
    assert expected == classify(LEAD, was_there, context(participation=known))


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("known", [attended(), missed(), NEVER_CAME])
def test_the_first_classification_stands(was_there: bool, known: Participation) -> None:
    nothing = Reaction()

    assert nothing == classify(LEAD, was_there, context(participation=known))


def test_entered_and_completed_is_attended() -> None:
    assert classify(LEAD, True, context()) == classify_completed(DONE, context())


WATCHED_RULES = [AttendedBy.WATCHED, AttendedBy.BOTH, AttendedBy.EITHER]
ENOUGH, TOO_LITTLE = 2**60 - 1, 2**59 - 1
"""Of the 120 slots of ten minutes: 60 are half of them."""


def evaluated(rule: AttendedBy, slots: int, **known: Participation | None) -> bool | None:
    """How a lead with these slots is classified where half of the time on air is asked for; None: it is not."""
    standing = room("finished", attended_by=rule, min_watch="50%")
    facts = Facts(room=standing, participation=known.get("participation"), slots=slots)
    reaction = evaluate(LEAD, facts, context(room=standing, participation=facts.participation, entry=None))
    return reaction.participation.attended if reaction.participation else None


def test_enough_is_what_the_rule_asks_for() -> None:
    for min_watch, slots, expected in (
        ("50%", ENOUGH, True),
        ("50%", TOO_LITTLE, False),
        ("5m", ENOUGH, True),
        ("5m", TOO_LITTLE, False),
        ("11m", 2**120 - 1, False),  # longer than the webinar was
        (None, 2**120 - 1, False),
    ):
        assert has_watched_enough(room("finished", min_watch=min_watch), slots) is expected


def test_nobody_has_watched_enough_of_nothing() -> None:
    assert has_watched_enough(room("finished", min_watch="1%", on_air_ms=0), 0) is False


@pytest.mark.parametrize("rule", WATCHED_RULES)
def test_a_completion_classifies_nobody_where_watch_time_counts(rule: AttendedBy) -> None:
    assert classify_completed(DONE, context(room=room("finished", attended_by=rule, min_watch="1%"))) == Reaction()


@pytest.mark.parametrize(
    ("rule", "slots", "completed", "expected"),
    [
        (AttendedBy.COMPLETED, ENOUGH, False, False),
        (AttendedBy.WATCHED, ENOUGH, False, True),
        (AttendedBy.WATCHED, TOO_LITTLE, True, False),
        (AttendedBy.BOTH, ENOUGH, True, True),
        (AttendedBy.BOTH, ENOUGH, False, False),
        (AttendedBy.BOTH, TOO_LITTLE, True, False),
        (AttendedBy.EITHER, ENOUGH, False, True),
        (AttendedBy.EITHER, TOO_LITTLE, True, True),
        (AttendedBy.EITHER, TOO_LITTLE, False, False),
    ],
)
def test_the_evaluation_classifies_by_the_rule(rule: AttendedBy, slots: int, completed: bool, expected: bool) -> None:
    known = entered(completed_at=at(-30) if completed else None)
    assert evaluated(rule, slots, participation=known) is expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(AttendedBy.COMPLETED, None), (AttendedBy.WATCHED, True), (AttendedBy.BOTH, None), (AttendedBy.EITHER, True)],
)
def test_who_never_said_that_it_entered_may_have_watched_all_the_same(rule: AttendedBy, expected: bool | None) -> None:
    assert evaluated(rule, ENOUGH) is expected


@pytest.mark.parametrize("rule", AttendedBy)
def test_of_whom_nothing_is_known_nothing_is_classified(rule: AttendedBy) -> None:
    assert evaluated(rule, 0) is None


@pytest.mark.parametrize("rule", AttendedBy)
def test_who_is_on_the_roster_and_never_came_has_not_attended(rule: AttendedBy) -> None:
    standing = room("finished", attended_by=rule, min_watch="1%")
    facts = Facts(room=standing, entry=entry())
    assert evaluate(LEAD, facts, context(room=standing, participation=None)) == classify(
        LEAD, False, context(room=standing, participation=None)
    )
