"""Every role x status x hook cell of docs/domain.md, and the chains of events that a command leads to."""

from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.decide import decide
from room_server.core.decision_types import Change, Facts
from room_server.core.messages import MessageKind
from room_server.core.room import Participation, RosterEntry
from room_server.errors import Unknown
from tests.core.builders import (
    CANDIDATE_CHAT,
    LEAD,
    NOW,
    OTHER_LEAD,
    PARTNER_CHAT,
    ROLES,
    STATUSES,
    Hook,
    act,
    answer,
    at,
    attended,
    cancel,
    classified,
    click,
    command,
    complete,
    cta,
    decided,
    enter,
    entered,
    entry,
    evaluate,
    facts,
    missed,
    room,
    routed,
    start,
    stop,
    visible,
)

OK, AGAIN, ROLE = "ok", "duplicate", "forbidden_role"
NEVER = (ROLE, ROLE, ROLE, ROLE, ROLE, ROLE)
NO_START, RESTART = "webinar_state_invalid_start", "webinar_state_invalid_restart"
NO_STOP, NO_CTA = "webinar_state_invalid_stop", "webinar_state_invalid_cta"
NO_PAUSE, NO_RESUME = "webinar_state_invalid_pause", "webinar_state_invalid_resume"
NO_ARCHIVE, REWIND = "webinar_state_invalid_archive", "webinar_state_invalid_rewind"
LOCKED, NOT_LIVE = "webinar_state_locked", "webinar_not_live"
UNKNOWN = "webinar_unknown"
EARLY, NOT_IN, HIDDEN = "webinar_not_finished", "lead_not_entered", "cta_not_visible"

CELLS = {
    # status:               draft     scheduled live   paused   finished archived
    ("start", "organizer"): (NO_START, OK, AGAIN, NO_START, RESTART, LOCKED),
    ("start", "speaker"): (NO_START, OK, AGAIN, NO_START, RESTART, LOCKED),
    ("start", "moderator"): NEVER,
    ("start", "attendee"): NEVER,
    ("start", "guest"): NEVER,
    ("start", "system"): NEVER,
    ("start", "monitor"): NEVER,
    ("stop", "organizer"): (NO_STOP, NO_STOP, OK, OK, AGAIN, LOCKED),
    ("stop", "speaker"): (NO_STOP, NO_STOP, OK, OK, AGAIN, LOCKED),
    ("stop", "moderator"): NEVER,
    ("stop", "attendee"): NEVER,
    ("stop", "guest"): NEVER,
    ("stop", "system"): NEVER,
    ("stop", "monitor"): NEVER,
    ("show", "organizer"): (NO_CTA, OK, OK, OK, NO_CTA, LOCKED),
    ("show", "speaker"): (NO_CTA, OK, OK, OK, NO_CTA, LOCKED),
    ("show", "moderator"): NEVER,
    ("show", "attendee"): NEVER,
    ("show", "guest"): NEVER,
    ("show", "system"): NEVER,
    ("show", "monitor"): NEVER,
    ("enter", "organizer"): NEVER,
    ("enter", "speaker"): NEVER,
    ("enter", "moderator"): NEVER,
    ("enter", "attendee"): (UNKNOWN, NOT_LIVE, OK, NOT_LIVE, NOT_LIVE, NOT_LIVE),
    ("enter", "guest"): NEVER,
    ("enter", "system"): (NOT_LIVE, NOT_LIVE, OK, NOT_LIVE, NOT_LIVE, NOT_LIVE),
    ("enter", "monitor"): NEVER,
    ("complete", "organizer"): NEVER,
    ("complete", "speaker"): NEVER,
    ("complete", "moderator"): NEVER,
    ("complete", "attendee"): (UNKNOWN, EARLY, EARLY, EARLY, OK, EARLY),
    ("complete", "guest"): NEVER,
    ("complete", "system"): (EARLY, EARLY, EARLY, EARLY, OK, EARLY),
    ("complete", "monitor"): NEVER,
    ("click", "organizer"): NEVER,
    ("click", "speaker"): NEVER,
    ("click", "moderator"): NEVER,
    ("click", "attendee"): (UNKNOWN, OK, OK, OK, OK, OK),
    ("click", "guest"): NEVER,
    ("click", "system"): (OK, OK, OK, OK, OK, OK),
    ("click", "monitor"): NEVER,
}
"""(hook, role) -> the answer in each status; `complete` is of a lead that entered, `enter` of one that did not, and
`click` is on a CTA that is shown, which a draft's never is."""

