"""The REST room state, which is the socket's frame byte for byte, and the public schedule."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from room_server.api.rooms import SCHEDULE_SECONDS
from room_server.core.messages import Role
from room_server.core.room import Room, Status, Visibility
from room_server.jobs.evaluation import Evaluations
from tests.raw import connecting, in_room, request
from tests.support import AT, Site, eventually, next_state, renew, room, serving, settings_for, transactions

CTA = {"cta_label": "Join", "cta_url": "https://example.com/join"}
ADDRESSES = {"player_url": "https://example.com/player", "recording_url": "https://example.com/recording", **CTA}


@pytest.fixture
async def open_site(valkey_url: str) -> AsyncIterator[Site]:
    """A site without limits on reading."""
    async with serving(settings_for(valkey_url, max_reads_per_person=0)) as site:
        yield site


async def make_all(site: Site, **more: Any) -> dict[str, Room]:
    """One webinar in each state, named after it."""
    return {
        status.value: await site.transactions.create(room(status.value, status=status, **more)) for status in Status
    }


async def test_the_answer_is_the_whole_public_state_byte_for_byte(site: Site) -> None:
    await site.transactions.create(room(epoch="k3v9", description="D", **ADDRESSES))
    await site.status("start")
    await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
    answer = await site.state()
    started_at = answer.json()["started_at"]
    expected = {
        "type": "state",
        "webinar_id": "w",
        "epoch": "k3v9",
        "version": 3,
        "status": "live",
        "title": "Webinar",
        "description": "D",
        "scheduled_at": f"{AT:%FT%TZ}",
        "started_at": started_at,
        "finished_at": None,
        "on_air_ms": 0,
        "on_air_since": started_at,
        "cta": {"visibility": "visible", "label": "Join", "url": "https://example.com/join"},
        "player_url": "https://example.com/player",
        "recording_url": None,
        "cancelled_at": None,
    }
    headers = {name: answer.headers[name] for name in ("etag", "cache-control", "content-type", "vary")}
    assert list(answer.json().items()) == list(expected.items())
    assert headers == {
        "etag": '"k3v9.3"',
        "cache-control": "private, no-cache",
        "content-type": "application/json",
        "vary": "Authorization",
    }


async def test_a_hidden_cta_a_player_and_a_recording_are_shown_in_their_time_only(open_site: Site) -> None:
    await make_all(open_site, **ADDRESSES)
    states = {status: (await open_site.state(webinar_id=status)).json() for status in Status}
    hidden = {"visibility": "hidden", "label": None, "url": None}
    assert [state["cta"] for state in states.values()] == [hidden] * len(Status)
    assert {status for status, state in states.items() if state["player_url"]} == {Status.LIVE, Status.PAUSED}
    assert {status for status, state in states.items() if state["recording_url"]} == {Status.FINISHED, Status.ARCHIVED}


async def test_the_answer_is_the_sockets_frame_byte_for_byte(site: Site) -> None:
    await site.transactions.create(room(title="Вебинар ✓", description="\u2028</script>", **ADDRESSES))
    async with in_room(site) as raw:
        assert (await raw.frame()).payload == (await site.state("attendee")).content
        await site.status("start")
        assert (await raw.frame()).payload == (await site.state("attendee")).content


async def test_a_known_state_is_not_sent_again(open_site: Site) -> None:
    await transactions(open_site.store).create(room(epoch="e"))
    tag = (await open_site.state()).headers["etag"]
    known = [tag, f"W/{tag}", f'"a", {tag} , "b"', f'W/"a",W/{tag}', "*", f'"a,b",{tag}']
    answers = [await open_site.state(**{"If-None-Match": value}) for value in known]
    assert [(answer.status_code, answer.content, answer.headers["etag"]) for answer in answers] == [
        (304, b"", tag)
    ] * len(known)
    unknown = ['"e.2"', '"*"', "e.1", '"e.1', "W/", "", '"x", "y"']
    answers = [await open_site.state(**{"If-None-Match": value}) for value in unknown]
    assert [answer.status_code for answer in answers] == [200] * len(unknown)


async def test_known_states_may_stand_in_several_headers(site: Site) -> None:
    await site.transactions.create(room(epoch="e"))
    headers = [*site.bearer().items(), ("If-None-Match", '"x"'), ("If-None-Match", '"e.1"')]
    assert (await site.http.get("/rooms/w/state", headers=headers)).status_code == 304


async def test_a_change_makes_a_new_tag(site: Site) -> None:
    await site.transactions.create(room())
    tag = (await site.state()).headers["etag"]
    await site.status("start")
    changed = await site.state(**{"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "live")
    await renew(site.store, "w")
    assert (await site.state(**{"If-None-Match": changed.headers["etag"]})).status_code == 200


async def test_head_has_the_same_headers_and_no_body(site: Site) -> None:
    await site.transactions.create(room())
    got = await site.state()
    headed = await site.http.head("/rooms/w/state", headers=site.bearer())
    names = ("etag", "content-length", "cache-control", "content-type")
    assert (headed.status_code, headed.content) == (200, b"")
    assert [headed.headers[name] for name in names] == [got.headers[name] for name in names]


METHODS = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL"]


async def test_every_other_method_is_a_forbidden_mutation(site: Site) -> None:
    await site.transactions.create(room())
    before = await site.everything()
    for method in METHODS:
        for headers in ({}, site.bearer("organizer")):
            answer = await site.http.request(method, "/rooms/w/state", headers=headers, content=b'{"status":"live"}')
            told = (answer.status_code, answer.headers["allow"], answer.json()["code"], answer.json()["status"])
            assert told == (405, "GET, HEAD", "webinar_status_mutation_forbidden", 405), method
    assert await site.everything() == before


READERS = {Role.ORGANIZER, Role.SPEAKER, Role.MODERATOR, Role.ATTENDEE, Role.SYSTEM}


async def test_every_role_reads_every_status_or_gets_the_refusal_of_the_table(open_site: Site) -> None:
    await make_all(open_site)
    expected, actual = {}, {}
    for role in Role:
        for status in Status:
            hidden = role is Role.ATTENDEE and status is Status.DRAFT
            allowed = (404, "webinar_unknown") if hidden else (200, None)
            expected[role, status] = allowed if role in READERS else (403, "forbidden_role")
            answer = await open_site.state(role, status)
            actual[role, status] = (answer.status_code, answer.json().get("code"))
    assert actual == expected


async def test_a_draft_answers_an_attendee_as_if_it_were_not_there(site: Site) -> None:
    await site.transactions.create(room("draft", status=Status.DRAFT, epoch="e"))
    draft = await site.state("attendee", "draft", **{"If-None-Match": '"e.1"'})
    nothing = await site.state("attendee", "nowhere")
    assert draft.json() | {"detail": ""} == nothing.json() | {"detail": ""}
    assert draft.headers.get("etag") is None


async def test_a_caller_who_may_not_read_gets_the_reason(site: Site) -> None:
    await site.transactions.create(room())
    before = await site.everything()
    answers = [
        await site.http.get("/rooms/w/state"),
        await site.http.get("/rooms/w/state", headers={"Authorization": "Bearer x"}),
        await site.http.get("/rooms/nowhere/state", headers=site.bearer("guest", "w")),
        await site.http.get("/rooms/nowhere/state", headers=site.bearer("speaker", "w")),
        await site.http.get("/rooms/nowhere/state", headers=site.bearer("speaker", "*")),
        await site.http.get("/rooms/%D0%BA%20%00/state", headers=site.bearer("speaker", "*")),
        await site.http.get("/rooms//state", headers=site.bearer("speaker", "*")),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "unauthenticated"),
        (401, "unauthenticated"),
        (403, "forbidden_role"),
        (403, "forbidden_webinar"),
        (404, "webinar_unknown"),
        (404, "webinar_unknown"),
        (404, "not_found"),
    ]
    assert await site.everything() == before


async def test_a_refusal_to_read_is_not_kept_by_caches(site: Site) -> None:
    assert (await site.state(webinar_id="nowhere")).headers["cache-control"] == "no-store"


async def test_too_many_reads_are_refused_with_retry_after(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=1)) as site:
        await site.transactions.create(room())
        answers = [await site.state("attendee") for _ in range(5)]
        other = await site.http.get("/rooms/w/state", headers=site.bearer("attendee", sub="43"))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert (answers[-1].json()["code"], answers[-1].headers["retry-after"]) == ("too_many_requests", "1")
    assert other.status_code == 200


async def me(site: Site, webinar_id: str = "w", **claims: Any) -> httpx.Response:
    """The attendee's own `/me`."""
    return await site.http.get(f"/rooms/{webinar_id}/me", headers=site.bearer("attendee", webinar_id, **claims))


