"""The report of a webinar: how many registered, came, stayed and clicked, and how many were there when."""

import asyncio
from collections import Counter, defaultdict
from typing import Literal

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core import broadcast, watch_time
from room_server.core.attendance_rule import AttendedBy
from room_server.core.audience import Audience, Point, WatchTimes
from room_server.core.messages import DeliveryStatus, MessageKind, WebinarId
from room_server.core.room import Room, Status
from room_server.errors import webinar_unknown
from room_server.state.bulk_reads import hash_fields, hash_slices
from room_server.state.records import PARTICIPATION
from room_server.state.store import Store

UNCONFIRMED_MS = 35_000
"""The end of a live webinar that the curve leaves out: a socket is heard every 25 s, and stored some seconds later."""


class Mark(Struct, frozen=True):
    """Something that happened on air."""

    at_s: int
    kind: Literal["pause", "cta_shown", "cta_hidden"]


class Cta(Struct, frozen=True):
    """For how long the call to action was shown on air, how many leads were there then, and how many clicked it."""

    shown_s: int
    saw: int
    clicked: int


class Rule(Struct, frozen=True):
    """By what a lead counts as attended."""

    attended_by: AttendedBy
    min_watch: str | None


class Report(Struct, frozen=True, kw_only=True):
    """What became of a webinar, or becomes of it while it is live. `pending` leads are not classified yet."""

    webinar_id: WebinarId
    status: Status
    registered: int
    entered: int
    attended: int
    not_attended: int
    pending: int
    peak: int
    """The most leads that were there at once."""
    on_air_ms: int
    audience: list[Point]
    watched: WatchTimes
    cta: Cta
    messages: dict[str, dict[str, int]]
    """Kind -> status -> number of messages."""
    marks: list[Mark]
    rule: Rule


class People(Struct):
    """The leads that are registered or did something, and what they did."""

    known: set[bytes]
    registered: int = 0
    entered: int = 0
    attended: int = 0
    not_attended: int = 0
    clicked: int = 0


class Progress(Struct, frozen=True):
    """The fields of a delivery that the report counts."""

    kind: MessageKind
    status: DeliveryStatus


_PROGRESS = msgspec.json.Decoder(Progress)


async def report(store: Store, webinar_id: str) -> Report:
    """The report as of now. Records that cannot be read are left out. Raises Unknown, StateUnavailable."""
    room = (await store.load(webinar_id)).room
    if room is None:
        raise webinar_unknown(webinar_id)
    on_air_ms = room.on_air_ms_at(utc_now())
    people, (audience, saw), messages = await asyncio.gather(
        _people(store, webinar_id), _audience(store, room, on_air_ms), _messages(store, webinar_id)
    )
    shown_ms = sum(until_ms - from_ms for from_ms, until_ms in broadcast.cta_spans(room, on_air_ms))
    is_live = room.status in {Status.LIVE, Status.PAUSED}
    return Report(
        webinar_id=webinar_id,
        status=room.status,
        registered=people.registered,
        entered=people.entered,
        attended=people.attended,
        not_attended=people.not_attended,
        pending=len(people.known) - people.attended - people.not_attended,
        peak=audience.peak(),
        on_air_ms=on_air_ms,
        audience=audience.curve(on_air_ms - UNCONFIRMED_MS if is_live else on_air_ms),
        watched=audience.watch_times(),
        cta=Cta(shown_ms // 1000, saw, people.clicked),
        messages=messages,
        marks=marks(room, on_air_ms),
        rule=Rule(room.attended_by, room.min_watch),
    )


def marks(room: Room, on_air_ms: int) -> list[Mark]:
    """What happened on air, in order. The end is none: it is where the time on air ends."""
    found = [Mark(at_ms // 1000, "pause") for at_ms in broadcast.pauses(room)]
    for from_ms, until_ms in broadcast.cta_spans(room, on_air_ms):
        found.append(Mark(from_ms // 1000, "cta_shown"))
        if until_ms < on_air_ms:
            found.append(Mark(until_ms // 1000, "cta_hidden"))
    return sorted(found, key=lambda mark: mark.at_s)


async def _people(store: Store, webinar_id: str) -> People:
    people = People(set())
    async for names in hash_fields(store, store.keys.roster(webinar_id)):
        people.known.update(names)
    people.registered = len(people.known)
    counted: set[bytes] = set()  # one may come twice
    async for found in hash_slices(store, store.keys.participations(webinar_id)):
        for lead, raw in found.items():
            known = store.records.readable(PARTICIPATION, raw, f"a lead of {webinar_id}")
            if known is None or lead in counted:
                continue
            counted.add(lead)
            if known.entered_at is not None or known.attended is not None:  # else it only clicked
                people.known.add(lead)
            people.entered += known.entered_at is not None
            people.attended += known.attended is True
            people.not_attended += known.attended is False
            people.clicked += known.cta_clicked_at is not None
    return people


async def _audience(store: Store, room: Room, on_air_ms: int) -> tuple[Audience, int]:
    """Who was there, and how many of them were while the CTA was shown."""
    audience, shown, saw = Audience(on_air_ms), broadcast.cta_slots(room, on_air_ms), 0
    counted: set[bytes] = set()
    async for found in hash_slices(store, store.keys.watch(room.webinar_id)):
        for lead, bitmap in found.items():
            if lead not in counted:
                counted.add(lead)
                slots = watch_time.from_bytes(bitmap)
                audience.add(slots)
                saw += bool(watch_time.within(slots, on_air_ms) & shown)
    return audience, saw


async def _messages(store: Store, webinar_id: str) -> dict[str, dict[str, int]]:
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seen: set[bytes] = set()
    async for found in hash_slices(store, store.keys.deliveries(webinar_id)):
        for field, raw in found.items():
            delivery = store.records.readable(_PROGRESS, raw, f"a message of {webinar_id}")
            if delivery is not None and field not in seen:
                seen.add(field)
                counted[delivery.kind][delivery.status] += 1
    return {kind: dict(sorted(statuses.items())) for kind, statuses in sorted(counted.items())}
