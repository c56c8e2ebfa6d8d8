"""Who came: what is told of each lead, and the numbers of all."""

import csv
import io
from collections.abc import AsyncIterator

import msgspec
import pytest

from room_server import attendance_report
from room_server.attendance_report import AttendanceRow, Summary
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Participation, RosterEntry, Stretch
from room_server.core.watch_time import Segment, span
from room_server.state import roster
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.store import Store
from room_server.state.watch import Broadcast, add
from tests.core import builders
from tests.core.builders import WEBINAR, complete, enter, evaluate, stop
from tests.state.acts import done, prepare
from tests.support import transactions


async def after(store: Store) -> list[AttendanceRow]:
    """Three on the roster and one beside it; one of each sort that there is."""
    await prepare(store, "live")
    people = [
        RosterEntry(lead_id=30, name="Came", partner_chat_id=900, candidate_chat_id=1),
        RosterEntry(lead_id=20, name="Left", candidate_chat_id=2),
        RosterEntry(lead_id=10, name="Never"),
    ]
    await roster.import_roster(store, WEBINAR, people, replace=False)
    for lead in (30, 20, 40):
        await done(store, enter(lead))
    await done(store, stop())
    await done(store, complete(30))
    await done(store, evaluate(20))
    return await attendance_report.attendance(store, WEBINAR)


async def test_a_line_holds_what_the_design_says_and_nothing_else(store: Store) -> None:
    lines = {line.lead_id: msgspec.to_builtins(line) for line in await after(store)}

    came = lines[30]
    times = [came["entered_at"], came["completed_at"], *(message["at"] for message in came["messages"])]
    assert list(lines) == [10, 20, 30, 40]
    assert came == {
        "lead_id": 30,
        "name": "Came",
        "entered_at": times[0],
        "completed_at": times[1],
        "attended": True,
        "route": "attended",
        "messages": [
            {"kind": "attendance", "status": "queued", "at": times[2], "error": None},
            {"kind": "follow_up", "status": "queued", "at": times[3], "error": None},
        ],
        "watched_s": 0,
        "watched_share": 0.0,
        "first_seen_at": None,
        "last_seen_at": None,
        "cta_clicked_at": None,
        "segment": "absent",
    }
    assert all(time.endswith("Z") for time in times)


async def test_a_lead_that_did_not_attend_has_a_third_message(store: Store) -> None:
    (left,) = [line for line in await after(store) if line.lead_id == 20]

    reported = [(message.kind.value, message.status.value) for message in left.messages]
    assert reported == [("attendance", "no_chat"), ("follow_up", "queued"), ("recording", "held")]
    assert (left.attended, left.route) == (False, "not_attended")


async def test_a_lead_that_is_not_classified_yet_has_no_classification(store: Store) -> None:
    lines = {line.lead_id: line for line in await after(store)}

    never, beside = lines[10], lines[40]
    assert (never.name, never.entered_at, never.attended, never.route, never.messages) == (
        "Never",
        None,
        None,
        None,
        [],
    )
    assert (beside.name, beside.entered_at is not None, beside.attended) == ("", True, None)


async def test_a_message_tells_when_and_why_it_ended(store: Store) -> None:
    await after(store)
    outbox = Outbox(store)
    stored = await outbox.load(WEBINAR, "30:follow_up")
    assert stored is not None
    ended = msgspec.structs.replace(
        stored.delivery, status=DeliveryStatus.UNDELIVERABLE, error="Forbidden", at=builders.NOW
    )
    await outbox.update(WEBINAR, stored, ended, FollowOn())

    (came,) = [line for line in await attendance_report.attendance(store, WEBINAR) if line.lead_id == 30]

    message = came.messages[1]
    assert (message.kind, message.status, message.at, message.error) == (
        MessageKind.FOLLOW_UP, DeliveryStatus.UNDELIVERABLE, builders.NOW, "Forbidden",
    )  # fmt: skip