OPERATOR = {
    "schedule": (OK, AGAIN, REWIND, REWIND, REWIND, LOCKED),
    "pause": (NO_PAUSE, NO_PAUSE, OK, AGAIN, NO_PAUSE, LOCKED),
    "resume": (NO_RESUME, NO_RESUME, AGAIN, OK, NO_RESUME, LOCKED),
    "archive": (NO_ARCHIVE, NO_ARCHIVE, NO_ARCHIVE, NO_ARCHIVE, OK, AGAIN),
    "evaluate": (EARLY, EARLY, EARLY, EARLY, OK, OK),
}
"""Internal act -> the answer to `system` in each status; nobody else may."""

REPEATS = {
    ("hide", "organizer"): (NO_CTA, OK, OK, OK, NO_CTA, LOCKED),
    ("hide", "speaker"): (NO_CTA, OK, OK, OK, NO_CTA, LOCKED),
    ("enter again", "attendee"): (UNKNOWN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN),
    ("enter again", "system"): (AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN),
    ("complete again", "attendee"): (UNKNOWN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN),
    ("complete again", "system"): (AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN),
    ("complete late", "attendee"): (UNKNOWN, EARLY, EARLY, EARLY, AGAIN, EARLY),
    ("complete late", "system"): (EARLY, EARLY, EARLY, EARLY, AGAIN, EARLY),
    ("complete without entering", "attendee"): (UNKNOWN, EARLY, EARLY, EARLY, NOT_IN, EARLY),
    ("complete without entering", "system"): (EARLY, EARLY, EARLY, EARLY, NOT_IN, EARLY),
    ("click again", "attendee"): (UNKNOWN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN),
    ("click what is hidden", "attendee"): (UNKNOWN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN),
    ("click what is hidden", "system"): (HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN),
    ("evaluate again", "system"): (EARLY, EARLY, EARLY, EARLY, AGAIN, AGAIN),
}
"""(what, role) -> the answer in each status, where the lead or the CTA is not as in CELLS."""

SETUPS: dict[str, tuple[Hook, Participation | None]] = {
    "start": (start(), None),
    "stop": (stop(), None),
    "show": (cta(True), None),
    "hide": (cta(False), None),
    "enter": (enter(), None),
    "enter again": (enter(), entered()),
    "complete": (complete(), entered()),
    "complete again": (complete(), attended()),
    "complete late": (complete(), missed()),
    "complete without entering": (complete(), None),
    "click": (click(), None),
    "click again": (click(), Participation(lead_id=LEAD, cta_clicked_at=at(-5))),
    "click what is hidden": (click(), entered()),
    "evaluate": (evaluate(), entered()),
    "evaluate again": (evaluate(), attended()),
    "schedule": (act("schedule"), None),
    "pause": (act("pause"), None),
    "resume": (act("resume"), None),
    "archive": (act("archive"), None),
}
"""word -> the hook, and what is known of its lead."""


def answers(word: str, role: str) -> tuple[str, ...]:
    """The answer in each status, in the order of STATUSES."""
    hook, known = SETUPS[word]
    rooms = [visible(status) if word in {"hide", "click"} else room(status) for status in STATUSES]
    return tuple(answer(command(hook, role), Facts(room=one, participation=known, entry=entry())) for one in rooms)


@pytest.mark.parametrize(("word", "role"), CELLS)
def test_every_role_in_every_status_is_answered_as_the_canon_says(word: str, role: str) -> None:
    assert CELLS[word, role] == answers(word, role)


@pytest.mark.parametrize("word", ["start", "stop", "show", "enter", "complete", "click"])
def test_the_table_names_every_role(word: str) -> None:
    named = tuple(role for hook, role in CELLS if hook == word)

    assert named == ROLES


@pytest.mark.parametrize(("word", "role"), REPEATS)
def test_a_repeat_is_answered_as_the_canon_says(word: str, role: str) -> None:
    assert REPEATS[word, role] == answers(word, role)


@pytest.mark.parametrize("word", OPERATOR)
@pytest.mark.parametrize("role", ROLES)
def test_internal_acts_are_the_systems_only(word: str, role: str) -> None:
    expected = OPERATOR[word] if role == "system" else NEVER
    assert expected == answers(word, role)


def test_no_internal_act_starts() -> None:
    assert answer(command(act("start")), facts("scheduled")) == ROLE


@pytest.mark.parametrize("status", ["live", "paused"])
def test_a_stop_by_the_operator_is_the_event_of_a_stop_and_arms_the_evaluation(status: str) -> None:
    change = decided(act("stop"), facts(status))

    assert change == decided(stop(), facts(status), "speaker")
    assert (change.events, change.arm_evaluation) == ((stop(),), True)


