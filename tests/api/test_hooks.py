"""POST /hooks/{name} over real HTTP: what is accepted, and how it is answered. Refusals stand in test_refusals.py."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from room_server.api.hook_bodies import MAX_BODY, decode
from room_server.core.decision_types import Command, Evaluate
from room_server.core.room import Status
from tests.raw import connecting, request
from tests.support import OPERATOR, Site, room, serving, settings_for

STATUS, CTA = "core_webinar_set_status", "core_webinar_set_cta_visibility"
ENTERED, COMPLETED = "client_webinar_entered", "client_webinar_completed"
LEAD = 42
"""The lead of `Site.token`'s attendee."""


def status(word: str, webinar_id: str = "scheduled") -> dict[str, Any]:
    return {"webinar_id": webinar_id, "status": word}


def entered(webinar_id: str = "live", **more: Any) -> dict[str, Any]:
    return {"webinar_id": webinar_id, "lead_id": LEAD, "timestamp": 1, **more}


async def test_a_start_turns_a_scheduled_webinar_live(stage: Site) -> None:
    answer = await stage.status("start", "scheduled")
    expected = {
        "webinar_id": "scheduled",
        "duplicate": False,
        "status": "live",
        "version": 2,
        "cta_visibility": "hidden",
    }
    assert expected == answer.json()
    assert (
        answer.status_code,
        answer.headers["content-type"],
        answer.headers["cache-control"],
    ) == (200, "application/json", "no-store")


async def test_a_repeated_command_is_a_duplicate_and_changes_nothing(stage: Site) -> None:
    await stage.status("start", "scheduled")
    before = await stage.everything()
    answers = [
        await stage.status("start", "scheduled"),
        await stage.status("stop", "finished"),
        await stage.hook(CTA, {"webinar_id": "live", "visible": False}, "organizer"),
    ]
    expected = [
        {"webinar_id": "scheduled", "duplicate": True, "status": "live", "version": 2, "cta_visibility": "hidden"},
        {"webinar_id": "finished", "duplicate": True, "status": "finished", "version": 1, "cta_visibility": "hidden"},
        {"webinar_id": "live", "duplicate": True, "status": "live", "version": 1, "cta_visibility": "hidden"},
    ]
    assert expected == [answer.json() for answer in answers]
    assert before == await stage.everything()


async def test_a_cta_is_shown_and_hidden(stage: Site) -> None:
    shown = await stage.hook(CTA, {"webinar_id": "live", "visible": True}, "organizer")
    hidden = await stage.hook(CTA, {"webinar_id": "live", "visible": False})
    expected = [
        {"webinar_id": "live", "duplicate": False, "status": "live", "version": 2, "cta_visibility": "visible"},
        {"webinar_id": "live", "duplicate": False, "status": "live", "version": 3, "cta_visibility": "hidden"},
    ]
    assert expected == [shown.json(), hidden.json()]


