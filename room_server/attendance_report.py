"""The attendance report: one row per lead that is on the roster or entered, with the status of its messages.

Rows are read and written slice by slice, so a report of any length needs the memory of one slice and of the lead ids.
"""

import asyncio
import codecs
import csv
import io
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core import watch_time
from room_server.core.broadcast import Watched, watched
from room_server.core.delivery import Delivery
from room_server.core.messages import AFTER_THE_END, MESSAGE_NAMES, DeliveryStatus, MessageKind, Route
from room_server.core.room import Participation, RosterEntry
from room_server.core.watch_time import Segment
from room_server.errors import webinar_unknown
from room_server.state.bulk_reads import hash_fields
from room_server.state.records import DELIVERY, ENTRY, PARTICIPATION, ROOM
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SLICE = 200
"""Leads whose rows are read and written at once, about 6 ms of this process's time."""
COLUMNS = ["lead_id", "name", "entered_at", "completed_at", "attended", "route"]
MESSAGE_COLUMNS = ["status", "at", "error"]
WATCHED_COLUMNS = ["watched_s", "watched_share", "first_seen_at", "last_seen_at", "cta_clicked_at", "segment"]
HEADER = [*COLUMNS, *(f"{kind}_{what}" for kind in AFTER_THE_END for what in MESSAGE_COLUMNS), *WATCHED_COLUMNS]
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""What a spreadsheet would take for the beginning of a formula (OWASP, CSV Injection), also in its full-width form."""


class MessageRow(Struct, frozen=True):
    """One message of a lead; `error` says why it was not sent."""

    kind: MessageKind
    status: DeliveryStatus
    at: datetime | None
    error: str | None


class AttendanceRow(Struct, frozen=True, kw_only=True):
    """One lead. Times are the server's clock, UTC."""

    lead_id: int
    name: str
    entered_at: datetime | None
    completed_at: datetime | None
    attended: bool | None
    route: Route | None
    messages: list[MessageRow]
    watched_s: int = 0
    watched_share: float = 0.0
    """Of the time on air: 0 to 1."""
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    cta_clicked_at: datetime | None = None
    segment: Segment = Segment.ABSENT


class Summary(Struct, frozen=True, kw_only=True):
    """The totals of a webinar; `leads` counts those that are on the roster or entered."""

    leads: int
    entered: int
    completed: int
    classified: int
    attended: int
    messages: dict[str, dict[str, int]]
    """Kind -> status -> number of messages."""


async def lead_ids(store: Store, webinar_id: str) -> Sequence[int]:
    """The leads that are on the roster or entered, ascending. Raises StateUnavailable."""
    found: set[int] = set()

    async def collect(key: str) -> None:
        async for names in hash_fields(store, key):
            found.update(int(name) for name in names if name.isdigit())

    await asyncio.gather(collect(store.keys.roster(webinar_id)), collect(store.keys.participations(webinar_id)))
    return array("q", sorted(found))


async def rows_of(store: Store, webinar_id: str, leads: Sequence[int]) -> list[AttendanceRow]:
    """The rows of these leads, at least one, in their order; who is not known has none. Raises StateUnavailable.

    Records that cannot be read are logged and left out.
    """
    keys, records = store.keys, store.records
    fields = [f"{lead}:{name}" for lead in leads for name in MESSAGE_NAMES]
    asked = [
        *((keys.roster, leads), (keys.participations, leads), (keys.deliveries, fields), (keys.watch, leads)),
        (keys.room, ["record"]),
    ]
    async with deadline():
        replies = await store.call_all([("HMGET", key(webinar_id), *names) for key, names in asked])
    (record,), now = replies[4], utc_now()
    room = records.read(ROOM, record, f"the room of {webinar_id}") if record else None
    entries = [raw and records.readable(ENTRY, raw, f"a roster entry of {webinar_id}") for raw in replies[0]]
    known = [raw and records.readable(PARTICIPATION, raw, f"a lead of {webinar_id}") for raw in replies[1]]
    messages: defaultdict[int, list[Delivery]] = defaultdict(list)
    for raw in filter(None, replies[2]):
        delivery = records.readable(DELIVERY, raw, f"a message of {webinar_id}")
        if delivery is not None:
            messages[delivery.lead_id].append(delivery)
    found = zip(leads, entries, known, replies[3], strict=True)
    return [
        _row(
            entry or RosterEntry(lead_id=lead),
            part or Participation(lead_id=lead),
            messages[lead],
            watched(room, watch_time.from_bytes(bitmap or b""), now),
        )
        for lead, entry, part, bitmap in found
        if entry or (part and (part.entered_at or part.attended is not None))
    ]


