"""What becomes of one message: the states of a delivery as a table and two pure functions.

    held ◀─recording──▶ queued ◀──later──┐
                          │ claim        │
                          ▼              │
                       sending ──────────┴─▶ sent · dry_run · undeliverable · no_chat · parked (tried too often)
                          │ outcome unknown
                          ▼
                       doubtful ──claim──▶ sending ──unknown again──▶ parked

The right to send is the durable move to `sending`, with an owner and a lease; whoever cannot tell whether it is durable
sends nothing and takes it back. Telegram has no key against repeats, so a
message whose outcome is unknown is tried once more at most; `doubts` counts that.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from room_server.core.follow_ups import chat_of, first_status
from room_server.core.messages import DeliveryStatus, Message, MessageKind
from room_server.core.room import Recording, RosterEntry

LEASE = timedelta(seconds=8)
"""A sender that has not reported by then is taken for dead; no send may last as long."""
MAX_ATTEMPTS = 40
"""Refused tries before a message is parked: more than two hours of an unreachable Telegram."""
MAX_BACK_OFF = 300.0
"""Seconds between two tries at most."""
MAX_DOUBTS = 2
DOUBT_PAUSE = 2.0
"""Seconds before a doubtful message is tried once more, at least."""

CLAIMABLE = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.DOUBTFUL})
ENDED = frozenset(
    {
        DeliveryStatus.SENT,
        DeliveryStatus.DRY_RUN,
        DeliveryStatus.NO_CHAT,
        DeliveryStatus.UNDELIVERABLE,
        DeliveryStatus.PARKED,
    }
)
ENDS = {"sent": DeliveryStatus.SENT, "dry_run": DeliveryStatus.DRY_RUN, "final": DeliveryStatus.UNDELIVERABLE}
"""Outcomes that end a message's way."""
NO_TRY = frozenset({"flood", "halted", "late", "unconfirmed"})
"""Outcomes of a claim that do not count as a try."""
RETRIABLE = frozenset(
    {DeliveryStatus.DRY_RUN, DeliveryStatus.NO_CHAT, DeliveryStatus.UNDELIVERABLE, DeliveryStatus.PARKED}
)
"""What the operator may send on its way again."""


