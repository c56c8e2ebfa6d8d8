"""Every row of the answer table of POST /hooks/{name}, provoked over real HTTP, in its order, and without a trace."""

import itertools
from typing import Any, NamedTuple

import httpx
import msgspec

from room_server.api.hook_bodies import MAX_BODY
from room_server.core.site_hooks import SITE_HOOKS
from room_server.errors import PROBLEMS
from tests.support import Site

STATUS, CTA = "core_webinar_set_status", "core_webinar_set_cta_visibility"
ENTERED, COMPLETED, CLICKED = "client_webinar_entered", "client_webinar_completed", "client_webinar_cta_clicked"
PLAN, REGISTER, WITHDRAW = "core_webinar_plan", "core_roster_register", "core_roster_withdraw"
LEAD = 42
"""The lead of `Site.token`'s attendee."""


class Case(NamedTuple):
    """A request that is refused, and how."""

    status: int
    code: str
    name: str
    payload: Any
    token: dict[str, Any] | None
    """Claims; None sends none."""


def status(word: str, webinar_id: str = "live") -> dict[str, Any]:
    return {"webinar_id": webinar_id, "status": word}


def entered(webinar_id: str = "live", **more: Any) -> dict[str, Any]:
    return {"webinar_id": webinar_id, "lead_id": LEAD, "timestamp": 1, **more}


def completed(webinar_id: str = "finished", **more: Any) -> dict[str, Any]:
    return {"webinar_id": webinar_id, "lead_id": LEAD, "completed_at": 1, **more}


