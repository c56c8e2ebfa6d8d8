"""From bytes to typed hooks: how large a body may be, and how its faults are named."""

import gzip
import json
from typing import Any

import msgspec
import pytest

from room_server.api import hook_bodies
from room_server.api.hook_bodies import ACCEPTED, MAX_BODIES, MAX_BODY
from room_server.core.messages import INBOUND, Completed, Context, Entered, SetStatus
from room_server.core.planning import PlanWebinar
from room_server.core.registration import MAX_LEADS, Lead
from room_server.core.site_hooks import SITE_HOOKS, RegisterLeads
from room_server.errors import BadInput
from tests.support import Site

REGISTER = "core_roster_register"


START: dict[str, Any] = {"webinar_id": "w", "status": "start"}


def decode(name: str, body: bytes | dict[str, Any]) -> Any:
    return hook_bodies.decode(name, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(name: str, body: bytes | dict[str, Any]) -> BadInput:
    with pytest.raises(BadInput) as caught:
        decode(name, body)
    return caught.value


def test_every_hook_that_comes_in_is_accepted() -> None:
    assert {**INBOUND, **SITE_HOOKS} == ACCEPTED


def test_a_plan_is_decoded_with_what_is_cleared_and_what_stays() -> None:
    body = b'{"webinar_id":"w","cta_url":null,"grace":"7","remind":["1h"],"no_recording":true,"tell_arrivals":null}'

    assert decode("core_webinar_plan", body) == PlanWebinar(
        webinar_id="w", cta_url=None, grace=7, remind=("1h",), tell_arrivals=None
    )


@pytest.mark.parametrize("digits", ["0", "1795374000", "1795374000123", "7999999999999"])
def test_a_time_may_be_a_text_of_its_digits(digits: str) -> None:
    entered = decode("client_webinar_entered", {"webinar_id": "w", "lead_id": "42", "timestamp": digits})
    completed = decode("client_webinar_completed", {"webinar_id": "w", "lead_id": 42, "completed_at": digits})
    started = decode("core_webinar_set_status", {**START, "context": {"timestamp": digits, "actor_id": "7"}})

    assert entered == Entered(webinar_id="w", lead_id=42, timestamp=int(digits))
    assert completed == Completed(webinar_id="w", lead_id=42, completed_at=int(digits))
    assert started == SetStatus(**START, context=Context(timestamp=int(digits), actor_id="7"))


@pytest.mark.parametrize("text", ["", "042", "-1", "1.5", "1e3", " 1", "1\n", "1795374000 ", "9" * 13, "9" * 400, "٣"])
@pytest.mark.parametrize("more", [{}, {"context": {"timestamp": "7"}}, {"context": 7}, {"timestamp_": "7"}])
def test_a_time_of_any_other_text_is_refused(text: str, more: dict[str, Any]) -> None:
    found = refusal("client_webinar_entered", {"webinar_id": "w", "lead_id": 42, "timestamp": text, **more})

    assert (found.code, found.field) == ("invalid_payload", "timestamp")


def test_the_time_of_a_plan_is_no_number_as_text_either() -> None:
    found = refusal("core_webinar_plan", {"webinar_id": "w", "scheduled_at": "1795374000"})

    assert (found.code, found.field) == ("invalid_payload", "scheduled_at")


def test_a_body_whose_numbers_are_too_large_to_read_again_is_refused_for_its_time() -> None:
    body = b'{"webinar_id":"w","lead_id":42,"timestamp":"7","other":%s}' % (b"9" * 5000)

    assert refusal("client_webinar_entered", body).field == "timestamp"


@pytest.mark.parametrize(
    "more", ['"leads":5', '"leads":{}', '"leads":[{"lead_id":2}]', '"leads":null', '"other":1e999', '"leads":[1e999]']
)
def test_a_wrong_lead_is_named_whatever_else_is_in_the_body(more: str) -> None:
    refused = refusal(REGISTER, b'{"webinar_id":"w","leads":[{"lead_id":"x"}],%s}' % more.encode())

    assert (refused.code, refused.field) == ("invalid_payload", "leads[0].lead_id")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("title", {"title": None}),
        ("title", {"title": ""}),
        ("title", {"title": "x" * 201}),
        ("title", {"title": 5}),
        ("scheduled_at", {"scheduled_at": None}),
        ("scheduled_at", {"scheduled_at": "2026-11-22T18:00:00"}),
        ("scheduled_at", {"scheduled_at": "2026-11-22T18:00:00 Europe/Moscow"}),
        ("scheduled_at", {"scheduled_at": 1795373000}),
        ("scheduled_at", {"scheduled_at": "2026-02-30T18:00:00Z"}),
        ("scheduled_at", {"scheduled_at": "0001-01-01T00:00:00+03:00"}),
        ("description", {"description": "x" * 4001}),
        ("cta_label", {"cta_label": ""}),
        ("cta_url", {"cta_url": "javascript:alert(1)"}),
        ("player_url", {"player_url": "https://youtu.be/x"}),
        ("frame_origins", {"frame_origins": ["https://a.example"] * 11}),
        ("frame_origins", {"frame_origins": "https://a.example"}),
        ("frame_origins[1]", {"frame_origins": ["https://a.example", "https://b.example; script-src *"]}),
        ("recording_url", {"recording_url": "ftp://a.example"}),
        ("draft", {"draft": None}),
        ("draft", {"draft": 1}),
        ("unlisted", {"unlisted": "yes"}),
        ("grace", {"grace": -1}),
        ("grace", {"grace": "1.5"}),
        ("grace", {"grace": 10**8 + 1}),
        ("texts", {"texts": {"fr": {}}}),
        ("texts", {"texts": {"ru": {"nothing": "x"}}}),
        ("texts[...]", {"texts": {"ru": "x"}}),
        ("silent", {"silent": "no"}),
    ],
)
def test_a_wrong_field_of_a_plan_is_named(field: str, fields: dict[str, Any]) -> None:
    found = refusal("core_webinar_plan", {"webinar_id": "w", **fields})

    assert (found.status, found.code, found.field) == (422, "invalid_payload", field)


