"""What comes in is exactly what docs/domain.md, "Hooks and their payloads", lets in."""

import json
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from typing import Any

import msgspec
import pytest

from room_server.core.messages import (
    EMITTED,
    INBOUND,
    NAMES,
    STREAMED,
    Actor,
    AttendanceClassified,
    Claimed,
    Completed,
    Context,
    CtaClicked,
    DeliveryStatus,
    Entered,
    LeadId,
    Message,
    MessageKind,
    PostWebinarRoute,
    Role,
    SetCtaVisibility,
    SetStatus,
    SiteChecked,
    WebinarCompleted,
    WebinarId,
)
from tests.core.builders import LEAD, NOW, ROLES, WEBINAR

IDS = msgspec.json.Decoder(WebinarId)
LEADS = msgspec.json.Decoder(LeadId)
TIMES = msgspec.json.Decoder[Any](Claimed)

PAYLOADS: dict[str, dict[str, Any]] = {
    "core_webinar_set_status": {"webinar_id": WEBINAR, "status": "start"},
    "core_webinar_set_cta_visibility": {"webinar_id": WEBINAR, "visible": True},
    "client_webinar_entered": {"webinar_id": WEBINAR, "lead_id": LEAD, "timestamp": 1},
    "client_webinar_completed": {"webinar_id": WEBINAR, "lead_id": LEAD, "completed_at": 1},
    "client_webinar_cta_clicked": {"webinar_id": WEBINAR, "lead_id": LEAD, "timestamp": 1},
}
"""The required fields of each inbound hook."""


def decode(hook: str, payload: Any) -> Any:
    return msgspec.json.decode(json.dumps(payload), type=INBOUND[hook])


@pytest.mark.parametrize("text", ["a", "0", "_", "-", "Demo_2026-11-22", "a" * 64])
def test_a_webinar_id_is_one_to_sixty_four_plain_characters(text: str) -> None:
    assert text == IDS.decode(json.dumps(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 65,
        "a" * 64 + "\n",
        "demo\n",
        "\ndemo",
        "demo\r",
        "a b",
        " demo",
        "a/b",
        "a.b",
        "*",
        "a\0",
        "{a}",
        "вебинар",
        "\u0430",
        "d\u0435mo",
        "\u0661",
        "\uff11",
        "de\u0301mo",
    ],
)
def test_any_other_webinar_id_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="regex"):
        IDS.decode(json.dumps(text))


@pytest.mark.parametrize("raw", ["1", "null", "true", '["demo"]'])
def test_a_webinar_id_that_is_no_text_is_refused(raw: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        IDS.decode(raw)


@pytest.mark.parametrize("number", [1, 2, 2**31, 2**53 - 1])
def test_a_lead_id_is_a_positive_integer_that_json_keeps_exact(number: int) -> None:
    assert number == LEADS.decode(str(number))


@pytest.mark.parametrize(
    "raw", ["0", "-1", str(2**53), str(10**30), "true", "false", "null", '"5"', '""', "5.0", "1.5", "1e3", "[1]"]
)
def test_any_other_lead_id_is_refused(raw: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        LEADS.decode(raw)


@pytest.mark.parametrize("hook", ["client_webinar_entered", "client_webinar_completed"])
@pytest.mark.parametrize("text", ["1", "42", "9" * 15])
def test_a_hook_takes_a_lead_id_as_text_of_digits_and_makes_it_the_number(hook: str, text: str) -> None:
    given = decode(hook, {**PAYLOADS[hook], "lead_id": text})

    assert given == decode(hook, {**PAYLOADS[hook], "lead_id": int(text)})
    assert f'"lead_id":{text},'.encode() in msgspec.json.encode(given)


@pytest.mark.parametrize("hook", ["client_webinar_entered", "client_webinar_completed"])
@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "042", " 42", "42 ", "42\n", "4_2", "4.0", "4e2", "٤٢", "9" * 16]
)
def test_a_hook_takes_no_other_text_for_a_lead_id(hook: str, text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="lead_id"):
        decode(hook, {**PAYLOADS[hook], "lead_id": text})


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("0", 0),
        ("0.0", 0.0),
        (str(2**43), 2**43),
        (f"{2**43}.0", 2.0**43),
        ("1795373000250", 1_795_373_000_250),
        ("1795373000250.5", 1_795_373_000_250.5),
        ("1795373000", 1_795_373_000),
        ("1795373000.25", 1_795_373_000.25),
        ('"2026-11-22T18:00:00Z"', datetime(2026, 11, 22, 18, tzinfo=UTC)),
        ('"2026-11-22T21:00:00+03:00"', datetime(2026, 11, 22, 21, tzinfo=timezone(timedelta(hours=3)))),
        ('"2026-11-22T18:00:00.5Z"', datetime(2026, 11, 22, 18, 0, 0, 500_000, UTC)),
    ],
)
def test_a_claimed_time_is_unix_seconds_or_milliseconds_or_rfc_3339_and_kept_as_claimed(raw: str, kept: object) -> None:
    actual = TIMES.decode(raw)

    assert (type(kept), kept) == (type(actual), actual)


