"""The delivery of one message: its states, and what moves it from one to the next, as tables and pure functions.

    held ◀─recording──▶ queued ◀──later──┐
                          │ claim        │
                          ▼              │
                       sending ──────────┴─▶ sent · dry_run · undeliverable · no_chat · opted_out · parked
                          │ outcome unknown
                          ▼
                       doubtful ──claim──▶ sending ──unknown again──▶ parked

A worker may send a message once the move to `sending`, with an owner and a lease, is durable; when it cannot know
whether the move is durable, it sends nothing and takes the claim back. Telegram has no idempotency key, so a message
whose outcome is unknown is tried once more at most; `doubts` counts that.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from room_server.core.announcements import ANNOUNCEMENTS, REMINDERS
from room_server.core.decision_types import Facts
from room_server.core.follow_ups import chat_of, first_status
from room_server.core.messages import AFTER_THE_END, MOMENTS, DeliveryStatus, Message, MessageKind
from room_server.core.room import Recording, RosterEntry

LEASE = timedelta(seconds=8)
"""After this time without an outcome a worker counts as dead; a request to Telegram must take less."""
MAX_ATTEMPTS = 40
"""Refused tries before a message is parked: more than two hours of an unreachable Telegram."""
MAX_BACK_OFF = 300.0
"""Most seconds between two tries."""
MAX_DOUBTS = 2
DOUBT_PAUSE = 2.0
"""Least seconds before a doubtful message is tried once more."""

CLAIMABLE = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.DOUBTFUL})
RETRIABLE = frozenset(
    {
        *(DeliveryStatus.DRY_RUN, DeliveryStatus.NO_CHAT, DeliveryStatus.OPTED_OUT),
        *(DeliveryStatus.UNDELIVERABLE, DeliveryStatus.PARKED),
    }
)
"""What `outbox retry` may queue again."""
ENDED = RETRIABLE | {DeliveryStatus.SENT}
FINAL_OUTCOMES = {
    "sent": DeliveryStatus.SENT,
    "dry_run": DeliveryStatus.DRY_RUN,
    "final": DeliveryStatus.UNDELIVERABLE,
    "opted_out": DeliveryStatus.OPTED_OUT,
}
"""Outcomes that end a delivery, and its status then."""
NOT_TRIED = frozenset({"flood", "halted", "late", "unconfirmed"})
"""Outcomes of a claim that do not count as a try."""


class Delivery(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A message and how far it has come. Times are the server's clock, UTC."""

    at: datetime | None = None
    """When it came to its present status."""
    attempts: int = 0
    doubts: int = 0
    """How often its outcome was unknown; each time it may have arrived."""
    owner: str | None = None
    lease_until: datetime | None = None
    message_id: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of one try."""

    kind: Literal[
        "sent",
        "dry_run",
        "final",
        "opted_out",
        "refused",
        "flood",
        "migrated",
        "unknown",
        "halted",
        "late",
        "unconfirmed",
    ]
    """Nothing was sent when it is `late` (its slot is far off, or its text is outdated) or `unconfirmed` (it is unknown
    whether the claim is durable)."""
    message_id: int | None = None
    chat_id: int | None = None
    """The new chat id of a migrated chat."""
    seconds: float = 0.0
    """How long the message must wait."""
    error: str | None = None


class Transition(Struct, frozen=True, kw_only=True):
    """The new record, and in how many seconds the message goes back to the stream (None: never)."""

    delivery: Delivery
    again_in: float | None = None


def claim(delivery: Delivery, owner: str, now: datetime) -> Delivery | None:
    """The record of a message that `owner` is going to send; None when its status does not allow that."""
    if delivery.status not in CLAIMABLE:
        return None
    return replace(
        delivery,
        status=DeliveryStatus.SENDING,
        owner=owner,
        lease_until=now + LEASE,
        attempts=delivery.attempts + 1,
        at=now,
    )


def lease_expired(delivery: Delivery, now: datetime) -> bool:
    """Whether the worker that sends the message counts as dead."""
    return (
        delivery.status is DeliveryStatus.SENDING and delivery.lease_until is not None and delivery.lease_until <= now
    )


def look_again(delivery: Delivery, now: datetime) -> Transition:
    """A message that another worker is sending goes back to the stream when its lease ends.

    The lease is cut to one that begins now: a later end comes from a clock that is ahead, or ours was set back.
    """
    lease_until = min(delivery.lease_until or now, now + LEASE)
    again_in = max(0.0, (lease_until - now).total_seconds())
    return Transition(delivery=replace(delivery, lease_until=lease_until), again_in=again_in)


def apply_outcome(delivery: Delivery, outcome: Outcome, now: datetime) -> Transition:
    """What follows from the outcome of a claimed delivery."""
    free = replace(delivery, owner=None, lease_until=None, at=now, error=outcome.error)
    if status := FINAL_OUTCOMES.get(outcome.kind):
        return Transition(delivery=replace(free, status=status, message_id=outcome.message_id))
    if outcome.kind == "migrated":
        return _again(replace(free, chat_id=outcome.chat_id), 0.0)
    if outcome.kind in NOT_TRIED:
        untried = replace(free, attempts=delivery.attempts - 1, error=outcome.error or delivery.error)
        return Transition(delivery=_waiting(untried), again_in=outcome.seconds)
    if outcome.kind == "refused":
        return _again(free, min(MAX_BACK_OFF, 2.0 ** min(free.attempts - 1, 10)))
    return doubt(free, outcome.error, now, max(DOUBT_PAUSE, outcome.seconds))


def doubt(delivery: Delivery, error: str | None, now: datetime, pause: float = DOUBT_PAUSE) -> Transition:
    """A message with an unknown outcome: tried once more after `pause` seconds; the second time it is parked."""
    doubted = replace(delivery, owner=None, lease_until=None, at=now, error=error, doubts=delivery.doubts + 1)
    if doubted.doubts >= MAX_DOUBTS:
        return Transition(delivery=replace(doubted, status=DeliveryStatus.PARKED))
    return Transition(delivery=replace(doubted, status=DeliveryStatus.DOUBTFUL), again_in=pause)


def may_still_record(claimed: Delivery, current: Delivery) -> bool:
    """Whether the outcome of `claimed` may still be recorded although the record is another: no worker tried it since.

    Its lease was cut (`look_again`), or it expired and the outcome counted as unknown.
    """
    if current.status is DeliveryStatus.SENDING:
        return current.owner == claimed.owner
    is_doubted = current.status in {DeliveryStatus.DOUBTFUL, DeliveryStatus.PARKED}
    return is_doubted and (current.doubts, current.attempts) == (claimed.doubts + 1, claimed.attempts)


def restart(delivery: Delivery, facts: Facts, now: datetime) -> Delivery:
    """The message as if it were new, by the present roster, bindings and recording: it was held, or is retried."""
    entry, chat_id = facts.entry, chat_of(delivery.kind, facts.entry, facts.bound)
    if chat_id is None and entry is None:
        chat_id = delivery.chat_id
    status, error = first_status(delivery.kind, chat_id, facts.recording)
    locale = entry.language if entry else delivery.locale
    return replace(delivery, status=status, error=error, chat_id=chat_id, locale=locale, attempts=0, doubts=0, at=now)


def has_chat_now(delivery: Delivery, facts: Facts) -> bool:
    """Whether a message that ended without a chat has one since: its lead or partner was bound, or is on the roster."""
    if delivery.status is not DeliveryStatus.NO_CHAT or delivery.kind not in AFTER_THE_END:
        return False
    return chat_of(delivery.kind, facts.entry, facts.bound) is not None


def is_moved(delivery: Delivery, recording: Recording) -> bool:
    """Whether `recording` changes the status of a recording message: a held one, or one that lost its link."""
    if delivery.kind is not MessageKind.RECORDING:
        return False
    if delivery.status is DeliveryStatus.HELD:
        return recording.is_known
    return delivery.status in CLAIMABLE and recording.url is None


def moved(delivery: Delivery, facts: Facts, now: datetime) -> Delivery:
    """A message for which `is_moved` is true, in its new status: queued, held or ended.

    One that is `sending` is not moved; if its try fails, it is looked at then.
    """
    if delivery.status is DeliveryStatus.HELD:
        return restart(delivery, facts, now)
    return finish(delivery, *first_status(delivery.kind, delivery.chat_id, facts.recording), now)


def finish(delivery: Delivery, status: DeliveryStatus, error: str | None, now: datetime) -> Delivery:
    """The message in `status`, without an owner; `error` says why."""
    return replace(delivery, status=status, owner=None, lease_until=None, error=error, at=now)


def replacement(field: str, facts: Facts, error: str, now: datetime) -> Delivery:
    """A parked message in place of one whose record cannot be read; `field` is its `lead:name`, `facts` the lead's.

    Raises ValueError when the field names no lead or no message. What tells of a planned time tells of the present one.
    """
    lead, _, name = field.partition(":")
    kind, moment = name, None
    if name in REMINDERS:
        kind, moment = MessageKind.REMINDER.value, MOMENTS[REMINDERS.index(name)]
    tells_time = name in ANNOUNCEMENTS and facts.room is not None
    participation, entry = facts.participation, facts.entry or RosterEntry(lead_id=int(lead))
    return Delivery(
        lead_id=int(lead),
        kind=MessageKind(kind),
        status=DeliveryStatus.PARKED,
        attended=participation is not None and participation.attended is True,
        chat_id=chat_of(MessageKind(kind), entry, facts.bound),
        locale=entry.language,
        error=error,
        moment=moment,
        planned_at=facts.room.scheduled_at if tells_time and facts.room else None,
        at=now,
    )


def _waiting(delivery: Delivery) -> Delivery:
    """The message in a claimable status: `doubtful` once it was in doubt, so that its second doubt parks it."""
    return replace(delivery, status=DeliveryStatus.DOUBTFUL if delivery.doubts else DeliveryStatus.QUEUED)


def _again(free: Delivery, seconds: float) -> Transition:
    """Another try in so many seconds; after MAX_ATTEMPTS the message is parked."""
    if free.attempts >= MAX_ATTEMPTS:
        return Transition(delivery=replace(free, status=DeliveryStatus.PARKED))
    return Transition(delivery=_waiting(free), again_in=seconds)