class Delivery(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A message and how far it has come. Times are the server's clock."""

    at: datetime | None = None
    """When it came to its present status."""
    attempts: int = 0
    doubts: int = 0
    """How often its outcome could not be known; each may have been a message that arrived."""
    owner: str | None = None
    lease_until: datetime | None = None
    message_id: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What Telegram made of one try."""

    kind: Literal[
        "sent", "dry_run", "final", "refused", "flood", "migrated", "unknown", "halted", "late", "unconfirmed"
    ]
    """Nothing was sent when it is `late` (its moment has passed, or what it says has changed) or `unconfirmed` (the
    claim may be lost)."""
    message_id: int | None = None
    chat_id: int | None = None
    """Where a migrated chat went."""
    seconds: float = 0.0
    """How long the message is to wait, as Telegram asks or as its trouble advises."""
    error: str | None = None


class Transition(Struct, frozen=True, kw_only=True):
    """The record as it shall stand, and when it is to be looked at again (seconds from now; None: never)."""

    delivery: Delivery
    again_in: float | None = None


def claim(delivery: Delivery, owner: str, now: datetime) -> Delivery | None:
    """The record with the right to send it; None when it may not be sent (again, yet, or by this owner)."""
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
    """Whether its sender died between sending and recording."""
    return (
        delivery.status is DeliveryStatus.SENDING and delivery.lease_until is not None and delivery.lease_until <= now
    )


def within_lease(delivery: Delivery, now: datetime) -> Delivery:
    """The record of a message that is being sent, with a lease that ends no later than one that begins now.

    One that ends later was given by a clock that is ahead of ours, or ours was set back since.
    """
    latest = now + LEASE
    if delivery.lease_until is None or delivery.lease_until <= latest:
        return delivery
    return replace(delivery, lease_until=latest)


def apply_outcome(delivery: Delivery, outcome: Outcome, now: datetime) -> Transition:
    """What a claimed delivery comes to."""
    free = replace(delivery, owner=None, lease_until=None, at=now, error=outcome.error)
    if status := ENDS.get(outcome.kind):
        return Transition(delivery=replace(free, status=status, message_id=outcome.message_id))
    if outcome.kind == "migrated":
        return _again(replace(free, chat_id=outcome.chat_id), 0.0)
    if outcome.kind in NO_TRY:
        return Transition(delivery=_waiting(replace(free, attempts=delivery.attempts - 1)), again_in=outcome.seconds)
    if outcome.kind == "refused":
        return _again(free, min(MAX_BACK_OFF, 2.0 ** min(free.attempts - 1, 10)))
    return doubt(free, outcome.error, now, max(DOUBT_PAUSE, outcome.seconds))


def doubt(delivery: Delivery, error: str | None, now: datetime, pause: float = DOUBT_PAUSE) -> Transition:
    """It may have arrived or not: once more, then it is parked for a person to decide."""
    doubted = replace(delivery, owner=None, lease_until=None, at=now, error=error, doubts=delivery.doubts + 1)
    if doubted.doubts >= MAX_DOUBTS:
        return Transition(delivery=replace(doubted, status=DeliveryStatus.PARKED))
    return Transition(delivery=replace(doubted, status=DeliveryStatus.DOUBTFUL), again_in=pause)


def may_still_record(claimed: Delivery, standing: Delivery) -> bool:
    """Whether a sender whose record was touched may still tell its outcome: nobody has tried the message since.

    Its lease was cut short (`within_lease`), or it was taken for dead.
    """
    if standing.status is DeliveryStatus.SENDING:
        return standing.owner == claimed.owner
    doubted = (
        standing.status in {DeliveryStatus.DOUBTFUL, DeliveryStatus.PARKED} and standing.doubts == claimed.doubts + 1
    )
    return doubted and standing.attempts == claimed.attempts


def restart(delivery: Delivery, recording: Recording, entry: RosterEntry | None, now: datetime) -> Delivery:
    """Back to the beginning of its way, as the roster and the recording are now: once held, or retried by a person."""
    chat_id = chat_of(delivery.kind, entry) if entry else delivery.chat_id
    status, error = first_status(delivery.kind, chat_id, recording)
    return replace(delivery, status=status, error=error, chat_id=chat_id, attempts=0, doubts=0, at=now)


def is_moved(delivery: Delivery, recording: Recording) -> bool:
    """Whether what is known of the recording takes a message elsewhere: a held one, or one that has lost its link."""
    if delivery.kind is not MessageKind.RECORDING:
        return False
    if delivery.status is DeliveryStatus.HELD:
        return recording.is_known
    return delivery.status in CLAIMABLE and recording.url is None


def moved(delivery: Delivery, recording: Recording, entry: RosterEntry | None, now: datetime) -> Delivery:
    """The message of which `is_moved` is true: on its way, waiting for a recording, or at its end.

    One that is just being sent is on the line already. If it comes back, it is looked at then.
    """
    if delivery.status is DeliveryStatus.HELD:
        return restart(delivery, recording, entry, now)
    return finish(delivery, *first_status(delivery.kind, delivery.chat_id, recording), now)


def finish(delivery: Delivery, fate: DeliveryStatus, error: str | None, now: datetime) -> Delivery:
    """It goes no further, and why."""
    return replace(delivery, status=fate, owner=None, lease_until=None, error=error, at=now)


def _waiting(delivery: Delivery) -> Delivery:
    """A message that was in doubt stays so: another unknown outcome would be its second."""
    return replace(delivery, status=DeliveryStatus.DOUBTFUL if delivery.doubts else DeliveryStatus.QUEUED)


def _again(free: Delivery, seconds: float) -> Transition:
    """Another try, unless there were too many."""
    if free.attempts >= MAX_ATTEMPTS:
        return Transition(delivery=replace(free, status=DeliveryStatus.PARKED))
    return Transition(delivery=_waiting(free), again_in=seconds)