async def test_a_lead_enters_once_and_completes_once(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")
    answers = [await site.entered(LEAD), await site.entered(LEAD)]
    await site.status("stop")
    answers += [await site.completed(LEAD), await site.completed(LEAD)]
    expected = [
        {"webinar_id": "w", "duplicate": False, "lead_id": LEAD},
        {"webinar_id": "w", "duplicate": True, "lead_id": LEAD},
        {"webinar_id": "w", "duplicate": False, "lead_id": LEAD, "attended": True},
        {"webinar_id": "w", "duplicate": True, "lead_id": LEAD, "attended": True},
    ]
    assert expected == [answer.json() for answer in answers]


async def test_a_completion_after_the_classification_answers_what_is_stored(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")
    await site.entered(LEAD)
    await site.status("stop")
    await site.transactions.apply(Command(id="evaluation", actor=OPERATOR, hook=Evaluate("w", LEAD)))
    answer = await site.completed(LEAD)
    assert answer.json() == {"webinar_id": "w", "duplicate": True, "lead_id": LEAD, "attended": False}


async def test_the_system_speaks_for_any_lead(stage: Site) -> None:
    answers = [await stage.hook(ENTERED, entered(lead_id=lead), "system") for lead in (1, 2**53 - 1)]
    expected = [{"webinar_id": "live", "duplicate": False, "lead_id": lead} for lead in (1, 2**53 - 1)]
    assert expected == [answer.json() for answer in answers]


TIMES = [0, 1, 1700000000.5, "2026-11-22T18:00:00Z", "2026-11-22T18:00:00.123456+03:00", "0001-01-01T00:00:00+23:59"]


async def test_a_claimed_time_is_unix_seconds_or_rfc_3339(stage: Site) -> None:
    answers = [
        await stage.hook(ENTERED, entered(lead_id=number, timestamp=claimed), "system")
        for number, claimed in enumerate(TIMES, start=1)
    ]
    assert [200] * len(TIMES) == [answer.status_code for answer in answers]


async def test_unknown_fields_are_ignored(stage: Site) -> None:
    payload = {**status("start"), "role": "organizer", "context": {"who": {"deep": [1]}}, "x": [{}]}
    assert (await stage.hook(STATUS, payload)).status_code == 200


async def test_a_huge_number_in_the_context_decides_nothing(stage: Site) -> None:
    body = b'{"webinar_id":"scheduled","status":"start","context":{"actor_id":1' + b"0" * 400 + b"}}"
    assert (await stage.hook(STATUS, body, scope="*")).status_code == 200


async def test_of_a_field_that_is_there_twice_the_last_counts(stage: Site) -> None:
    body = b'{"webinar_id":"nowhere","webinar_id":"scheduled","status":"start"}'
    assert (await stage.hook(STATUS, body, scope="*")).json()["webinar_id"] == "scheduled"


async def test_a_body_may_have_16_kib(stage: Site) -> None:
    for size in (MAX_BODY - 1, MAX_BODY):
        body = msgspec.json.encode(status("start")).ljust(size)
        assert (await stage.hook(STATUS, body, scope="*")).status_code == 200


async def test_a_chunked_body_is_read_to_its_end(stage: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in msgspec.json.encode(status("start")):
            yield bytes([byte])

    answer = await stage.http.post(f"/hooks/{STATUS}", content=chunks(), headers=stage.bearer("speaker", "*"))
    assert answer.json()["status"] == "live"


async def test_a_chunked_body_that_grows_too_large_is_refused_before_its_end(stage: Site) -> None:
    async with connecting(stage) as raw:
        headers = {"Transfer-Encoding": "chunked", **stage.bearer("speaker", "*")}
        head = request(stage, f"/hooks/{STATUS}", "POST", headers)
        await raw.send(head, *[b"1000\r\n" + b" " * 4096 + b"\r\n"] * 5)
        assert (await raw.answer()).code == "body_too_large"


async def test_a_declared_length_too_large_is_refused_before_the_body_comes(stage: Site) -> None:
    async with connecting(stage) as raw:
        headers = {"Content-Length": str(MAX_BODY + 1), "Expect": "100-continue", **stage.bearer("speaker", "*")}
        await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers))
        assert ((answer := await raw.answer()).status, answer.code) == (413, "body_too_large")


async def test_100_continue_is_sent_when_all_checks_before_the_body_pass(stage: Site) -> None:
    async with connecting(stage) as raw:
        body = msgspec.json.encode(status("start"))
        headers = {"Content-Length": str(len(body)), "Expect": "100-continue", **stage.bearer("speaker", "*")}
        await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers))
        assert (await raw.answer()).status == 100
        await raw.send(body)
        assert (await raw.answer()).status == 200


