"""The site's own hooks over real HTTP: repeats, who did it, the end of a webinar, and a Redis that lost its replica."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from room_server.core.room import Status
from room_server.jobs.evaluation import Evaluations
from room_server.state.redis.retry import DEADLINE
from tests.replicas import healed, pair
from tests.support import AT, SLACK, Site, room, serving, settings_for
from tests.test_signed import webhook

NEW = {"webinar_id": "new", "title": "New", "scheduled_at": "2030-11-22T18:00:00+03:00"}


async def signed(site: Site, hook: str, payload: dict[str, Any], identity: str) -> dict[str, Any]:
    """The answer to a hook of the site's backend."""
    body = msgspec.json.encode(payload)
    answer = await site.http.post(f"/hooks/{hook}", content=body, headers=webhook(body, identity=identity))
    assert answer.status_code == 200, answer.text
    decoded: dict[str, Any] = answer.json()
    return decoded


async def test_a_remembered_request_gets_its_answer_and_a_new_one_what_stands(site: Site) -> None:
    created = [await signed(site, "core_webinar_plan", NEW, identity) for identity in ("1", "1", "2")]

    assert created[0] == {"webinar_id": "new", "duplicate": False, "created": True, "status": "scheduled", "version": 1}
    assert created[1] == created[0]
    assert created[2] == {**created[0], "duplicate": True, "created": False}


async def test_each_hook_is_answered_with_the_fields_of_the_contract(site: Site) -> None:
    await signed(site, "core_webinar_plan", NEW, "1")
    leads = [{"lead_id": 1, "name": "A"}, {"lead_id": "2"}]
    said = [
        await signed(site, "core_roster_register", {"webinar_id": "new", "leads": leads}, "2"),
        await signed(site, "core_roster_withdraw", {"webinar_id": "new", "lead_ids": [1, 9]}, "3"),
        await signed(site, "core_lead_forget", {"lead_id": 2}, "4"),
    ]
    cancelled = await signed(site, "core_webinar_cancel", {"webinar_id": "new", "silent": True}, "5")
    checked = await signed(site, "core_site_check", {"nonce": "n"}, "6")

    assert said == [
        {"webinar_id": "new", "duplicate": False, "added": 2, "updated": 0, "left_out": []},
        {"webinar_id": "new", "duplicate": False, "removed": [1], "kept": []},
        {"webinar_id": None, "duplicate": False, "lead_id": 2, "webinars": ["new"]},
    ]
    at = datetime.fromisoformat(cancelled.pop("cancelled_at"))
    assert at.tzinfo is not None
    assert cancelled == {"webinar_id": "new", "duplicate": False, "status": "scheduled", "version": 2}
    assert datetime.fromisoformat(checked["time"]) <= datetime.now(UTC)
    assert (checked["webinar_id"], checked["duplicate"], checked["receivers"]) == (None, False, [])


async def test_the_log_says_who_changed_the_room(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await signed(site, "core_webinar_plan", NEW, "1")
        await site.hook("core_webinar_cancel", {"webinar_id": "new"}, "system", sub="crm")
    facts = [vars(line)["facts"] for line in caplog.records if line.message == "room changed"]

    assert [fact["actor"] for fact in facts if fact["webinar"] == "new"] == ["system:webhook", "system:crm"]


async def test_a_lead_that_is_registered_after_the_end_is_evaluated(site: Site) -> None:
    await site.transactions.create(room(status=Status.FINISHED, started_at=AT, finished_at=AT))
    await signed(site, "core_roster_register", {"webinar_id": "w", "leads": [{"lead_id": 1}]}, "1")

    assert await Evaluations(site.transactions).run_pending("w") == 1


async def test_two_plans_at_once_are_answered_truly(site: Site) -> None:
    plans = [{**NEW, "title": title} for title in ("A", "B")]
    answers = await asyncio.gather(*(signed(site, "core_webinar_plan", one, one["title"]) for one in plans))
    stored = (await site.store.load("new")).room

    assert stored is not None
    assert sorted((answer["version"], answer["created"]) for answer in answers) == [(1, True), (2, False)]
    (last,) = [one["title"] for one, answer in zip(plans, answers, strict=True) if answer["version"] == 2]
    assert (stored.title, stored.version) == (last, 2)


async def test_without_its_replica_each_hook_is_refused_in_time_and_may_be_repeated() -> None:
    hooks: list[tuple[str, dict[str, Any]]] = [
        ("core_webinar_plan", NEW),
        ("core_webinar_pause", {"webinar_id": "live"}),
        ("core_webinar_archive", {"webinar_id": "over"}),
        ("core_webinar_cancel", {"webinar_id": "w"}),
        ("core_roster_register", {"webinar_id": "w", "leads": [{"lead_id": 1}]}),
        ("core_roster_withdraw", {"webinar_id": "w", "lead_ids": [2]}),
        ("core_lead_forget", {"lead_id": 3}),
        ("core_site_check", {"nonce": "n"}),
    ]
    async with pair() as servers, serving(settings_for(servers.primary.url, replicas=1)) as site:
        await site.transactions.create(room())
        await site.transactions.create(room("live", status=Status.LIVE, started_at=AT, on_air_since=AT))
        await site.transactions.create(room("over", status=Status.FINISHED, started_at=AT, finished_at=AT))
        servers.replica.freeze()
        began = time.monotonic()
        refused = await asyncio.gather(*(site.hook(*hook, "system", scope="*") for hook in hooks))
        took = time.monotonic() - began
        servers.replica.thaw()
        await healed(lambda: site.transactions.edit("w", lambda known: known))
        repeated = [await site.hook(*hook, "system", scope="*") for hook in hooks]

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "state_unavailable")] * 8
    assert took < 2 * DEADLINE + SLACK
    assert [answer.status_code for answer in repeated] == [200] * 8
