"""GET /monitor/counts over real HTTP."""

import asyncio
import secrets
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.room import RosterEntry, Status
from room_server.core.site_delivery import Receiver
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from tests.outage import own_redis
from tests.site.sending import known
from tests.support import PATIENCE, Site, eventually, next_state, room, serving, settings_for


async def counts(site: Site, role: str = "monitor", scope: str = "*") -> dict[str, Any]:
    someone = site.bearer(role, scope, sub=secrets.token_hex(4))  # who asks often is slowed down
    answer = await site.http.get("/monitor/counts", headers=someone)
    assert answer.status_code == 200
    counted: dict[str, Any] = answer.json()
    return counted


@pytest.mark.parametrize(
    ("role", "status"),
    [("organizer", 200), ("speaker", 200), ("system", 200), ("monitor", 200), ("moderator", 403), ("attendee", 403),
     ("guest", 403)],
)  # fmt: skip
async def test_counts_are_for_those_who_may_read_them(site: Site, role: str, status: int) -> None:
    answer = await site.http.get("/monitor/counts", headers=site.bearer(role, "*"))
    assert answer.status_code == status


async def test_sockets_of_all_processes_are_summed_by_room_and_role(site: Site) -> None:
    await site.transactions.create(room())
    async with serving(site.settings) as other, site.socket() as one, other.socket("speaker") as two:
        await next_state(one)
        await next_state(two)

        async def summed() -> bool:
            return bool((await counts(site))["total"] == 2)

        await eventually(summed, "both sockets are counted")
        counted = await counts(other)
        assert [(one["webinar_id"], one["status"], one["total"], one["roles"]) for one in counted["rooms"]] == [
            ("w", "scheduled", 2, {"attendee": 1, "speaker": 1})
        ]
        assert [(node["kind"], node["total"]) for node in counted["nodes"]] == [("web", 1), ("web", 1)]

    async def gone() -> bool:
        return bool((await counts(site))["total"] == 0)

    await eventually(gone, "nobody is counted any more")


async def test_a_token_for_one_webinar_gets_that_room_only_and_a_total_of_it(site: Site) -> None:
    for name in ("w", "other"):
        await site.transactions.create(room(name, status=Status.LIVE))
    async with site.socket() as one, site.socket(webinar_id="other") as two, site.socket(claims={"sub": "2"}) as three:
        for socket in (one, two, three):
            await next_state(socket)

        async def all_counted() -> bool:
            return seen(await counts(site)) == (3, {"other": 1, "w": 2})

        await eventually(all_counted, "all three are counted")
        assert seen(await counts(site, "speaker", "w")) == (2, {"w": 2})
        assert seen(await counts(site, "speaker", "other")) == (1, {"other": 1})
        assert seen(await counts(site, "speaker", "nowhere")) == (0, {})


def seen(counted: dict[str, Any]) -> tuple[int, dict[str, int]]:
    """The total, and that of each room."""
    return counted["total"], {one["webinar_id"]: one["total"] for one in counted["rooms"]}


async def test_hooks_are_counted_by_their_answer(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")
    await site.status("start")
    await site.hook("core_webinar_set_status", {"webinar_id": "w", "status": "start"}, "attendee")

    async def told() -> bool:
        return bool((await counts(site))["hooks"] == {"forbidden_role": 1, "ok": 2})

    await eventually(told, "two hooks were accepted and one refused")


async def test_a_pending_evaluation_shows_its_progress(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    await roster.import_roster(site.store, "w", [RosterEntry(lead_id=number) for number in (1, 2)], False)
    await site.status("stop")
    (one,) = (await counts(site))["rooms"]
    assert (one["status"], one["evaluation"]["done"], one["evaluation"]["total"]) == ("finished", 0, 2)

    await Evaluations(site.transactions).run_pending("w")

    async def over() -> bool:
        return not (await counts(site))["rooms"]

    await eventually(over, "the finished room is shown no more")
    assert (await counts(site))["deliveries"] == {"no_chat": 6}


async def test_a_webinar_that_is_over_has_its_outcome(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    for lead in (1, 2, 3):
        await site.entered(lead)
    assert (await counts(site))["rooms"][0]["outcome"] is None
    await site.status("stop")
    await site.completed(1)
    await site.store.call("HINCRBY", site.store.keys.tally("w"), "clicked", 1)

    async def counted() -> bool:
        return bool((await counts(site))["rooms"][0]["outcome"] == {"entered": 3, "stayed": 1, "clicked": 1})

    await eventually(counted, "the outcome is that of its leads")


async def test_rooms_without_anybody_are_shown_while_they_are_on_air(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE, on_air_since=utc_now()))
    await site.transactions.create(replace(room("later"), status=Status.SCHEDULED))
    assert [one["webinar_id"] for one in (await counts(site))["rooms"]] == ["w"]


async def test_while_redis_is_away_all_callers_wait_for_one_attempt() -> None:
    async with own_redis() as server, serving(settings_for(server.url)) as site:
        server.freeze()
        asking = (site.http.get("/monitor/counts", headers=site.bearer("monitor", "*", sub=f"m{n}")) for n in range(12))
        async with asyncio.timeout(PATIENCE):  # one after the other would take twice as long
            answers = await asyncio.gather(*asking)
        server.thaw()

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "state_unavailable")}


async def test_receivers_of_the_events_are_told_to_who_may_see_everything(site: Site) -> None:
    await site.transactions.create(room())
    await known(site.store, "https://me:hunter2@site.example/events", failures=2)
    await site.status("start")
    (told,) = (await counts(site))["site_events"]

    assert {name: value for name, value in told.items() if name != "oldest_s"} == {
        "receiver": Receiver.of("https://site.example/events").label,
        "state": "waiting",
        "lag": 1,
        "parked": 0,
    }
    assert (await counts(site, "speaker", "w"))["site_events"] == []
