"""Who came: one line per lead of the roster or who entered, with what became of its messages."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
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
    """A message's fate; `error` says why it did not go."""

    kind: MessageKind
    status: DeliveryStatus
    at: datetime | None
    error: str | None


class AttendanceRow(Struct, frozen=True, kw_only=True):
    """One lead. Times are the server's clock, RFC 3339 UTC."""

    lead_id: int
    name: str
    entered_at: datetime | None
    completed_at: datetime | None
    attended: bool | None
    route: Route | None
    messages: list[MessageRow]


class Summary(Struct, frozen=True, kw_only=True):
    """A webinar's numbers: `leads` are those of the roster or who entered."""

    leads: int
    entered: int
    completed: int
    classified: int
    attended: int
    messages: dict[str, dict[str, int]]
    """Kind -> status -> how many."""


async def attendance(store: Store, webinar_id: str) -> list[AttendanceRow]:
    """All lines, by lead id. Raises StateUnavailable."""
    entries = {entry.lead_id: entry async for entry in roster.entries(store, webinar_id)}
    known = {part.lead_id: part async for part in participations(store, webinar_id)}
    messages: defaultdict[int, dict[MessageKind, Delivery]] = defaultdict(dict)
    async for held in Outbox(store).deliveries(webinar_id):
        messages[held.delivery.lead_id][held.delivery.kind] = held.delivery
    return [
        _line(entries.get(lead) or RosterEntry(lead_id=lead), known.get(lead), messages.get(lead, {}))
        for lead in sorted(entries.keys() | known.keys())
    ]


async def participations(store: Store, webinar_id: str) -> AsyncIterator[Participation]:
    """Whoever entered or was classified, in no order; one may come twice. Raises StateUnavailable.

    Records that cannot be read are left out.
    """
    async for found in hash_slices(store, store.keys.participations(webinar_id)):
        for raw in found.values():
            known = store.records.readable(PARTICIPATION, raw, f"a lead of {webinar_id}")
            if known is not None:
                yield known


def summary(lines: list[AttendanceRow]) -> Summary:
    """The numbers of these lines."""
    messages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        for message in line.messages:
            messages[message.kind][message.status] += 1
    return Summary(
        leads=len(lines),
        entered=sum(line.entered_at is not None for line in lines),
        completed=sum(line.completed_at is not None for line in lines),
        classified=sum(line.attended is not None for line in lines),
        attended=sum(line.attended is True for line in lines),
        messages={kind: dict(fates) for kind, fates in sorted(messages.items())},
    )


def _line(entry: RosterEntry, known: Participation | None, messages: dict[MessageKind, Delivery]) -> AttendanceRow:
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