SPEAKER: dict[str, Any] = {"role": "speaker", "webinar_id": "*"}
ATTENDEE: dict[str, Any] = {"role": "attendee", "webinar_id": "*"}
SYSTEM: dict[str, Any] = {"role": "system", "webinar_id": "*"}
SITE = {"webinar_id": "live", "leads": [{"lead_id": 1}], "lead_ids": [1], "lead_id": LEAD, "nonce": "n"}
"""A body that fits every hook of the site."""
REFUSALS = [
    Case(400, "malformed_body", STATUS, b"", SPEAKER),
    Case(400, "malformed_body", STATUS, b"[]", SPEAKER),
    Case(400, "malformed_body", STATUS, b'[{"webinar_id":"live","status":"stop"}]', SPEAKER),
    Case(400, "malformed_body", STATUS, b'"stop"', SPEAKER),
    Case(400, "malformed_body", STATUS, b"null", SPEAKER),
    Case(400, "malformed_body", STATUS, b"{", SPEAKER),
    Case(401, "unauthenticated", STATUS, status("stop"), None),
    *(
        Case(403, "forbidden_role", hook, payload, {"role": role, "webinar_id": "*"})
        for hook, payload, allowed in [
            (STATUS, status("stop"), {"organizer", "speaker"}),
            (CTA, {"webinar_id": "live", "visible": True}, {"organizer", "speaker"}),
            (ENTERED, entered(), {"attendee", "system"}),
            (COMPLETED, completed(), {"attendee", "system"}),
            (CLICKED, entered(), {"attendee", "system"}),
            *((name, SITE, {"system"}) for name in SITE_HOOKS),
        ]
        for role in ("organizer", "speaker", "moderator", "attendee", "guest", "system", "monitor")
        if role not in allowed
    ),
    Case(403, "forbidden_webinar", STATUS, status("stop"), {"role": "speaker", "webinar_id": "scheduled"}),
    Case(403, "forbidden_lead", ENTERED, entered(), {**ATTENDEE, "sub": "43"}),
    Case(403, "forbidden_lead", COMPLETED, completed(), {**ATTENDEE, "sub": "43"}),
    Case(403, "forbidden_lead", CLICKED, entered(), {**ATTENDEE, "sub": "43"}),
    *(Case(403, "forbidden_webinar", name, SITE, {**SYSTEM, "webinar_id": "scheduled"}) for name in SITE_HOOKS),
    Case(403, "hook_internal", "webinar_completed", completed(), {"role": "system", "webinar_id": "*"}),
    Case(403, "hook_internal", "client_webinar_attendance_classified", {}, {"role": "system", "webinar_id": "*"}),
    Case(403, "hook_internal", "post_webinar_route", {}, {"role": "system", "webinar_id": "*"}),
    *(
        Case(404, "hook_unknown", name, {}, SPEAKER)
        for name in (
            "autowebinar_started",
            "core_user_registered",
            "core_ref_context_resolved",
            "client_webinar_registered",
            "client_webinar_left",
            "client_webinar_form_submitted",
            "CORE_WEBINAR_SET_STATUS",
            "%D0%BF%D1%83%D1%81%D0%BA",
            "%00",
            "%FF",
        )
    ),
    Case(404, "webinar_unknown", STATUS, status("start", "nowhere"), SPEAKER),
    Case(404, "webinar_unknown", CTA, {"webinar_id": "nowhere", "visible": True}, SPEAKER),
    Case(404, "webinar_unknown", ENTERED, entered("nowhere"), ATTENDEE),
    Case(404, "webinar_unknown", COMPLETED, completed("nowhere"), ATTENDEE),
    Case(404, "webinar_unknown", ENTERED, entered("draft"), ATTENDEE),
    Case(404, "webinar_unknown", COMPLETED, completed("draft"), ATTENDEE),
    Case(404, "webinar_unknown", CLICKED, entered("draft"), ATTENDEE),
    *(
        Case(404, "webinar_unknown", name, {**SITE, "webinar_id": "nowhere"}, SYSTEM)
        for name in SITE_HOOKS.keys() - {PLAN, "core_lead_forget", "core_site_check"}
    ),
    Case(409, "webinar_state_invalid_start", STATUS, status("start", "draft"), SPEAKER),
    Case(409, "webinar_state_invalid_start", STATUS, status("start", "paused"), SPEAKER),
    Case(409, "webinar_state_invalid_restart", STATUS, status("start", "finished"), SPEAKER),
    Case(409, "webinar_state_locked", STATUS, status("start", "archived"), SPEAKER),
    Case(409, "webinar_state_invalid_stop", STATUS, status("stop", "draft"), SPEAKER),
    Case(409, "webinar_state_invalid_stop", STATUS, status("stop", "scheduled"), SPEAKER),
    Case(409, "webinar_state_locked", STATUS, status("stop", "archived"), SPEAKER),
    Case(409, "webinar_state_invalid_cta", CTA, {"webinar_id": "draft", "visible": True}, SPEAKER),
    Case(409, "webinar_state_invalid_cta", CTA, {"webinar_id": "finished", "visible": True}, SPEAKER),
    Case(409, "webinar_state_locked", CTA, {"webinar_id": "archived", "visible": False}, SPEAKER),
    *(
        Case(409, "webinar_not_live", ENTERED, entered(webinar_id), ATTENDEE)
        for webinar_id in ("scheduled", "paused", "finished", "archived")
    ),
    *(
        Case(409, "webinar_not_finished", COMPLETED, completed(webinar_id), ATTENDEE)
        for webinar_id in ("scheduled", "live", "paused", "archived")
    ),
    Case(409, "webinar_not_live", ENTERED, entered("draft"), {"role": "system", "webinar_id": "*"}),
    Case(409, "webinar_not_finished", COMPLETED, completed("draft"), {"role": "system", "webinar_id": "*"}),
    Case(409, "lead_not_entered", COMPLETED, completed(), ATTENDEE),
    *(
        Case(409, "cta_not_visible", CLICKED, entered(webinar_id), ATTENDEE)
        for webinar_id in ("scheduled", "live", "paused", "finished", "archived")
    ),
    *(
        Case(409, "webinar_state_invalid_pause", "core_webinar_pause", {"webinar_id": webinar_id}, SYSTEM)
        for webinar_id in ("draft", "scheduled", "finished")
    ),
    *(
        Case(409, "webinar_state_invalid_resume", "core_webinar_resume", {"webinar_id": webinar_id}, SYSTEM)
        for webinar_id in ("draft", "scheduled", "finished")
    ),
    *(
        Case(409, "webinar_state_invalid_archive", "core_webinar_archive", {"webinar_id": webinar_id}, SYSTEM)
        for webinar_id in ("draft", "scheduled", "live", "paused")
    ),
    *(
        Case(409, "webinar_state_invalid_cancel", "core_webinar_cancel", {"webinar_id": webinar_id}, SYSTEM)
        for webinar_id in ("live", "paused", "finished")
    ),
    *(
        Case(409, "webinar_state_locked", name, {"webinar_id": "archived", "title": "New"}, SYSTEM)
        for name in ("core_webinar_pause", "core_webinar_resume", "core_webinar_cancel", PLAN)
    ),
    *(
        Case(409, "webinar_state_invalid_rewind", PLAN, {"webinar_id": webinar_id, **more}, SYSTEM)
        for webinar_id in ("live", "paused", "finished")
        for more in ({"scheduled_at": "2030-01-01T00:00:00Z"}, {"draft": True})
    ),
    Case(409, "webinar_state_invalid_rewind", PLAN, {"webinar_id": "scheduled", "draft": True}, SYSTEM),
    Case(409, "webinar_rule_locked", PLAN, {"webinar_id": "live", "attended_by": "both", "min_watch": "30m"}, SYSTEM),
    Case(422, "invalid_payload", PLAN, {"webinar_id": "scheduled", "attended_by": "watched"}, SYSTEM),
    Case(422, "invalid_payload", PLAN, {"webinar_id": "scheduled", "min_watch": "101%"}, SYSTEM),
    Case(409, "lead_in_running_webinar", "core_lead_forget", {"lead_id": 7}, SYSTEM),
    Case(422, "invalid_payload", PLAN, {"webinar_id": "nowhere", "title": "New"}, SYSTEM),
    Case(422, "invalid_payload", PLAN, {"webinar_id": "nowhere", "scheduled_at": "2030-01-01T00:00:00Z"}, SYSTEM),
    Case(422, "invalid_payload", REGISTER, {"webinar_id": "live", "leads": [{"lead_id": 1}, {"lead_id": 0}]}, SYSTEM),
    Case(422, "invalid_payload", WITHDRAW, {"webinar_id": "live", "lead_ids": []}, SYSTEM),
    Case(413, "body_too_large", STATUS, msgspec.json.encode(status("stop")).ljust(MAX_BODY + 1), SPEAKER),
    Case(422, "invalid_payload", STATUS, {"status": "stop"}, SPEAKER),
    Case(422, "webinar_status_mutation_forbidden", STATUS, status("pause"), SPEAKER),
    Case(422, "webinar_status_mutation_forbidden", STATUS, status("finished"), SPEAKER),
    Case(422, "webinar_status_mutation_forbidden", STATUS, status(""), SPEAKER),
    Case(422, "webinar_status_mutation_forbidden", STATUS, status("Start"), SPEAKER),
]


