"""The report of a webinar: every number of it beside what was done."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from room_server.clock import utc_now
from room_server.core.attendance_rule import AttendedBy
from room_server.core.messages import MessageKind
from room_server.core.room import Participation, Room, RosterEntry, Span, Status, Stretch
from room_server.core.watch_time import span
from room_server.errors import Unknown
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.store import Store
from room_server.state.watch import Broadcast, add
from room_server.webinar_report import Mark, Report, marks, report
from tests.support import AT, room, transactions

MINUTE = 60_000
BEGIN = AT - timedelta(hours=1)


def over(**more: Any) -> Room:
    """Ten minutes on air with a pause after four, the CTA shown from the sixth to the eighth."""
    fields: dict[str, Any] = {
        "status": Status.FINISHED,
        "started_at": BEGIN,
        "finished_at": AT,
        "on_air_ms": 10 * MINUTE,
        "stretches": (Stretch(0, BEGIN), Stretch(4 * MINUTE, BEGIN + timedelta(minutes=30))),
        "cta_shown": (Span(6 * MINUTE, 8 * MINUTE),),
        **more,
    }
    return room(**fields)


async def took_part(store: Store, *known: Participation) -> None:
    """What these leads did."""
    for one in known:
        await store.call("HSET", store.keys.participations("w"), one.lead_id, msgspec.json.encode(one))


async def test_every_number_is_that_of_its_leads(any_store: Store) -> None:
    """1, 2, 3 are registered; 2 came, stayed and clicked; 3 came late; 4 came without being registered and left."""
    await transactions(any_store).create(over())
    await roster.import_roster(any_store, "w", [RosterEntry(lead_id=lead) for lead in (1, 2, 3)], replace=False)
    await took_part(
        any_store,
        Participation(lead_id=2, entered_at=BEGIN, completed_at=AT, attended=True, cta_clicked_at=AT),
        Participation(lead_id=3, entered_at=BEGIN, attended=False),
        Participation(lead_id=4, entered_at=BEGIN),
    )
    seen = {2: span(0, 10 * MINUTE), 3: span(7 * MINUTE, 10 * MINUTE), 4: span(0, MINUTE)}
    await add(any_store, Broadcast("w", BEGIN), seen)

    made = await report(any_store, "w")
    assert (made.webinar_id, made.status, made.on_air_ms) == ("w", Status.FINISHED, 10 * MINUTE)
    assert (made.registered, made.entered, made.attended, made.not_attended, made.pending) == (3, 3, 1, 1, 2)
    assert (made.peak, len(made.audience)) == (2, 120)
    assert [made.audience[at].leads for at in (0, 11, 12, 83, 84, 119)] == [2, 2, 1, 1, 2, 2]
    assert (made.watched.p50_s, made.watched.p90_s) == (180, 600)
    assert made.watched.shares == (0, 1, 0, 1, 0, 0, 0, 0, 0, 1)
    assert (made.cta.shown_s, made.cta.saw, made.cta.clicked) == (120, 2, 1)
    assert made.marks == [Mark(240, "pause"), Mark(360, "cta_shown"), Mark(480, "cta_hidden")]
    assert (made.rule.attended_by, made.rule.min_watch) == (AttendedBy.COMPLETED, None)


async def test_messages_are_counted_by_kind_and_status(store: Store) -> None:
    await transactions(store).create(over())
    leads = [RosterEntry(lead_id=1, candidate_chat_id=1), RosterEntry(lead_id=2)]
    await roster.import_roster(store, "w", leads, replace=False)
    await Evaluations(transactions(store)).run_pending("w")

    made = await report(store, "w")
    assert made.messages == {
        MessageKind.ATTENDANCE: {"no_chat": 2},
        MessageKind.FOLLOW_UP: {"no_chat": 1, "queued": 1},
        MessageKind.RECORDING: {"held": 1, "no_chat": 1},
    }
    assert (made.not_attended, made.pending) == (2, 0)


async def test_a_webinar_that_has_not_begun_is_a_report_of_zeros(store: Store) -> None:
    await transactions(store).create(room())
    await roster.import_roster(store, "w", [RosterEntry(lead_id=1)], replace=False)

    made = await report(store, "w")
    assert (made.registered, made.pending, made.entered, made.peak, made.on_air_ms) == (1, 1, 0, 0, 0)
    assert (made.audience, made.messages, made.marks) == ([], {}, [])


async def test_a_live_report_leaves_out_what_is_not_confirmed_yet(store: Store) -> None:
    began = utc_now() - timedelta(minutes=5)
    await transactions(store).create(room(status=Status.LIVE, started_at=began, on_air_since=began))
    made = await report(store, "w")

    assert made.on_air_ms >= 5 * MINUTE
    assert 4 * MINUTE <= made.audience[-1].at_s * 1000 <= made.on_air_ms - 35_000


async def test_there_is_no_report_of_what_is_not_there(store: Store) -> None:
    with pytest.raises(Unknown):
        await report(store, "nowhere")


def test_what_is_still_shown_at_the_end_is_not_hidden_before() -> None:
    assert marks(over(cta_shown=(Span(6 * MINUTE),), stretches=()), 10 * MINUTE) == [Mark(360, "cta_shown")]


def test_a_report_is_json_of_these_fields() -> None:
    """The names that docs/interfaces.md promises."""
    assert Report.__struct_fields__ == (
        *("webinar_id", "status", "registered", "entered", "attended", "not_attended", "pending", "peak", "on_air_ms"),
        *("audience", "watched", "cta", "messages", "marks", "rule"),
    )
