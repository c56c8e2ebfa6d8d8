"""Leads that are counted by the watch time that the server saw, once and by the evaluation alone."""

import pytest
from msgspec.structs import replace

from room_server.core.attendance_rule import AttendedBy
from room_server.core.decision_types import Command, Evaluate
from room_server.core.room import Participation, RosterEntry
from room_server.core.watch_time import span
from room_server.jobs.erasure import forget
from room_server.jobs.evaluation import ACTOR, Evaluations
from room_server.state import roster
from room_server.state.records import LeadRecords
from room_server.state.redis.pipeline import pairs
from room_server.state.watch import Broadcast, add
from tests.support import Site, room


@pytest.fixture
async def live(site: Site) -> Site:
    """A webinar that is live, and where who watched half of the time on air has attended."""
    await site.transactions.create(room(attended_by=AttendedBy.WATCHED, min_watch="50%"))
    await site.status("start")
    return site


async def ended(site: Site, seen: dict[int, int]) -> None:
    """The end after ten minutes on air, of which these leads were seen for so many milliseconds."""
    await site.status("stop")
    over = await site.transactions.edit("w", lambda known: replace(known, on_air_ms=600_000, version=known.version + 1))
    assert over.started_at is not None
    await add(site.store, Broadcast("w", over.started_at), {lead: span(0, lasted) for lead, lasted in seen.items()})


async def evaluated(site: Site) -> int:
    """How many leads the evaluation classified."""
    return await Evaluations(site.transactions).run_pending("w")


async def attended(site: Site, *leads: int) -> list[bool | None]:
    """The classification of these leads."""
    known = [(await site.store.load("w", lead)).participation or Participation(lead_id=lead) for lead in leads]
    return [one.attended for one in known]


async def test_leads_are_counted_by_what_they_watched_wherever_they_came_from(live: Site) -> None:
    """1, 2: on the roster; 3, 4: entered; 5, 6: neither, but seen; 7: on the roster and never there."""
    entries = [RosterEntry(lead_id=lead) for lead in (1, 2, 7)]
    await roster.import_roster(live.store, "w", entries, replace=False)
    for lead in (3, 4):
        await live.entered(lead)
    await ended(live, {1: 300_000, 2: 295_000, 3: 600_000, 4: 1, 5: 301_000, 6: 5000})

    assert await evaluated(live) == 7
    assert await attended(live, 1, 2, 3, 4, 5, 6, 7) == [True, False, True, False, True, False, False]
    assert await evaluated(live) == 0


async def test_a_completion_says_nothing_yet_and_decides_nothing_where_watch_time_does(live: Site) -> None:
    await live.entered(1)
    await live.entered(2)
    await ended(live, {1: 600_000, 2: 10_000})
    answers = [(await live.completed(lead)).json() for lead in (1, 1, 2)]
    early = await attended(live, 1, 2)
    await evaluated(live)

    assert [(answer["duplicate"], answer["attended"]) for answer in answers] == [
        (False, None),
        (True, None),
        (False, None),
    ]
    assert early == [None, None]
    assert await attended(live, 1, 2) == [True, False]
    late = (await live.completed(1)).json()
    assert (late["duplicate"], late["attended"]) == (True, True)


async def test_the_events_of_a_completion_are_the_same_and_each_comes_once(live: Site) -> None:
    await live.entered(1)
    await ended(live, {1: 600_000})
    await live.completed(1)
    await evaluated(live)
    await evaluated(live)
    entries = await live.store.call("XRANGE", live.store.keys.events(live.store.keys.tag("w")), "-", "+")
    names = [dict(pairs(values))[b"hook"].decode() for _, values in entries]

    assert names[-5:] == [
        "core_webinar_set_status",
        "client_webinar_completed",
        "webinar_completed",
        "client_webinar_attendance_classified",
        "post_webinar_route",
    ]


async def test_a_lead_that_was_only_seen_and_is_erased_meanwhile_does_not_come_back(live: Site) -> None:
    """The evaluation has read its slots before they are deleted."""
    await ended(live, {5: 600_000})
    facts = await live.store.load("w")
    assert facts.room is not None
    bitmap = await live.store.call("HGET", live.store.keys.watch("w"), 5)
    seen = live.store.with_records("w", facts, LeadRecords(b"5", b"", b"", bitmap))
    assert (await forget(live.store, 5)).participations == 0
    change = await live.transactions.apply(Command(id="c", actor=ACTOR, hook=Evaluate("w", 5)), seen)

    assert change.duplicate
    assert (await live.store.load("w", 5)).participation is None