async def test_an_attendee_reads_what_is_stored_of_it_to_the_letter(site: Site) -> None:
    await site.transactions.create(room())
    stranger = {
        "webinar_id": "w",
        "lead_id": 42,
        "entered_at": None,
        "completed_at": None,
        "attended": None,
        "watched_s": 0,
        "telegram": {"connected": False, "url": None},
    }
    assert list((await me(site)).json().items()) == list(stranger.items())

    await site.status("start")
    await site.entered(42)
    here = (await me(site)).json()
    assert here == stranger | {"entered_at": here["entered_at"]}
    assert datetime.fromisoformat(here["entered_at"]).tzinfo is not None

    await site.status("stop")
    await site.completed(42)
    stayed = (await me(site)).json()
    assert stayed == here | {"completed_at": stayed["completed_at"], "attended": True}
    assert stayed["completed_at"] is not None
    assert (await me(site, sub="43")).json() == stranger | {"lead_id": 43}


async def test_an_attendee_sees_that_it_was_not_counted(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")
    await site.entered(42)
    await site.status("stop")
    await Evaluations(site.transactions).run_pending("w")
    late = (await site.completed(42)).json()
    assert (late["attended"], (await me(site)).json()["attended"]) == (False, False)


async def test_ones_own_standing_is_kept_by_no_cache_and_is_of_no_draft(site: Site) -> None:
    await site.transactions.create(room())
    await site.transactions.create(room("draft", status=Status.DRAFT))
    answer = await me(site)
    told = (answer.headers["cache-control"], answer.headers["vary"], answer.headers["content-type"])
    assert told == ("private, no-store", "Authorization", "application/json")
    for webinar_id in ("draft", "nowhere"):
        unknown = await me(site, webinar_id)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "webinar_unknown")


