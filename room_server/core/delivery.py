"""What becomes of one message: the states of a delivery as a table and two pure functions.

    held ──recording──▶ queued ◀──later──┐
                          │ claim        │
                          ▼              │
                       sending ──────────┴─▶ sent · dry_run · undeliverable · no_chat
                          │ outcome unknown
                          ▼
                       doubtful ──claim──▶ sending ──unknown again──▶ parked

The right to send is the durable move to `sending`, with an owner and a lease. Telegram has no key against repeats, so a
message whose outcome is unknown is tried once more at most; `doubts` counts that.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from room_server.core.messages import Fate, Message

LEASE = timedelta(seconds=10)
"""A sender that has not reported by then is taken for dead; no send may last as long."""
MAX_ATTEMPTS = 40
"""Refused tries before a message is parked: some two hours of an unreachable Telegram."""
MAX_BACK_OFF = 300.0
"""Seconds between two tries at most."""
MAX_DOUBTS = 2
DOUBT_PAUSE = 2.0
"""Seconds before a doubtful message is tried once more."""

CLAIMABLE = frozenset({Fate.QUEUED, Fate.DOUBTFUL})
ENDED = frozenset({Fate.SENT, Fate.DRY_RUN, Fate.NO_CHAT, Fate.UNDELIVERABLE, Fate.PARKED})
ENDS = {"sent": Fate.SENT, "dry_run": Fate.DRY_RUN, "final": Fate.UNDELIVERABLE}
"""Outcomes that end a message's way."""
RETRIABLE = frozenset({Fate.DRY_RUN, Fate.NO_CHAT, Fate.UNDELIVERABLE, Fate.PARKED})
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

    kind: Literal["sent", "dry_run", "final", "refused", "flood", "migrated", "unknown", "halted"]
    message_id: int | None = None
    chat_id: int | None = None
    """Where a migrated chat went."""
    seconds: float = 0.0
    """How long Telegram asks to wait."""
    error: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """The record as it shall stand, and when it is to be looked at again (seconds from now; None: never)."""

    delivery: Delivery
    again_in: float | None = None


def claim(delivery: Delivery, owner: str, now: datetime) -> Delivery | None:
    """The record with the right to send it; None when it may not be sent (again, yet, or by this owner)."""
    if delivery.status not in CLAIMABLE:
        return None
    return replace(
        delivery, status=Fate.SENDING, owner=owner, lease_until=now + LEASE, attempts=delivery.attempts + 1, at=now
    )


def lapsed(delivery: Delivery, now: datetime) -> bool:
    """Whether its sender died between sending and recording."""
    return delivery.status is Fate.SENDING and delivery.lease_until is not None and delivery.lease_until <= now


def settle(delivery: Delivery, outcome: Outcome, now: datetime) -> Step:
    """What a claimed delivery comes to."""
    free = replace(delivery, owner=None, lease_until=None, at=now, error=outcome.error)
    if status := ENDS.get(outcome.kind):
        return Step(delivery=replace(free, status=status, message_id=outcome.message_id))
    if outcome.kind == "migrated":
        return Step(delivery=_waiting(replace(free, chat_id=outcome.chat_id)), again_in=0.0)
    if outcome.kind in {"flood", "halted"}:
        return Step(delivery=_waiting(replace(free, attempts=delivery.attempts - 1)), again_in=outcome.seconds)
    return _refused(free) if outcome.kind == "refused" else doubt(free, now)


def doubt(delivery: Delivery, now: datetime) -> Step:
    """It may have arrived or not: once more, then it is parked for a person to decide."""
    doubted = replace(delivery, owner=None, lease_until=None, at=now, doubts=delivery.doubts + 1)
    if doubted.doubts >= MAX_DOUBTS:
        return Step(delivery=replace(doubted, status=Fate.PARKED))
    return Step(delivery=replace(doubted, status=Fate.DOUBTFUL), again_in=DOUBT_PAUSE)


def release(delivery: Delivery, chat_id: int | None, now: datetime) -> Delivery:
    """Back on its way, to where the roster says now: what was held, or what the operator retries."""
    status = Fate.NO_CHAT if chat_id is None else Fate.QUEUED
    return replace(delivery, status=status, chat_id=chat_id, attempts=0, doubts=0, error=None, at=now)


def give_up(delivery: Delivery, error: str, now: datetime) -> Delivery:
    """It will not be sent, and why."""
    return replace(delivery, status=Fate.UNDELIVERABLE, error=error, at=now)


def _waiting(delivery: Delivery) -> Delivery:
    """A message that was in doubt stays so: another unknown outcome would be its second."""
    return replace(delivery, status=Fate.DOUBTFUL if delivery.doubts else Fate.QUEUED)


def _refused(free: Delivery) -> Step:
    if free.attempts >= MAX_ATTEMPTS:
        return Step(delivery=replace(free, status=Fate.PARKED))
    return Step(delivery=_waiting(free), again_in=min(MAX_BACK_OFF, 2.0 ** min(free.attempts - 1, 10)))