@pytest.mark.parametrize("role", ROLES)
def test_only_the_system_stops_and_cancels_without_the_hook(role: str) -> None:
    answers = {answer(command(act("stop"), role), facts("live")), answer(command(cancel(), role), facts("scheduled"))}

    assert answers == {OK if role == "system" else ROLE}


def test_cancelling_emits_nothing_and_evaluates_nobody() -> None:
    change = decided(cancel(), facts("scheduled"))

    cancelled = room("scheduled", cancelled_at=NOW, version=8)
    assert change == Change(room=cancelled, participation=None, notice=MessageKind.CANCELLED)
    assert answer(command(cancel()), facts("scheduled", room=change.room)) == AGAIN
    assert answer(command(cancel()), Facts()) == UNKNOWN


REPEATED = [
    (start(), "speaker", facts("live")),
    (stop(), "speaker", facts("finished")),
    (act("schedule"), "system", facts("scheduled")),
    (act("pause"), "system", facts("paused")),
    (act("resume"), "system", facts("live")),
    (act("archive"), "system", facts("archived")),
    *[(cta(False), "speaker", facts(status)) for status in ("scheduled", "live", "paused")],
    *[(cta(True), "organizer", facts(status, room=visible(status))) for status in ("scheduled", "live", "paused")],
    *[(enter(), "attendee", facts(status, participation=entered())) for status in ("live", "paused", "finished")],
    *[(complete(), "system", facts(status, participation=attended())) for status in ("finished", "archived")],
    *[(evaluate(), "system", facts(status, participation=missed())) for status in ("finished", "archived")],
]


@pytest.mark.parametrize(("hook", "role", "known"), REPEATED)
def test_a_repeat_emits_nothing_and_leaves_the_very_same_records(hook: Hook, role: str, known: Facts) -> None:
    change = decided(hook, known, role)

    assert known.room is not None
    assert Change(room=known.room, participation=known.participation, duplicate=True) == change
    assert known.room is change.room
    assert known.participation is change.participation


@pytest.mark.parametrize(
    ("role", "fields", "known", "code"),
    [
        ("guest", {"webinar_id": "other", "lead_id": OTHER_LEAD}, Facts(), ROLE),
        ("attendee", {"webinar_id": "other", "lead_id": OTHER_LEAD}, Facts(), "forbidden_webinar"),
        ("attendee", {"lead_id": OTHER_LEAD}, Facts(), "forbidden_lead"),
        ("attendee", {}, Facts(), "webinar_unknown"),
        ("attendee", {}, facts("paused"), NOT_LIVE),
        ("attendee", {}, facts("live"), OK),
    ],
)
def test_role_webinar_lead_existence_and_state_are_checked_in_this_order(
    role: str, fields: dict[str, Any], known: Facts, code: str
) -> None:
    assert code == answer(command(enter(), role, **fields), known)


@pytest.mark.parametrize("word", SETUPS)
def test_a_webinar_that_is_not_there_is_unknown(word: str) -> None:
    hook, _ = SETUPS[word]
    role = "speaker" if word in {"start", "stop", "show", "hide"} else "system"
    with pytest.raises(Unknown, match="demo") as refusal:
        decide(command(hook, role), Facts(), NOW)

    expected = (404, "webinar_unknown")
    assert expected == (refusal.value.status, refusal.value.code)


@pytest.mark.parametrize("hook", [enter(), complete()])
def test_the_answer_to_an_attendees_hook_is_the_same_for_a_draft_and_no_webinar(hook: Hook) -> None:
    answers = []
    for known in (Facts(), facts("draft"), facts("draft", participation=entered())):
        with pytest.raises(Unknown) as refusal:
            decide(command(hook, "attendee"), known, NOW)
        answers.append((refusal.value.status, refusal.value.code, refusal.value.detail))

    assert {(404, UNKNOWN, "there is no webinar demo")} == set(answers)


def test_a_start_is_emitted_and_changes_the_room_alone() -> None:
    change = decided(start(), facts("scheduled"), "speaker")

    began = {"started_at": NOW, "on_air_since": NOW, "stretches": change.room.stretches}
    live = replace(room("scheduled"), status=change.room.status, version=8, **began)
    assert Change(room=live, participation=None, events=(start(),)) == change


@pytest.mark.parametrize("status", ["live", "paused"])
def test_the_end_arms_the_evaluation_in_the_same_change(status: str) -> None:
    change = decided(stop(), facts(status), "organizer")

    assert change.arm_evaluation
    assert (stop(),) == change.events


