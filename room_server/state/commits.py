"""A decided change as one record (`Commit`), which `commit.lua` writes if the records are still those decided on."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.decision_types import Change, Facts
from room_server.core.messages import INBOUND, NAMES, URGENT, Actor, DeliveryStatus, Entered, Event, Message
from room_server.core.room import Room, Status, public_text
from room_server.ids import new_id
from room_server.state.keys import Keys
from room_server.state.records import Loaded
from room_server.telemetry.tracing import request_id

logger = logging.getLogger(__name__)

DONE_SECONDS = 60
"""How long the id of a commit is kept: longer than a command is retried after a lost reply."""

_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()


class RoomWrite(Struct, frozen=True, kw_only=True):
    """The room, if the change has a new one."""

    stamp: str
    """`epoch:version`."""
    record: str
    """The whole room, JSON."""
    public: str
    """The room state that attendees get, JSON; stored and published."""
    scheduled_at: int
    """Unix ms."""
    unlisted: bool
    archived_at: int | None
    """Unix ms by this process's clock, if the room is archived."""


class EventWrite(Struct, frozen=True):
    """An event to append: the name of the hook, its payload as JSON, and who sent it.

    `id` names the fact for good: `hook:webinar:lead`, or `hook:webinar:epoch.version` of what happened to the room.
    `actor`: JSON with `role` and `subject`; empty for what the server itself emits.
    """

    id: str
    hook: str
    payload: str
    actor: str


class MessageWrite(Struct, frozen=True):
    """A message to store: its field in the webinar's `deliveries`, its status, and the message as JSON."""

    field: str
    status: DeliveryStatus
    record: str
    urgent: bool
    """Whether it goes before the others."""


class ScheduleWrite(Struct, frozen=True):
    """An announcement that comes to the schedule, and when it is due, Unix ms."""

    name: str
    at: int


class Commit(Struct, frozen=True, kw_only=True):
    """What `commit.lua` writes, and the stamp that it compares. None: not written.

    Every text is `str`, because Redis' msgpack has no binary strings.
    """

    webinar_id: str
    lead: str
    """The lead's id; empty for a change of the room alone."""
    expected_stamp: str
    """The stored room must have it; empty: there must be no such webinar."""
    compares_entry: bool
    """Whether the roster entry must be unchanged: it must if there are messages, whose chats it names."""
    needs_slots: bool
    """Whether the lead must still have been seen: all that is known of it, unless it was erased meanwhile."""
    room: RoomWrite | None
    participation: str | None
    recording: str | None
    """A recording that was named after the room was archived, JSON."""
    evaluation_in: int | None
    """Milliseconds from now, by the clock in Redis: clocks of hosts may differ."""
    events: list[EventWrite]
    messages: list[MessageWrite]
    drops: list[str]
    """Announcements that leave the schedule."""
    adds: list[ScheduleWrite]
    counters: list[str]
    """Fields of the webinar's `tally` to increment."""
    request_id: str
    """Id of the request that caused the change; empty if the server itself did."""


def is_empty(before: Facts, change: Change) -> bool:
    """Whether the change changes no record."""
    return (
        change.room is before.room and change.participation is before.participation and change.named_recording is None
    )


def commit_of(loaded: Loaded, change: Change, evaluation_in: timedelta | None) -> Commit:
    """The commit of a change that was decided on `loaded`. `evaluation_in`: time until the leads are evaluated."""
    before = loaded.facts
    writes_participation = change.participation is not before.participation
    return Commit(
        webinar_id=loaded.target.webinar_id,
        lead=loaded.target.lead,
        expected_stamp=_stamp(before.room) if before.room else "",
        compares_entry=bool(change.messages),
        needs_slots=writes_participation
        and bool(before.slots)
        and before.participation is None
        and before.entry is None,
        room=None if change.room is before.room else _room(change.room),
        participation=_json(change.participation) if writes_participation else None,
        recording=None if change.named_recording is None else _json(change.named_recording),
        evaluation_in=None if evaluation_in is None else round(evaluation_in / timedelta(milliseconds=1)),
        events=[_event(event, change) for event in change.events],
        messages=[_message(message) for message in change.messages],
        drops=list(change.schedule.drop),
        adds=[ScheduleWrite(name, unix_ms(at)) for name, at in change.schedule.add],
        counters=list(_counters(before, change)),
        request_id=request_id.get(),
    )


def arguments(keys: Keys, loaded: Loaded, commit: Commit) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of `commit.lua`, with a new commit id: however often they are sent, they are executed once."""
    names = keys.of_commit(commit.webinar_id, new_id())
    encode = _MSGPACK.encode
    return list(names.values()), [
        *(DONE_SECONDS, encode(list(names)), encode(commit)),
        *(loaded.participation, loaded.entry),
    ]


def log_change(room: Room, actor: Actor | None) -> None:
    """Log which request changed the room, and whose. `channels.receipts` logs its frames by epoch and version."""
    if request_id.get():
        facts = {"webinar": room.webinar_id, "epoch": room.epoch, "version": room.version, "status": room.status.value}
        if actor is not None:
            facts["actor"] = actor.person
        logger.info("room changed", extra={"facts": facts})


def field(message: Message) -> str:
    """The message's field in its webinar's `deliveries`."""
    return f"{message.lead_id}:{message.name}"


def unix_ms(at: datetime) -> int:
    """Unix milliseconds."""
    return round(at.timestamp() * 1000)


def _room(room: Room) -> RoomWrite:
    return RoomWrite(
        stamp=_stamp(room),
        record=_json(replace(room, request_id=request_id.get())),
        public=public_text(room).decode(),
        scheduled_at=unix_ms(room.scheduled_at),
        unlisted=room.unlisted,
        archived_at=unix_ms(utc_now()) if room.status is Status.ARCHIVED else None,
    )


def _event(event: Event, change: Change) -> EventWrite:
    name, actor, room = NAMES[type(event)], change.actor, change.room
    sender = _json({"role": actor.role, "subject": actor.subject}) if actor and name in INBOUND else ""
    subject = getattr(event, "lead_id", f"{room.epoch}.{room.version}")
    return EventWrite(f"{name}:{event.webinar_id}:{subject}", name, _json(event), sender)


def _json(value: Any) -> str:
    return _JSON.encode(value).decode()


def _stamp(room: Room) -> str:
    return f"{room.epoch}:{room.version}"


def _message(message: Message) -> MessageWrite:
    record = _json(replace(message, request_id=request_id.get()))
    return MessageWrite(field(message), message.status, record, message.name in URGENT)


def _counters(before: Facts, change: Change) -> Iterator[str]:
    if any(isinstance(event, Entered) for event in change.events):
        yield "entered"
    known, after = before.participation, change.participation
    if after is not None and after.cta_clicked_at is not None and (known is None or known.cta_clicked_at is None):
        yield "clicked"
    if after is not None and after.attended is not None and (known is None or known.attended is None):
        yield "classified"
        if after.attended:
            yield "attended"
