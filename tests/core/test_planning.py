"""What the operator may say of a webinar, when, and what comes of it."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from room_server.core.attendance_rule import AttendedBy
from room_server.core.decision_types import Change, Facts
from room_server.core.planning import RECORDING_FIELDS, Plan, PlanWebinar, amend, amended, clone, new_room, planned
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
    {"texts": TEXTS},
    {"unlisted": True},
    {"grace": 0},
]
"""Whatever may be said at any time before the archive."""
RULE: dict[str, Any] = {"attended_by": AttendedBy.WATCHED, "min_watch": "60%"}


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

    expected = (422, "invalid_payload", "title" if plan.title is UNSET else "scheduled_at")
    assert expected == (refusal.value.status, refusal.value.code, refusal.value.field)


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
        ("frame_origins", ("https://example.org/player",)),
        ("frame_origins", ("https://a; script-src *",)),
        ("frame_origins", ("https://example.org",) * 11),
        ("recording_url", "ftp://example.org"),
        *product(
            ("cta_url", "player_url", "recording_url"), ("https://[::1", "https:///x", "http://a:99999", "http://:80")
        ),
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
    amended = amend(room("finished", recording_url=RECORDING), Plan(recording_url=None))

    assert room("finished", version=8, no_recording=True) == amended


def test_origins_that_a_player_leads_to_can_be_taken_back() -> None:
    named = room("scheduled", frame_origins=("https://cdn.example.org",))

    assert room("scheduled", version=8) == amend(named, Plan(frame_origins=()))


def test_a_refusal_names_the_status_of_the_webinar() -> None:
    with pytest.raises(Conflict, match="while the webinar is live"):
        amend(room("live"), Plan(scheduled_at=at(0)))


UNKNOWN, NAMED = Recording(), Recording(url=RECORDING)


@pytest.mark.parametrize(
    ("plan", "named"),
    [(Plan(recording_url=RECORDING), NAMED), (Plan(recording_url=None), Recording(is_expected=False))],
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


def test_of_an_archived_webinar_what_stands_already_is_taken() -> None:
    known = room("archived")
    same = Plan(title=known.title, scheduled_at=known.scheduled_at, description=None)

    assert amended(known, NAMED, same) == amended(known, NAMED, Plan()) == Change(room=known, participation=None)


@pytest.mark.parametrize("fields", [*OTHERWISE, *(fields | {"recording_url": RECORDING} for fields in OTHERWISE)])
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
    {"recording_url": None},
]
"""What may be set of a recording."""


@pytest.mark.parametrize("status", STATUSES[:-1])
def test_another_recording_schedules_an_evaluation_once_the_webinar_is_over(status: str) -> None:
    for before, plan in product(RECORDINGS, RECORDINGS):
        known = room(status, **before, no_recording=before == {"recording_url": None})
        change = amended(known, UNKNOWN, Plan(**plan))
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


def plan(**fields: Any) -> PlanWebinar:
    return PlanWebinar(webinar_id=WEBINAR, **fields)


def test_a_hook_for_no_webinar_makes_one() -> None:
    made = planned(Facts(), plan(title="T", scheduled_at=at(0)), "e1")

    assert made == Change(room=new_room(WEBINAR, "e1", Plan(title="T", scheduled_at=at(0)), False), participation=None)
    assert planned(Facts(), plan(title="T", scheduled_at=at(0), draft=True), "e1").room.status is Status.DRAFT


@pytest.mark.parametrize("status", STATUSES)
def test_what_stands_already_is_a_duplicate_in_every_state(status: str) -> None:
    known = room(status)
    same = plan(
        title=known.title, scheduled_at=known.scheduled_at, player_url=known.player_url, draft=status == "draft"
    )
    change = planned(Facts(room=known), same, "e2")

    assert change == Change(room=known, participation=None, duplicate=True)


def test_a_draft_is_published_together_with_another_change_in_one_version() -> None:
    draft = room("draft")
    change = planned(Facts(room=draft), plan(title="Другое", draft=False), "e2")

    assert change.room == replace(draft, title="Другое", status=Status.SCHEDULED, version=draft.version + 1)
    assert change.duplicate is False


@pytest.mark.parametrize(("status", "code"), [*dict.fromkeys(STATUSES[1:5], REWIND).items(), ("archived", LOCKED)])
def test_what_was_published_is_never_a_draft_again(status: str, code: str) -> None:
    assert code == code_of(lambda: planned(Facts(room=room(status)), plan(draft=True), "e2"))


CLEARABLE: list[tuple[str, Any, Any]] = [
    ("description", "О сокетах", ""),
    ("cta_label", "Купить", None),
    ("cta_url", "https://example.org/buy", None),
    ("player_url", "https://example.org/player", None),
    ("frame_origins", ("https://cdn.example.org",), ()),
    ("texts", TEXTS, {}),
    ("unlisted", True, False),
    ("grace", 30, None),
]


@pytest.mark.parametrize(("field", "value", "cleared"), CLEARABLE)
def test_none_clears_a_field_and_unset_leaves_it(field: str, value: Any, cleared: Any) -> None:
    fields: dict[str, Any] = {field: value}
    nothing: dict[str, Any] = {field: None}
    known = room("scheduled", **fields)

    assert getattr(amend(known, Plan(**nothing)), field) == cleared
    assert amend(known, Plan()) is known


def test_an_origin_is_taken_as_people_write_it_and_a_wrong_one_is_named_by_its_place() -> None:
    plain = Plan(frame_origins=("HTTPS://Плеер.example.org/", "http://cdn.example:8080"))

    assert amend(room("scheduled"), plain).frame_origins == (
        "https://xn--e1aaqpi.example.org", "http://cdn.example:8080"
    )  # fmt: skip
    with pytest.raises(BadInput) as refusal:
        amend(room("scheduled"), Plan(frame_origins=("http://a.example", "http://a.example/x")))
    assert refusal.value.field == "frame_origins[1]"


def test_a_grace_may_be_a_text_of_its_digits() -> None:
    decoded = msgspec.json.decode(b'{"webinar_id":"demo","grace":"120"}', type=PlanWebinar)

    assert decoded.grace == 120


@pytest.mark.parametrize("field", ["title", "scheduled_at", "draft", "silent"])
def test_what_cannot_be_cleared_is_refused_by_name(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.json.decode(f'{{"webinar_id":"demo","{field}":null}}', type=PlanWebinar)


@pytest.mark.parametrize("status", STATUSES)
def test_the_rule_for_attendance_is_locked_once_a_webinar_has_begun(status: str) -> None:
    wanted = "ok" if status in {"draft", "scheduled"} else "webinar_rule_locked"
    before = room(status)

    assert code_of(lambda: amend(before, Plan(**RULE))) == (LOCKED if status == "archived" else wanted)
    assert code_of(lambda: amend(before, Plan(attended_by=AttendedBy.COMPLETED))) in {"ok", LOCKED}  # it is so already


def test_a_rule_is_kept_with_its_minimum_and_copied_by_a_clone() -> None:
    ruled = new_room(WEBINAR, "e1", replace(PLAN, **RULE), draft=False)
    stricter = amend(ruled, Plan(min_watch="90m"))

    assert (ruled.attended_by, ruled.min_watch) == (AttendedBy.WATCHED, "60%")
    assert (stricter.attended_by, stricter.min_watch, stricter.version) == (AttendedBy.WATCHED, "90m", 2)
    copied = clone(ruled, "another", "e2", at(60))
    assert (copied.attended_by, copied.min_watch) == (AttendedBy.WATCHED, "60%")


@pytest.mark.parametrize("rule", [AttendedBy.WATCHED, AttendedBy.BOTH, AttendedBy.EITHER])
def test_a_rule_that_looks_at_watch_time_needs_a_minimum(rule: AttendedBy) -> None:
    planned = replace(PLAN, attended_by=rule)
    with pytest.raises(BadInput, match="needs a minimum such as 60% or 30m") as refusal:
        new_room(WEBINAR, "e1", planned, draft=False)
    with pytest.raises(BadInput, match="needs a minimum such as 60% or 30m"):
        amend(room("draft"), Plan(attended_by=rule))

    assert (refusal.value.code, refusal.value.field) == ("invalid_payload", "min_watch")


@pytest.mark.parametrize("min_watch", ["0%", "101%", "half"])
def test_a_minimum_is_one_that_can_be_reached(min_watch: str) -> None:
    with pytest.raises(BadInput, match="min_watch"):
        new_room(WEBINAR, "e1", replace(PLAN, attended_by=AttendedBy.WATCHED, min_watch=min_watch), draft=False)
