"""The attendance report: one row per lead that is on the roster or entered, with the status of its messages."""

from collections import Counter, defaultdict
from datetime import datetime

from msgspec import Struct

from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus, MessageKind, Route
from room_server.core.room import Participation, RosterEntry
from room_server.state import roster
from room_server.state.bulk_reads import hash_slices
from room_server.state.outbox import Outbox
from room_server.state.records import PARTICIPATION
from room_server.state.store import Store


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


class Summary(Struct, frozen=True, kw_only=True):
    """The totals of a webinar; `leads` counts those that are on the roster or entered."""

    leads: int
    entered: int
    completed: int
    classified: int
    attended: int
    messages: dict[str, dict[str, int]]
    """Kind -> status -> number of messages."""


async def attendance(store: Store, webinar_id: str) -> list[AttendanceRow]:
    """All rows, by lead id. Records that cannot be read are logged and left out. Raises StateUnavailable."""
    entries = {entry.lead_id: entry async for entry in roster.entries(store, webinar_id)}
    known: dict[int, Participation] = {}
    async for found in hash_slices(store, store.keys.participations(webinar_id)):
        records = (store.records.readable(PARTICIPATION, raw, f"a lead of {webinar_id}") for raw in found.values())
        known.update({one.lead_id: one for one in records if one is not None})
    messages: defaultdict[int, dict[MessageKind, Delivery]] = defaultdict(dict)
    async for stored in Outbox(store).deliveries(webinar_id):
        messages[stored.delivery.lead_id][stored.delivery.kind] = stored.delivery
    return [
        _row(entries.get(lead) or RosterEntry(lead_id=lead), known.get(lead), messages.get(lead, {}))
        for lead in sorted(entries.keys() | known.keys())
    ]


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


def _row(entry: RosterEntry, known: Participation | None, messages: dict[MessageKind, Delivery]) -> AttendanceRow:
    part = known or Participation(lead_id=entry.lead_id)
    return AttendanceRow(
        lead_id=entry.lead_id,
        name=entry.name or part.name or "",
        entered_at=part.entered_at,
        completed_at=part.completed_at,
        attended=part.attended,
        route=part.route,
        messages=[
            MessageRow(kind, messages[kind].status, messages[kind].at or part.classified_at, messages[kind].error)
            for kind in MessageKind
            if kind in messages
        ],
    )