async def running(site: Site) -> None:
    """Lead 7 is in the live webinar."""
    assert (await site.hook(ENTERED, entered(lead_id=7), "system")).status_code == 200


async def send(site: Site, case: Case) -> httpx.Response:
    body = case.payload if isinstance(case.payload, bytes) else msgspec.json.encode(case.payload)
    claims = dict(case.token or {})
    headers = {} if case.token is None else site.bearer(claims.pop("role"), claims.pop("webinar_id"), **claims)
    return await site.http.post(f"/hooks/{case.name}", content=body, headers=headers)


async def test_every_row_of_the_answer_table_is_a_problem_and_leaves_no_trace(stage: Site) -> None:
    await running(stage)
    before = await stage.everything()
    for case in REFUSALS:
        answer = await send(stage, case)
        problem = answer.json()
        expected = {
            "type": f"urn:room-server:problem:{case.code}",
            "title": PROBLEMS[case.code].title,
            "status": case.status,
            "code": case.code,
        }
        assert expected == {name: problem.get(name) for name in expected}, case
        assert (case.status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
        assert problem["detail"], case
        assert set(problem) <= {*expected, "detail", "field"}, case
        assert before == await stage.everything(), case


ORDER = {
    "name": "hook_unknown",
    "who": "unauthenticated",
    "internal": "hook_internal",
    "size": "body_too_large",
    "syntax": "malformed_body",
    "fields": "invalid_payload",
    "role": "forbidden_role",
    "scope": "forbidden_webinar",
    "lead": "forbidden_lead",
    "exists": "webinar_unknown",
    "state": "webinar_not_live",
}
"""What may be wrong with a request, in the order in which it is checked, and what that is answered."""


def flawed(site: Site, flaws: set[str]) -> httpx.Request:
    """The entering of a lead with all these flaws at once."""
    name = "client_webinar_left" if "name" in flaws else "post_webinar_route" if "internal" in flaws else ENTERED
    payload = entered("nowhere" if "exists" in flaws else "paused" if "state" in flaws else "live")
    if "fields" in flaws:
        payload["timestamp"] = "yesterday"
    body = msgspec.json.encode(payload)[: -1 if "syntax" in flaws else None]
    if "size" in flaws:
        body = body.ljust(MAX_BODY + 1)
    claims = {"sub": "43"} if "lead" in flaws else {}
    scope = "elsewhere" if "scope" in flaws else "*"
    headers = {} if "who" in flaws else site.bearer("moderator" if "role" in flaws else "attendee", scope, **claims)
    return site.http.build_request("POST", f"/hooks/{name}", content=body, headers=headers)


async def test_of_two_flaws_the_one_checked_first_is_answered(stage: Site) -> None:
    before = await stage.everything()
    expected, actual = {}, {}
    for pair in itertools.combinations_with_replacement(ORDER, 2):
        expected[pair] = ORDER[pair[0]]
        actual[pair] = (await stage.http.send(flawed(stage, set(pair)))).json()["code"]
    assert expected == actual
    assert before == await stage.everything()


async def test_a_request_without_flaws_is_accepted(stage: Site) -> None:
    answer = await stage.http.send(flawed(stage, set()))
    assert answer.json() == {"webinar_id": "live", "duplicate": False, "lead_id": LEAD}


FIELDS = [
    ("webinar_id", ENTERED, {"lead_id": LEAD, "timestamp": 1}),
    ("webinar_id", ENTERED, {**entered(), "webinar_id": 5}),
    ("webinar_id", ENTERED, entered("")),
    ("webinar_id", ENTERED, entered("a" * 65)),
    ("webinar_id", ENTERED, entered("a b")),
    ("webinar_id", ENTERED, entered("live\n")),
    ("webinar_id", ENTERED, entered("вебинар")),
    ("lead_id", ENTERED, {"webinar_id": "live", "timestamp": 1}),
    ("lead_id", ENTERED, entered(lead_id=0)),
    ("lead_id", ENTERED, entered(lead_id=-1)),
    ("lead_id", ENTERED, entered(lead_id=2**53)),
    ("lead_id", ENTERED, entered(lead_id="042")),
    ("lead_id", ENTERED, entered(lead_id=42.0)),
    ("lead_id", ENTERED, entered(lead_id=True)),
    ("lead_id", ENTERED, entered(lead_id=None)),
    ("timestamp", ENTERED, {"webinar_id": "live", "lead_id": LEAD}),
    ("timestamp", ENTERED, entered(timestamp="yesterday")),
    ("timestamp", ENTERED, entered(timestamp="2026-11-22T18:00:00")),
    ("timestamp", ENTERED, entered(timestamp=-1)),
    ("timestamp", ENTERED, entered(timestamp=2**44)),
    ("timestamp", ENTERED, entered(timestamp=None)),
    ("session_id", ENTERED, entered(session_id="s" * 201)),
    ("session_id", ENTERED, entered(session_id=5)),
    ("completed_at", COMPLETED, {"webinar_id": "finished", "lead_id": LEAD}),
    ("webinar_type", COMPLETED, completed(webinar_type="auto")),
    ("status", STATUS, {"webinar_id": "live"}),
    ("status", STATUS, {"webinar_id": "live", "status": 1}),
    ("status", STATUS, {"webinar_id": "live", "status": None}),
    ("status", STATUS, status("pause")),
    ("context", STATUS, {**status("stop"), "context": []}),
    ("context.source", STATUS, {**status("stop"), "context": {"source": 5}}),
    ("context.actor_id", STATUS, {**status("stop"), "context": {"actor_id": "a" * 201}}),
    ("context.timestamp", STATUS, {**status("stop"), "context": {"timestamp": "now"}}),
    ("visible", CTA, {"webinar_id": "live"}),
    ("visible", CTA, {"webinar_id": "live", "visible": 1}),
    ("visible", CTA, {"webinar_id": "live", "visible": "true"}),
]


async def test_a_wrong_field_is_named(stage: Site) -> None:
    before = await stage.everything()
    expected, actual = [], []
    for field, name, payload in FIELDS:
        answer = await send(stage, Case(422, "", name, payload, ATTENDEE if name in {ENTERED, COMPLETED} else SPEAKER))
        expected.append((payload, 422, field))
        actual.append((payload, answer.status_code, answer.json().get("field")))
    assert expected == actual
    assert before == await stage.everything()


def entering(text: bytes) -> bytes:
    """A whole body with one more field, which nobody reads."""
    return b'{"webinar_id":"live","lead_id":42,"timestamp":1,"more":' + text + b"}"


MALFORMED = {
    "white space": b" \n\t ",
    "a byte order mark": b"\xef\xbb\xbf" + entering(b"1"),
    "UTF-16": entering(b"1").decode().encode("utf-16"),
    "two values": entering(b"1") * 2,
    "a NUL behind": entering(b"1") + b"\0",
    "a trailing comma": entering(b"1,"),
    "single quotes": entering(b"'1'"),
    "a comment": entering(b"1/**/"),
    "NaN": entering(b"NaN"),
    "-Infinity": entering(b"-Infinity"),
    "NaN for a time": b'{"webinar_id":"live","lead_id":42,"timestamp":NaN}',
    "a leading zero": entering(b"01"),
    "a lone high surrogate": entering(rb'"\ud800"'),
    "a lone low surrogate": entering(rb'"\udc00"'),
    "a lone surrogate in the id": rb'{"webinar_id":"\ud800","lead_id":42,"timestamp":1}',
    "a lone surrogate in the session": rb'{"webinar_id":"live","lead_id":42,"timestamp":1,"session_id":"\udfff"}',
    "invalid UTF-8": entering(b'"\xff"'),
    "overlong UTF-8": entering(b'"\xc0\x80"'),
    "a surrogate as UTF-8": entering(b'"\xed\xa0\x80"'),
    "invalid UTF-8 in a name": entering(b'1,"\xff":1'),
    "invalid UTF-8 in the session": b'{"webinar_id":"live","lead_id":42,"timestamp":1,"session_id":"\xff"}',
    "a control character": entering(b'"\n"'),
    "an unknown escape": entering(rb'"\x41"'),
    "a wrong field, then an end too early": b'{"webinar_id":5,"lead_id":42,',
    "a wrong field, then rubbish": b'{"webinar_id":5,"lead_id":42,"timestamp":1} x',
    "a missing field, then rubbish": b'{"webinar_id":"live"} x',
    "deep arrays without an end": entering(b"[" * 16000)[:-1],
}


async def test_what_is_no_json_object_is_malformed_whatever_its_fields_say(stage: Site) -> None:
    before = await stage.everything()
    answers = {
        what: (await send(stage, Case(400, "", ENTERED, body, ATTENDEE))).json()["code"]
        for what, body in MALFORMED.items()
    }
    assert dict.fromkeys(MALFORMED, "malformed_body") == answers
    assert before == await stage.everything()


async def test_deeply_nested_json_is_a_problem_of_its_sender(stage: Site) -> None:
    for text in (b"[" * 8000 + b"]" * 8000, b'{"a":' * 2500 + b"1" + b"}" * 2500):
        answer = await send(stage, Case(400, "", ENTERED, entering(text), ATTENDEE))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert (await send(stage, Case(200, "", ENTERED, entered(), ATTENDEE))).status_code == 200


HUGE = {
    "more digits than an integer": (b'"lead_id":1' + b"0" * 400, "lead_id"),
    "2**64": (b'"lead_id":18446744073709551616', "lead_id"),
    "a float out of range": (b'"lead_id":1,"timestamp":1e999', "timestamp"),
}


async def test_a_number_too_large_names_its_field(stage: Site) -> None:
    for what, (text, field) in HUGE.items():
        body = b'{"webinar_id":"live","timestamp":1,' + text + b"}"
        answer = await send(stage, Case(422, "", ENTERED, body, ATTENDEE))
        assert (answer.json()["code"], answer.json()["field"]) == ("invalid_payload", field), what