@pytest.mark.parametrize(
    ("hook", "role", "status"),
    [
        (start(), "speaker", "scheduled"),
        (stop(), "speaker", "finished"),
        (act("pause"), "system", "live"),
        (act("archive"), "system", "finished"),
        (complete(), "system", "finished"),
        (evaluate(), "system", "finished"),
    ],
)
def test_nothing_but_the_end_arms_the_evaluation(hook: Hook, role: str, status: str) -> None:
    assert not decided(hook, facts(status, participation=entered()), role).arm_evaluation


@pytest.mark.parametrize(("word", "status"), [("schedule", "draft"), ("pause", "live"), ("archive", "finished")])
def test_an_operators_transition_emits_no_hook(word: str, status: str) -> None:
    change = decided(act(word), facts(status))

    expected = Change(room=change.room, participation=None)
    assert expected == change
    assert room(status).version + 1 == change.room.version


def test_an_entered_hook_is_emitted_and_recorded_with_the_name_of_the_token() -> None:
    change = decided(enter(session_id="s-9"), facts("live"), "attendee")

    kept = Participation(lead_id=LEAD, name="Анна", session_id="s-9", entered_at=NOW)
    emitted = (enter(session_id="s-9"),)
    assert Change(room=room("live"), participation=kept, events=emitted) == change


def test_an_entry_that_the_system_reports_takes_no_name_from_its_token() -> None:
    change = decide(command(enter(), "system", name="backend"), facts("live"), NOW)

    expected = Participation(lead_id=LEAD, session_id="c-1", entered_at=NOW)
    assert expected == change.participation


def test_a_lead_that_is_not_on_the_roster_may_enter_and_is_classified_like_the_others() -> None:
    known = decided(enter(), facts("live", entry=None), "attendee").participation
    change = decided(complete(), facts("finished", participation=known, entry=None), "attendee")

    assert change.participation is not None
    assert change.participation.attended is True


@pytest.mark.parametrize("role", ["attendee", "system"])
def test_a_completion_after_the_classification_is_kept_and_emits_nothing(role: str) -> None:
    change = decided(complete(), facts("finished", participation=missed()), role)

    late = replace(missed(), completed_at=NOW)
    assert Change(room=room("finished"), participation=late, duplicate=True) == change


@pytest.mark.parametrize("status", ["finished", "archived"])
@pytest.mark.parametrize(
    ("known", "on_roster", "chats"),
    [
        (None, entry(), (PARTNER_CHAT, CANDIDATE_CHAT, CANDIDATE_CHAT)),
        (entered(), entry(), (PARTNER_CHAT, CANDIDATE_CHAT, CANDIDATE_CHAT)),
        (entered(), None, (None, None, None)),
    ],
)
def test_the_evaluation_classifies_leads_that_did_not_complete_as_not_attended(
    status: str, known: Participation | None, on_roster: RosterEntry | None, chats: tuple[int | None, ...]
) -> None:
    change = decided(evaluate(), facts(status, participation=known, entry=on_roster))

    absent = replace(known or Participation(lead_id=LEAD), attended=False, classified_at=NOW, route="not_attended")
    emitted = (classified(False), routed("not_attended"))
    expected = Change(room=room(status), participation=absent, events=emitted, messages=change.messages)
    assert expected == change
    assert chats == tuple(message.chat_id for message in change.messages)


def test_a_lead_without_records_is_not_classified() -> None:
    """The sweep may race with `lead forget`: what was deleted must not come back."""
    known = facts("finished", participation=None, entry=None)

    assert decided(evaluate(), known).participation is None


@pytest.mark.parametrize("on_the_roster", [True, False])
def test_a_click_is_no_entering(on_the_roster: bool) -> None:
    """A lead of the roster that only clicked did not come; anybody else that only clicked is not evaluated."""
    clicked = decided(click(), facts("live", room=visible("live"), participation=None), "attendee")
    known = facts("finished", participation=clicked.participation, entry=entry() if on_the_roster else None)

    assert clicked.events == (click(),)
    assert clicked.participation == Participation(lead_id=LEAD, name="Анна", cta_clicked_at=NOW)
    assert answer(command(complete()), known) == NOT_IN
    evaluated = decided(evaluate(), known)
    assert (evaluated.duplicate, evaluated.events[:1]) == (
        (False, (classified(False),)) if on_the_roster else (True, ())
    )


def test_an_entry_after_a_click_keeps_the_click() -> None:
    change = decided(enter(), facts("live", participation=Participation(lead_id=LEAD, cta_clicked_at=at(-5))))

    assert change.participation is not None
    assert (change.participation.entered_at, change.participation.cta_clicked_at) == (NOW, at(-5))