async def test_a_length_shorter_than_the_body_makes_the_body_malformed(stage: Site) -> None:
    body = msgspec.json.encode(status("start"))
    async with connecting(stage) as raw:
        headers = {"Content-Length": str(len(body) - 5), **stage.bearer("speaker", "*")}
        await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers, body))
        assert (await raw.answer()).code == "malformed_body"
    assert (await stage.state(webinar_id="scheduled")).json()["version"] == 1


async def test_a_length_that_is_no_number_is_a_malformed_request(stage: Site) -> None:
    for length in ("-1", "1e3", "0x10", "9" * 30, "abc", "5, 5"):
        async with connecting(stage) as raw:
            headers = {"Content-Length": length, **stage.bearer("speaker", "*")}
            await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers))
            assert ((answer := await raw.answer()).status, answer.code) == (400, "malformed_request"), length


async def test_a_length_beside_chunks_is_a_malformed_request(stage: Site) -> None:
    """RFC 9112, 6.3: otherwise two servers may see two different requests."""
    async with connecting(stage) as raw:
        headers = {"Content-Length": "5", "Transfer-Encoding": "chunked", **stage.bearer("speaker", "*")}
        await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers, b"0\r\n\r\n"))
        assert (await raw.answer()).status == 400


async def test_too_many_hooks_are_refused_with_retry_after(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_hooks_per_person=1)) as site:
        await site.transactions.create(room())
        answers = [await site.status("stop") for _ in range(3)]
        other = await site.hook(STATUS, status("stop", "w"), "speaker", sub="another speaker")
        assert [answer.status_code for answer in answers] == [409, 409, 429]
        assert (answers[2].json()["code"], answers[2].headers["retry-after"]) == ("too_many_requests", "1")
        assert other.status_code == 409


async def test_the_system_may_send_as_often_as_it_must(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_hooks_per_person=1)) as site:
        await site.transactions.create(room(status=Status.LIVE))
        answers = [await site.hook(ENTERED, entered("w", lead_id=lead), "system") for lead in range(1, 20)]
        assert {200} == {answer.status_code for answer in answers}


async def test_a_body_that_breaks_off_is_nothing(stage: Site) -> None:
    before = await stage.everything()
    async with connecting(stage) as raw:
        body = msgspec.json.encode(status("start"))
        headers = {"Content-Length": str(len(body) + 1), **stage.bearer("speaker", "*")}
        await raw.send(request(stage, f"/hooks/{STATUS}", "POST", headers, body))
        raw.writer.write_eof()
        assert await raw.rest() == b""
    assert before == await stage.everything()


async def test_simultaneous_repeats_of_one_entering_count_once(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    answers = await asyncio.gather(*(site.entered(LEAD) for _ in range(20)))
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 19
    assert await site.raw.hget(site.store.keys.tally("w"), "entered") == b"1"


def test_a_decoded_hook_equals_what_was_sent() -> None:
    hook = decode(COMPLETED, b'{"webinar_id":"finished","lead_id":42,"completed_at":1,"session_id":"s","x":[]}')
    expected = {
        "webinar_id": "finished",
        "lead_id": LEAD,
        "completed_at": 1,
        "session_id": "s",
        "webinar_type": "live",
    }
    assert expected == msgspec.structs.asdict(hook)


async def test_a_lead_id_of_digits_and_times_in_milliseconds_are_the_same_lead_and_as_they_were(site: Site) -> None:
    """Sites in PHP and JavaScript send them so."""
    await site.transactions.create(room(status=Status.LIVE))
    payload = {"webinar_id": "w", "lead_id": "42", "timestamp": 1_795_373_000_250}
    first = await site.hook("client_webinar_entered", payload, "attendee")
    again = await site.hook("client_webinar_entered", {**payload, "lead_id": 42}, "attendee")

    assert (first.status_code, first.json()["lead_id"], first.json()["duplicate"]) == (200, 42, False)
    assert again.json()["duplicate"]
    other = await site.hook("client_webinar_entered", {**payload, "lead_id": "43"}, "attendee")
    assert other.json()["code"] == "forbidden_lead"