async def test_state_and_standing_are_throttled_together(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=1)) as site:
        await site.transactions.create(room())
        answers = [(await site.state("attendee")).status_code for _ in range(4)]
        refused = await me(site)
    assert answers == [200] * 4
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (
        429,
        "too_many_requests",
        "1",
    )


async def test_reading_changes_nothing(site: Site) -> None:
    await site.transactions.create(room())
    before = await site.everything()
    await site.state()
    await me(site)
    await site.http.get("/webinars")
    assert await site.everything() == before


async def test_the_schedule_lists_all_but_drafts_the_latest_first(site: Site) -> None:
    for days, status in enumerate(Status):
        times = {"scheduled_at": AT + timedelta(days=days), "cta_visibility": Visibility.VISIBLE}
        await site.transactions.create(room(status.value, status=status, title=status.value, **times, **ADDRESSES))
    answer = await site.http.get("/webinars")
    assert [webinar["webinar_id"] for webinar in answer.json()["webinars"]] == [
        "archived",
        "finished",
        "paused",
        "live",
        "scheduled",
    ]
    assert answer.json()["webinars"][-1] == {
        "webinar_id": "scheduled",
        "title": "scheduled",
        "description": "",
        "status": "scheduled",
        "scheduled_at": f"{AT + timedelta(days=1):%FT%TZ}",
        "started_at": None,
        "finished_at": None,
        "cancelled_at": None,
    }
    assert "example.com" not in answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/json", "no-cache")


