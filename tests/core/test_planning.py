"""What the operator may say of a webinar, when, and what comes of it."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.decision_types import Change
from room_server.core.planning import RECORDING_FIELDS, Plan, amend, amended, clone, new_room
from room_server.core.room import Recording, Room, Status
from room_server.errors import BadInput, Conflict
from tests.core.builders import STATUSES, WEBINAR, at, code_of, room

PLAN = Plan(title="Как устроены комнаты", scheduled_at=at(0))
RECORDING = "https://example.org/recording"
LOCKED, REWIND = "webinar_state_locked", "webinar_state_invalid_rewind"

TEXTS = {"ru": {"attended": "Спасибо, {name}!"}}
PLANS: list[dict[str, Any]] = [
    {"title": "Другое название"},
    {"description": "О сокетах"},
    {"cta_label": "Купить"},
    {"cta_url": "https://example.org/buy"},
    {"player_url": "https://example.org/another"},
    {"frame_origins": ("https://cdn.example.org", "http://other.example:8080")},
    {"recording_url": RECORDING},
    {"no_recording": True},
    {"texts": TEXTS},
    {"unlisted": True},
    {"grace": 0},
]
"""Whatever may be said at any time before the archive."""


@pytest.mark.parametrize(("draft", "status"), [(True, Status.DRAFT), (False, Status.SCHEDULED)])
def test_a_new_webinar_is_scheduled_at_once_unless_it_is_a_draft(draft: bool, status: Status) -> None:
    expected = Room(
        webinar_id=WEBINAR, epoch="e1", version=1, status=status, title="Как устроены комнаты", scheduled_at=at(0)
    )
    assert expected == new_room(WEBINAR, "e1", PLAN, draft)


@pytest.mark.parametrize("fields", PLANS)
def test_a_new_webinar_has_the_fields_of_its_plan(fields: dict[str, Any]) -> None:
    silent = new_room(WEBINAR, "e1", PLAN, draft=False)

    assert replace(silent, **fields) == new_room(WEBINAR, "e1", replace(PLAN, **fields), draft=False)


@pytest.mark.parametrize("plan", [Plan(), Plan(title="Без времени"), Plan(scheduled_at=at(0))])
def test_a_new_webinar_needs_a_title_and_a_time(plan: Plan) -> None:
    with pytest.raises(BadInput, match="a title and a time") as refusal:
        new_room(WEBINAR, "e1", plan, draft=False)

    expected = (422, "invalid_payload")
    assert expected == (refusal.value.status, refusal.value.code)


@pytest.mark.parametrize("webinar_id", ["", "a" * 65, "demo\n", "вебинар", "a b"])
def test_a_new_webinar_has_a_proper_id(webinar_id: str) -> None:
    with pytest.raises(BadInput, match="webinar_id"):
        new_room(webinar_id, "e1", PLAN, draft=False)


def test_a_time_is_kept_in_utc() -> None:
    moscow = datetime(2026, 11, 22, 21, 0, tzinfo=timezone(timedelta(hours=3)))

    kept = new_room(WEBINAR, "e1", replace(PLAN, scheduled_at=moscow), draft=False).scheduled_at
    expected = (datetime(2026, 11, 22, 18, 0, tzinfo=UTC), UTC)
    assert expected == (kept, kept.tzinfo)


@pytest.mark.parametrize(
    "scheduled_at",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-3))),
    ],
)
def test_a_time_that_is_none_in_utc_is_refused_by_name(scheduled_at: datetime) -> None:
    with pytest.raises(BadInput, match="scheduled_at: the calendar ends") as of_new:
        new_room(WEBINAR, "e1", replace(PLAN, scheduled_at=scheduled_at), draft=False)
    with pytest.raises(BadInput, match="scheduled_at: the calendar ends") as of_old:
        amend(room("scheduled"), Plan(scheduled_at=scheduled_at))

    expected = (422, "invalid_payload")
    assert [expected, expected] == [(refusal.value.status, refusal.value.code) for refusal in (of_new, of_old)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "я" * 201),
        ("description", "я" * 4001),
        ("cta_label", ""),
        ("cta_url", "javascript:alert(1)"),
        ("player_url", "/player"),
        ("frame_origins", ("https://example.org/",)),
        ("frame_origins", ("https://a; script-src *",)),
        ("frame_origins", ("https://example.org",) * 11),
        ("recording_url", "ftp://example.org"),
        ("texts", {"ru": "no table"}),
    ],
)
def test_what_is_wrong_is_refused_by_name_in_a_new_webinar_and_in_an_old_one(field: str, value: object) -> None:
    known: dict[str, Any] = {field: value}
    with pytest.raises(BadInput, match=field):
        new_room(WEBINAR, "e1", replace(PLAN, **known), draft=True)
    with pytest.raises(BadInput, match=field):
        amend(room("live"), Plan(**known))


@pytest.mark.parametrize("status", ["draft", "scheduled", "live", "paused", "finished"])
@pytest.mark.parametrize("fields", PLANS)
def test_a_plan_that_changes_something_makes_one_version_and_touches_nothing_else(
    fields: dict[str, Any], status: str
) -> None:
    assert replace(room(status), version=8, **fields) == amend(room(status), Plan(**fields))


@pytest.mark.parametrize("status", ["draft", "scheduled", "live", "paused", "finished"])
@pytest.mark.parametrize("fields", [{}, *PLANS])
def test_a_plan_that_changes_nothing_leaves_the_same_room(fields: dict[str, Any], status: str) -> None:
    known = room(status, **fields)

    assert known is amend(known, Plan(**fields))


@pytest.mark.parametrize("fields", PLANS)
def test_an_archived_room_is_locked(fields: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="archived") as refusal:
        amend(room("archived"), Plan(**fields))

    assert (409, LOCKED) == (refusal.value.status, refusal.value.code)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("draft", "ok"),
        ("scheduled", "ok"),
        ("live", REWIND),
        ("paused", REWIND),
        ("finished", REWIND),
        ("archived", LOCKED),
    ],
)
def test_the_time_may_be_moved_only_before_the_start(status: str, code: str) -> None:
    assert code == code_of(lambda: amend(room(status), Plan(scheduled_at=at(7200))))


@pytest.mark.parametrize("status", ["draft", "scheduled"])
def test_a_new_time_brings_a_cancelled_webinar_back_and_the_same_time_does_not(status: str) -> None:
    cancelled = room(status, cancelled_at=at(-60))
    moved = amend(cancelled, Plan(scheduled_at=at(0)))

    assert (moved.cancelled_at, moved.scheduled_at) == (None, at(0))
    assert amend(cancelled, Plan(scheduled_at=cancelled.scheduled_at)) is cancelled
    assert amend(cancelled, Plan(title="Другое")).cancelled_at == at(-60)


def test_a_moved_time_is_kept_in_utc() -> None:
    moscow = at(7200).astimezone(timezone(timedelta(hours=3)))

    moved = amend(room("scheduled"), Plan(scheduled_at=moscow))
    assert replace(room("scheduled"), version=8, scheduled_at=at(7200)) == moved
    assert moved.scheduled_at.tzinfo is UTC


def test_a_recording_address_resets_no_recording() -> None:
    amended = amend(room("finished", no_recording=True), Plan(recording_url=RECORDING))

    assert room("finished", version=8, recording_url=RECORDING) == amended


def test_no_recording_resets_the_address() -> None:
    amended = amend(room("finished", recording_url=RECORDING), Plan(no_recording=True))

    assert room("finished", version=8, no_recording=True) == amended


def test_a_recording_may_be_expected_again() -> None:
    amended = amend(room("finished", no_recording=True), Plan(no_recording=False))

    assert room("finished", version=8) == amended


def test_origins_that_a_player_leads_to_can_be_taken_back() -> None:
    named = room("scheduled", frame_origins=("https://cdn.example.org",))

    assert room("scheduled", version=8) == amend(named, Plan(frame_origins=()))


def test_a_refusal_names_the_status_of_the_webinar() -> None:
    with pytest.raises(Conflict, match="while the webinar is live"):
        amend(room("live"), Plan(scheduled_at=at(0)))


UNKNOWN, NAMED = Recording(), Recording(url=RECORDING)


@pytest.mark.parametrize(
    ("plan", "named"),
    [(Plan(recording_url=RECORDING), NAMED), (Plan(no_recording=True), Recording(is_expected=False))],
)
def test_of_an_archived_webinar_the_recording_may_still_be_named_for_its_messages(plan: Plan, named: Recording) -> None:
    known = room("archived")
    change = amended(known, UNKNOWN, plan)

    assert change.room is known
    assert (change.named_recording, change.arm_evaluation) == (named, True)


def test_a_recording_that_was_named_already_changes_nothing() -> None:
    known = room("archived")

    assert amended(known, NAMED, Plan(recording_url=RECORDING)) == Change(room=known, participation=None)


OTHERWISE = [fields for fields in PLANS if not fields.keys() & RECORDING_FIELDS]


@pytest.mark.parametrize("fields", [{}, *OTHERWISE, *(fields | {"recording_url": RECORDING} for fields in OTHERWISE)])
def test_of_an_archived_webinar_nothing_else_is_taken_not_even_with_the_recording(fields: dict[str, Any]) -> None:
    assert code_of(lambda: amended(room("archived"), UNKNOWN, Plan(**fields))) == LOCKED


def test_an_address_that_is_none_is_refused_there_too() -> None:
    with pytest.raises(BadInput, match="recording_url"):
        amended(room("archived"), UNKNOWN, Plan(recording_url="ftp://example.org"))


@pytest.mark.parametrize("status", ["draft", "scheduled", "live", "paused", "finished"])
def test_before_the_archive_the_room_itself_is_amended(status: str) -> None:
    plan = Plan(recording_url=RECORDING)
    change = amended(room(status), UNKNOWN, plan)

    assert (change.room, change.named_recording) == (amend(room(status), plan), None)
    assert change.arm_evaluation == (status == "finished")


RECORDINGS: list[dict[str, Any]] = [
    {},
    {"recording_url": RECORDING},
    {"recording_url": "https://example.org/another"},
    {"no_recording": True},
]
"""What may be set of a recording."""


@pytest.mark.parametrize("status", STATUSES[:-1])
def test_another_recording_schedules_an_evaluation_once_the_webinar_is_over(status: str) -> None:
    for before, plan in product(RECORDINGS, RECORDINGS):
        change = amended(room(status, **before), UNKNOWN, Plan(**plan))
        assert change.arm_evaluation == (status == "finished" and plan not in ({}, before))


def test_a_clone_has_the_plan_and_nothing_of_what_happened() -> None:
    plan: dict[str, Any] = {"description": "О сокетах", "texts": TEXTS, "unlisted": True, "grace": 30}
    over = room("finished", recording_url=RECORDING, cta_visibility="visible", cancelled_at=at(-9), **plan)

    cloned = clone(over, "again", "e2", at(3600))

    addresses: dict[str, Any] = {"cta_label": over.cta_label, "cta_url": over.cta_url, "player_url": over.player_url}
    fields: dict[str, Any] = {
        "webinar_id": "again",
        "epoch": "e2",
        "version": 1,
        "status": Status.DRAFT,
        "scheduled_at": at(3600),
    }
    assert cloned == Room(**fields, title=over.title, **plan, **addresses)