async def slices(store: Store, webinar_id: str, leads: Sequence[int]) -> AsyncIterator[list[AttendanceRow]]:
    """The rows of these leads, SLICE leads at a time.

    Raises StateUnavailable, and Unknown if the webinar was deleted meanwhile: what was read is not the whole then.
    """
    for begin in range(0, len(leads), SLICE):
        yield await rows_of(store, webinar_id, leads[begin : begin + SLICE])
    if (await store.load(webinar_id)).room is None:
        raise webinar_unknown(webinar_id)


async def attendance(store: Store, webinar_id: str) -> list[AttendanceRow]:
    """All rows, by lead id. Raises as `slices` does."""
    leads = await lead_ids(store, webinar_id)
    return [row async for rows in slices(store, webinar_id, leads) for row in rows]


def summary(rows: list[AttendanceRow]) -> Summary:
    """The totals of these rows."""
    messages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for message in row.messages:
            messages[message.kind][message.status] += 1
    return Summary(
        leads=len(rows),
        entered=sum(row.entered_at is not None for row in rows),
        completed=sum(row.completed_at is not None for row in rows),
        classified=sum(row.attended is not None for row in rows),
        attended=sum(row.attended is True for row in rows),
        messages={kind: dict(counts) for kind, counts in sorted(messages.items())},
    )


async def as_csv(
    parts: AsyncIterable[list[AttendanceRow]], delimiter: str = ",", tz: ZoneInfo | None = None
) -> AsyncIterator[bytes]:
    """CSV that spreadsheets open well: UTF-8 with a byte order mark, nothing that runs as a formula.

    Times are RFC 3339 in UTC; with `tz` they are local and in the form that a spreadsheet takes for a time.
    """
    yield codecs.BOM_UTF8 + csv_lines([HEADER], delimiter, tz)
    async for rows in parts:
        yield csv_lines(map(cells, rows), delimiter, tz)


async def as_json(parts: AsyncIterable[list[AttendanceRow]]) -> AsyncIterator[bytes]:
    """A JSON array of the rows."""
    before = b"["
    async for rows in parts:
        if rows:
            yield before + msgspec.json.encode(rows)[1:-1]
            before = b","
    yield b"]" if before == b"," else b"[]"


def cells(row: AttendanceRow) -> list[Any]:
    """The values of a row, in the order of HEADER."""
    messages = {message.kind: message for message in row.messages}
    return [
        *(getattr(row, name) for name in COLUMNS),
        *(getattr(messages.get(kind), what, None) for kind in AFTER_THE_END for what in MESSAGE_COLUMNS),
        *(getattr(row, name) for name in WATCHED_COLUMNS),
    ]


def _row(entry: RosterEntry, part: Participation, messages: Sequence[Delivery], seen: Watched) -> AttendanceRow:
    return AttendanceRow(
        lead_id=entry.lead_id,
        name=entry.name or part.name or "",
        entered_at=part.entered_at,
        completed_at=part.completed_at,
        attended=part.attended,
        route=part.route,
        messages=[MessageRow(one.kind, one.status, one.at or _begun(one, part), one.error) for one in messages],
        watched_s=seen.watched_ms // 1000,
        watched_share=seen.share,
        first_seen_at=seen.first_at,
        last_seen_at=seen.last_at,
        cta_clicked_at=part.cta_clicked_at,
        segment=seen.segment,
    )


def _begun(message: Delivery, part: Participation) -> datetime | None:
    """When a message came to be that was not touched since."""
    return part.classified_at if message.kind in AFTER_THE_END else part.entered_at


def csv_lines(
    lines: Iterable[Sequence[Any]], delimiter: str, tz: ZoneInfo | None = None, *, end: str = "\r\n"
) -> bytes:
    """These lines as CSV (RFC 4180), each with this end; see `as_csv`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([_cell(value, tz) for value in line] for line in lines)
    return text.getvalue().encode(errors="replace")


def _cell(value: Any, tz: ZoneInfo | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(tz):%Y-%m-%d %H:%M:%S}" if tz else str(msgspec.to_builtins(value))
    return f"'{value}" if FORMULA.match(str(value)) else str(value)