async def test_an_unlisted_webinar_is_not_on_the_schedule_and_lets_in_who_has_a_link(site: Site) -> None:
    await site.transactions.create(room("rehearsal", unlisted=True))
    await site.transactions.create(room("w"))

    shown = (await site.http.get("/webinars")).json()["webinars"]

    assert [webinar["webinar_id"] for webinar in shown] == ["w"]
    assert (await site.state("attendee", "rehearsal")).json()["webinar_id"] == "rehearsal"
    async with site.socket("attendee", "rehearsal") as socket:
        assert (await next_state(socket))["webinar_id"] == "rehearsal"


async def test_the_schedule_follows_what_happens(site: Site) -> None:
    assert (await site.http.get("/webinars")).json() == {"webinars": []}
    await site.transactions.create(room())

    async def shown() -> Any:
        return (await site.http.get("/webinars")).json()["webinars"]

    assert [webinar["webinar_id"] for webinar in await eventually(shown, "the webinar is listed")] == ["w"]


async def reads(site: Site) -> int:
    """How often the list of webinars was read since the server's statistics began."""
    stats: dict[str, Any] = await site.raw.info("commandstats")
    return int(stats.get("cmdstat_zrevrange", {"calls": 0})["calls"])


async def test_many_readers_of_the_schedule_cause_one_read(site: Site) -> None:
    await site.transactions.create(room())
    before, began = await reads(site), time.monotonic()
    answers = await asyncio.gather(*(site.http.get("/webinars") for _ in range(50)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert await reads(site) - before <= 1 + (time.monotonic() - began) / SCHEDULE_SECONDS  # as long as an answer keeps


async def test_the_schedule_cannot_be_written(site: Site) -> None:
    async with connecting(site) as raw:
        await raw.send(request(site, "/webinars", "POST", body=b"{}"))
        answer = await raw.answer()
    assert (answer.status, answer.code, set(answer.headers["allow"].split(", "))) == (
        405,
        "method_not_allowed",
        {"GET", "HEAD"},
    )


async def test_the_schedule_holds_no_address(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE, **ADDRESSES))
    (shown,) = (await site.http.get("/webinars")).json()["webinars"]
    assert set(shown) == {
        "webinar_id",
        "title",
        "description",
        "status",
        "scheduled_at",
        "started_at",
        "finished_at",
        "cancelled_at",
    }


async def test_a_room_that_cannot_be_read_is_refused_and_no_other_is(open_site: Site) -> None:
    for name in ("w", "other"):
        await transactions(open_site.store).create(room(name, status=Status.LIVE))
    (text,) = await open_site.store.public_texts(["w"])
    key = open_site.store.keys.room("w")
    await open_site.raw.hset(key, "public", (text or b"").replace(b'"live"', b'"of a newer version"'))
    refused, read = await open_site.state(), await open_site.state(webinar_id="other")
    listed = await open_site.http.get("/webinars")
    counted = await open_site.http.get("/monitor/counts", headers=open_site.bearer("monitor", "*"))
    measured = await open_site.http.get("/metrics")

    assert (refused.status_code, refused.json()["code"]) == (503, "state_unavailable")
    assert "the state of w cannot be read by this version" in refused.json()["detail"]
    assert [answer.status_code for answer in (read, listed, counted, measured)] == [200] * 4
    assert [one["webinar_id"] for one in listed.json()["webinars"]] == ["other"]
    assert [one["webinar_id"] for one in counted.json()["rooms"]] == ["other"]
    assert 'room_server_webinars{status="live"} 1.0' in measured.text