async def test_a_lead_has_what_it_watched_and_when(store: Store) -> None:
    """Ten minutes on air; it was seen in the second and in the ninth."""
    begin, clicked = builders.at(-1800), builders.at(-1300)
    ended = builders.room("finished", stretches=(Stretch(0, begin),))
    await transactions(store).create(ended)
    await add(store, Broadcast(WEBINAR, begin), {5: span(60_000, 120_000) | span(480_000, 540_000)})
    known = Participation(lead_id=5, entered_at=begin, cta_clicked_at=clicked)
    await store.call("HSET", store.keys.participations(WEBINAR), 5, msgspec.json.encode(known))

    (row,) = await attendance_report.attendance(store, WEBINAR)
    watched = (row.watched_s, row.watched_share, row.first_seen_at, row.last_seen_at, row.cta_clicked_at, row.segment)
    assert watched == (120, 0.2, builders.at(-1740), builders.at(-1260), clicked, Segment.LEFT_EARLY)
    assert attendance_report.cells(row)[-6:] == list(watched)


async def test_the_summary_counts_them(store: Store) -> None:
    assert attendance_report.summary(await after(store)) == Summary(
        leads=4,
        entered=3,
        completed=1,
        classified=2,
        attended=1,
        messages={
            "attendance": {"queued": 1, "no_chat": 1},
            "follow_up": {"queued": 2},
            "recording": {"held": 1},
        },
    )


async def test_no_leads_are_an_empty_list(store: Store) -> None:
    await prepare(store, "live")

    lines = await attendance_report.attendance(store, WEBINAR)

    assert lines == []
    assert attendance_report.summary(lines) == Summary(
        leads=0, entered=0, completed=0, classified=0, attended=0, messages={}
    )


async def test_every_lead_of_a_large_roster_has_one_line(store: Store) -> None:
    await prepare(store, "live")
    await roster.import_roster(store, WEBINAR, [RosterEntry(lead_id=lead) for lead in range(1, 3001)], replace=False)

    assert [line.lead_id for line in await attendance_report.attendance(store, WEBINAR)] == list(range(1, 3001))


async def test_a_record_that_cannot_be_read_is_left_out_and_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await after(store)
    await store.call("HSET", store.keys.participations(WEBINAR), "40", b"{")
    await store.call("HSET", store.keys.roster(WEBINAR), "50", b'{"lead_id":50,"locale":"xx"}')
    await store.call("HSET", store.keys.roster(WEBINAR), "nobody", b"{}")

    assert [line.lead_id for line in await attendance_report.attendance(store, WEBINAR)] == [10, 20, 30]
    assert "a lead of demo cannot be read" in caplog.text
    assert "a roster entry of demo cannot be read" in caplog.text


async def name_in_csv(name: str) -> str:
    """What a spreadsheet reads of a lead's name."""

    async def parts() -> AsyncIterator[list[AttendanceRow]]:
        yield [line(name)]

    text = b"".join([part async for part in attendance_report.as_csv(parts())]).decode("utf-8-sig")
    row = next(csv.DictReader(io.StringIO(text, newline="")))
    return row["name"]


def line(name: str) -> AttendanceRow:
    return AttendanceRow(
        lead_id=1, name=name, entered_at=None, completed_at=None, attended=None, route=None, messages=[]
    )


@pytest.mark.parametrize(
    "name", ['"Анна", «Ко»', "two\nlines", "two\r\nlines", "a;b,c", '=""', 'quote"', "'", "  spaces  ", "🎉", "\\"]
)
async def test_a_name_is_read_as_it_was(name: str) -> None:
    read_name = await name_in_csv(name)

    assert read_name.removeprefix("'" if name.startswith("=") else "") == name


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+7 900",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1+1",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        '=HYPERLINK("x")',
    ],
)
async def test_no_name_runs_as_a_formula(name: str) -> None:
    read_name = await name_in_csv(name)

    assert read_name == f"'{name}"


@pytest.mark.parametrize("name", ["Anna", "a=b", "1-2", "x@y.org", "Жанна-Мария", "O'Hara", "(=)", ""])
async def test_an_ordinary_name_is_left_alone(name: str) -> None:
    read_name = await name_in_csv(name)

    assert read_name == name