def test_every_wrong_lead_is_named_by_its_place_and_field() -> None:
    leads = [
        {"lead_id": 1},
        {"lead_id": 0},
        {"lead_id": "3"},
        {"name": "x"},
        {"lead_id": 5, "locale": "de", "name": 7},
        "x",
        {"lead_id": "1"},
    ]
    found = refusal(REGISTER, {"webinar_id": "w", "leads": leads})
    named = {part.partition(": ")[0] for part in found.detail.split("; ")}

    assert (found.status, found.code, found.field) == (422, "invalid_payload", "leads[1].lead_id")
    assert named == {
        "leads[1].lead_id",
        "leads[3].lead_id",
        "leads[4].locale",
        "leads[4].name",
        "leads[5]",
        "leads[6].lead_id",
    }


def test_a_wrong_lead_is_told_what_would_be_right() -> None:
    leads = [{"lead_id": "x", "locale": "fr", "candidate_chat_id": "7,9E+10", "name": "x" * 201}]
    found = refusal(REGISTER, {"webinar_id": "w", "leads": leads})

    assert set(found.detail.split("; ")) == {
        "leads[0].lead_id: expected a whole number from 1 to 9007199254740991",
        "leads[0].locale: expected ru or en",
        "leads[0].candidate_chat_id: expected a Telegram chat id, a whole number",
        "leads[0].name: expected at most 200 characters",
    }


def test_a_lead_that_stands_twice_is_named() -> None:
    found = refusal(REGISTER, {"webinar_id": "w", "leads": [{"lead_id": 1}, {"lead_id": "1"}]})

    assert (found.field, found.detail) == ("leads[1].lead_id", "leads[1].lead_id: 1 stands in leads[0] too")


@pytest.mark.parametrize("leads", [[], None, {}, "x", [{"lead_id": one} for one in range(1, MAX_LEADS + 2)]])
def test_what_is_no_list_of_leads_is_refused_as_a_whole(leads: Any) -> None:
    assert refusal(REGISTER, {"webinar_id": "w", "leads": leads}).field == "leads"


def test_a_crowd_of_wrong_leads_is_named_up_to_a_bound() -> None:
    found = refusal(REGISTER, {"webinar_id": "w", "leads": [{}] * 20_000})

    assert found.code == "invalid_payload"
    assert len(found.detail) < 200_000


def test_of_a_field_that_is_there_twice_a_wrong_one_is_refused_too() -> None:
    body = b'{"webinar_id":"w","leads":[{"lead_id":0,"lead_id":1}]}'

    assert refusal(REGISTER, body).field == "leads[0].lead_id"


def test_a_registration_is_decoded() -> None:
    body = b'{"webinar_id":"w","leads":[{"lead_id":"1","name":"A","partner_id":2},{"lead_id":3,"locale":null}]}'
    expected = (Lead(lead_id=1, name="A", partner_id=2), Lead(lead_id=3, locale=None))

    assert decode(REGISTER, body) == RegisterLeads(webinar_id="w", leads=expected)


async def test_a_registration_may_be_larger_than_other_hooks(stage: Site) -> None:
    most = MAX_BODIES[REGISTER]
    leads = [{"lead_id": one, "name": "ы" * 200} for one in range(1, MAX_LEADS + 1)]
    body = msgspec.json.encode({"webinar_id": "scheduled", "leads": leads})
    assert MAX_BODY < len(body) < most == 256 * 1024
    answers = [
        await stage.hook(REGISTER, body.ljust(size), "system", scope="*") for size in (len(body), most, most + 1)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 413]
    assert "; register fewer leads at a time" in answers[2].json()["detail"]
    assert (answers[0].json()["added"], answers[1].json()["duplicate"]) == (MAX_LEADS, True)
    plan = await stage.hook("core_webinar_plan", b"{}".ljust(MAX_BODY + 1), "system", scope="*")
    assert plan.json()["code"] == "body_too_large"


def test_the_largest_withdrawal_fits_into_a_body() -> None:
    lead_ids = [str(10**14 + number) for number in range(MAX_LEADS)]

    assert len(json.dumps({"webinar_id": "w" * 64, "lead_ids": lead_ids})) < MAX_BODY


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (gzip.compress(b'{"webinar_id": "w"}', mtime=0), "it is compressed; send it as it is"),
        (b'\xef\xbb\xbf{"webinar_id": "w"}', "it begins with a byte order mark; leave that out"),
    ],
)
def test_what_is_no_plain_json_is_told_what_to_do(body: bytes, hint: str) -> None:
    found = refusal(REGISTER, body)

    assert (found.code, found.detail) == ("malformed_body", f"the body is not a JSON object: {hint}")