def test_a_claimed_offset_is_kept() -> None:
    raw = b'"2026-11-22T21:00:00+03:00"'

    assert raw == msgspec.json.encode(TIMES.decode(raw))


@pytest.mark.parametrize(
    "raw",
    [
        '"2026-11-22T18:00:00"',
        '"2026-11-22"',
        '"18:00:00Z"',
        '"1795373000"',
        '"now"',
        '""',
        "-1",
        "-0.5",
        str(2**43 + 1),
        f"{2**43}.5",
        "1e13",
        "1e400",
        "true",
        "null",
        "{}",
        "[1]",
    ],
)
def test_any_other_claimed_time_is_refused(raw: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        TIMES.decode(raw)


@pytest.mark.parametrize(("hook", "field"), [(hook, field) for hook in PAYLOADS for field in PAYLOADS[hook]])
def test_a_required_field_may_not_be_missing_or_null(hook: str, field: str) -> None:
    payload = PAYLOADS[hook]

    with pytest.raises(msgspec.ValidationError, match=field):
        decode(hook, {key: value for key, value in payload.items() if key != field})
    with pytest.raises(msgspec.ValidationError, match=field):
        decode(hook, payload | {field: None})


@pytest.mark.parametrize("hook", PAYLOADS)
def test_unknown_fields_are_ignored(hook: str) -> None:
    assert decode(hook, PAYLOADS[hook]) == decode(hook, PAYLOADS[hook] | {"utm": {"a": [1]}})


@pytest.mark.parametrize("hook", PAYLOADS)
@pytest.mark.parametrize("payload", [[], None, 1, "demo"])
def test_a_payload_that_is_no_object_is_refused(hook: str, payload: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(hook, payload)


@pytest.mark.parametrize("visible", [1, 0, "true", None])
def test_visibility_is_a_boolean_and_nothing_like_one(visible: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="visible"):
        decode("core_webinar_set_cta_visibility", {"webinar_id": WEBINAR, "visible": visible})


def test_a_context_may_be_given_in_whole_in_part_or_not_at_all() -> None:
    payload = PAYLOADS["core_webinar_set_status"]
    whole = {"source": "console", "actor_id": 5, "timestamp": "2026-11-22T18:00:00Z"}

    assert SetStatus(WEBINAR, "start") == decode("core_webinar_set_status", payload)
    assert SetStatus(WEBINAR, "start", Context()) == decode("core_webinar_set_status", payload | {"context": {}})
    expected = SetStatus(WEBINAR, "start", Context("console", 5, datetime(2026, 11, 22, 18, tzinfo=UTC)))
    assert expected == decode("core_webinar_set_status", payload | {"context": whole})


def test_a_context_names_its_actor_by_number_or_by_text() -> None:
    payload = PAYLOADS["core_webinar_set_cta_visibility"]

    expected = SetCtaVisibility(WEBINAR, visible=True, context=Context(actor_id="crm:5"))
    assert expected == decode("core_webinar_set_cta_visibility", payload | {"context": {"actor_id": "crm:5"}})


@pytest.mark.parametrize(
    "context", [{"timestamp": "2026-11-22T18:00:00"}, {"source": "s" * 201}, {"actor_id": True}, {"source": 5}, "me"]
)
def test_a_context_that_is_wrong_is_refused(context: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="context"):
        decode("core_webinar_set_status", PAYLOADS["core_webinar_set_status"] | {"context": context})


def test_the_type_of_a_webinar_is_filled_in_as_live() -> None:
    payload = PAYLOADS["client_webinar_completed"]

    expected = Completed(webinar_id=WEBINAR, lead_id=LEAD, completed_at=1, session_id=None, webinar_type="live")
    assert expected == decode("client_webinar_completed", payload)
    assert expected == decode("client_webinar_completed", payload | {"webinar_type": "live"})


@pytest.mark.parametrize("kind", ["auto", "LIVE", "", 1])
def test_another_type_of_webinar_is_refused(kind: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="webinar_type"):
        decode("client_webinar_completed", PAYLOADS["client_webinar_completed"] | {"webinar_type": kind})


@pytest.mark.parametrize("session_id", [None, "", "s" * 200, "сессия"])
def test_a_session_id_is_any_short_text_or_none(session_id: str | None) -> None:
    payload = PAYLOADS["client_webinar_completed"] | {"session_id": session_id}

    assert session_id == decode("client_webinar_completed", payload).session_id


@pytest.mark.parametrize("session_id", ["s" * 201, 5, True])
def test_any_other_session_id_is_refused(session_id: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="session_id"):
        decode("client_webinar_completed", PAYLOADS["client_webinar_completed"] | {"session_id": session_id})


def test_the_inbound_hooks_that_are_events_are_the_five_of_the_canon() -> None:
    expected = {
        "core_webinar_set_status": SetStatus,
        "core_webinar_set_cta_visibility": SetCtaVisibility,
        "client_webinar_entered": Entered,
        "client_webinar_completed": Completed,
        "client_webinar_cta_clicked": CtaClicked,
    }
    assert expected == INBOUND


def test_the_emitted_hooks_are_the_three_of_the_canon_and_never_inbound() -> None:
    expected = {
        "webinar_completed": WebinarCompleted,
        "client_webinar_attendance_classified": AttendanceClassified,
        "post_webinar_route": PostWebinarRoute,
    }
    assert expected == EMITTED
    assert set() == EMITTED.keys() & INBOUND.keys()


@pytest.mark.parametrize(
    "hook",
    [
        "autowebinar_started",
        "core_user_created",
        "core_ref_context_resolved",
        "client_webinar_registered",
        "client_webinar_left",
        "client_webinar_form_submitted",
    ],
)
def test_hooks_that_are_not_part_of_this_product_are_unknown(hook: str) -> None:
    assert hook not in NAMES.values()


def test_every_event_has_one_name() -> None:
    named = {name: kind for kind, name in NAMES.items()}

    assert named == {**INBOUND, **EMITTED}
    assert {**named, "core_site_checked": SiteChecked} == STREAMED


@pytest.mark.parametrize(
    ("hook", "fields"),
    [
        (WebinarCompleted, ("webinar_id", "lead_id", "completed_at", "session_id", "webinar_type")),
        (AttendanceClassified, ("lead_id", "webinar_id", "attended", "timestamp")),
        (PostWebinarRoute, ("lead_id", "webinar_id", "attended", "timestamp", "route")),
    ],
)
def test_an_emitted_payload_has_the_fields_of_the_canon(hook: type[msgspec.Struct], fields: tuple[str, ...]) -> None:
    assert fields == hook.__struct_fields__


def test_roles_kinds_and_statuses_have_the_values_of_the_documents() -> None:
    kinds = ["attendance", "follow_up", "recording", "reminder", "arrival", "moved", "cancelled"]
    on_the_way, ended = ["queued", "sending", "held", "doubtful"], ["sent", "dry_run", "no_chat", "opted_out"]
    statuses = [*on_the_way, *ended, "undeliverable", "parked"]

    assert list(ROLES) == [role.value for role in Role]
    assert kinds == [kind.value for kind in MessageKind]
    assert statuses == [status.value for status in DeliveryStatus]


@pytest.mark.parametrize("kind", [*INBOUND.values(), *EMITTED.values(), Context, Actor, Message])
def test_a_message_is_never_changed_after_it_was_made(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_a_caller_without_a_scope_may_act_on_all_webinars() -> None:
    scope = "*"

    assert scope == Actor(role=Role.SYSTEM, subject="webhook").webinar_id


def test_a_person_is_a_role_and_a_subject_whatever_the_token() -> None:
    known = Actor(role=Role.SPEAKER, subject="7", webinar_id="launch", name="Anna", expires_at=1)
    same = Actor(role=Role.SPEAKER, subject="7", webinar_id="*", expires_at=2)
    others = (Actor(role=Role.ATTENDEE, subject="7", lead_id=7), Actor(role=Role.SPEAKER, subject="8"))

    assert known.person == same.person
    assert known.person not in {other.person for other in others}


def test_the_servers_clock_is_written_as_rfc_3339_utc() -> None:
    event = AttendanceClassified(lead_id=LEAD, webinar_id=WEBINAR, attended=True, timestamp=NOW)

    expected = b'{"lead_id":101,"webinar_id":"demo","attended":true,"timestamp":"2026-11-22T19:00:00Z"}'
    assert expected == msgspec.json.encode(event)


def test_a_token_is_valid_until_it_expires_and_an_actor_without_one_for_ever() -> None:
    ends, never = Actor(role=Role.SPEAKER, subject="7", expires_at=100), Actor(role=Role.SYSTEM, subject="webhook")

    assert [ends.valid_for(now) for now in (90.5, 100, 101)] == [9.5, 0, -1]
    assert never.valid_for(10.0**12) == inf
