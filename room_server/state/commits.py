"""A decided change as the keys and arguments of `commit.lua`, which documents their order."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.decision_types import Change, Facts
from room_server.core.messages import NAMES, Completed, DeliveryStatus, Entered, Message
from room_server.core.room import Room, Status, public_text
from room_server.ids import new_id
from room_server.state.keys import Keys
from room_server.state.redis.pipeline import flat
from room_server.telemetry.tracing import request_id

logger = logging.getLogger(__name__)

DONE_SECONDS = 60
"""How long a commit's id is kept: longer than anyone asks again after a lost reply."""
WAKING = frozenset({DeliveryStatus.QUEUED})
"""Fates of new messages that the sender is woken for."""

_JSON = msgspec.json.Encoder()


class Commit(Struct, frozen=True, kw_only=True):
    """A change, what it was decided on, and the bytes that stood for it."""

    webinar_id: str
    lead: str
    before: Facts
    participation: bytes
    entry: bytes
    change: Change
    grace: float


def is_empty(before: Facts, change: Change) -> bool:
    """Whether there is nothing to write."""
    return (
        change.room is before.room and change.participation is before.participation and change.named_recording is None
    )


def arguments(keys: Keys, plan: Commit) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of one commit, under an id of its own."""
    return _keys(keys, plan.webinar_id), [*_compared(plan), *_appended(plan)]


def _keys(keys: Keys, webinar_id: str) -> list[str]:
    tag = keys.tag(webinar_id)
    return [
        keys.done(webinar_id, new_id()),
        keys.room(webinar_id),
        keys.participations(webinar_id),
        keys.roster(webinar_id),
        keys.events(tag),
        keys.outbox(tag),
        keys.deliveries(webinar_id),
        keys.evaluations(tag),
        keys.webinars(tag),
        keys.tally(webinar_id),
        keys.channel(tag),
        keys.fates(tag),
        keys.archived(tag),
        keys.clock(tag),
    ]


def _compared(plan: Commit) -> list[Any]:
    before, change = plan.before, plan.change
    room_changes = change.room is not before.room
    participation_changes = change.participation is not before.participation
    return [
        DONE_SECONDS,
        _stamp(before.room),
        _stamp(change.room) if room_changes else "",
        _JSON.encode(replace(change.room, request_id=request_id.get())) if room_changes else "",
        public_text(change.room) if room_changes else "",
        unix_ms(change.room.scheduled_at),
        plan.lead,
        plan.participation,
        _JSON.encode(change.participation) if participation_changes else "",
        "1" if change.messages else "0",
        plan.entry,
        _due(plan),
        request_id.get(),
        "" if change.named_recording is None else _JSON.encode(change.named_recording),
        unix_ms(utc_now()) if change.room.status is Status.ARCHIVED else "",
    ]


def _due(plan: Commit) -> int | str:
    """In how many milliseconds: the moment itself is by Redis' clock, since another host looks when it has come."""
    finished_at = plan.change.room.finished_at
    if not plan.change.arm_evaluation or finished_at is None:
        return ""
    left = finished_at + timedelta(seconds=plan.grace) - utc_now()
    return max(0, round(left.total_seconds() * 1000))


def _appended(plan: Commit) -> list[Any]:
    change = plan.change
    events = [(NAMES[type(event)], _JSON.encode(event)) for event in change.events]
    asked_by = request_id.get()
    signed = [replace(message, request_id=asked_by) for message in change.messages]
    messages = [(field(message), _JSON.encode(message), _wakes(message)) for message in signed]
    return [*flat(events), *flat(messages), *flat([(name,) for name in _counters(plan)])]


def log_change(room: Room) -> None:
    """A line that joins the request, if there was one, to the frames that tell its change: see channels.receipts."""
    if request_id.get():
        told = {"webinar": room.webinar_id, "epoch": room.epoch, "version": room.version, "status": room.status.value}
        logger.info("room changed", extra={"facts": told})


def _counters(plan: Commit) -> Iterator[str]:
    before, after = plan.before.participation, plan.change.participation
    for event in plan.change.events:
        if isinstance(event, Entered):
            yield "entered"
        elif isinstance(event, Completed):
            yield "completed"
    if after is not None and after.attended is not None and (before is None or before.attended is None):
        yield "classified"
        if after.attended:
            yield "attended"


def field(message: Message) -> str:
    """Where a message stands in its webinar's `deliveries`."""
    return f"{message.lead_id}:{message.kind}"


def _wakes(message: Message) -> str:
    return "1" if message.status in WAKING else "0"


def _stamp(room: Room | None) -> str:
    return f"{room.epoch}:{room.version}" if room else ""


def unix_ms(at: datetime) -> int:
    """Unix milliseconds."""
    return round(at.timestamp() * 1000)
