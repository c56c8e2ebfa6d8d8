"""The way of one message from its entry in the stream to its recorded outcome: text, turn, claim, send, record.

Each step is met by a crash: before the claim nothing was sent, after it the lease lapses and the outcome is unknown.
Nothing here raises but StateUnavailable; then the entry stays with the group and comes again.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import NamedTuple

from room_server.clock import utc_now
from room_server.core import delivery as deliveries
from room_server.core.delivery import LEASE, Delivery, Outcome, Transition
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Recording
from room_server.errors import StateUnavailable, UnreadableRecord
from room_server.state.outbox import FollowOn, Outbox, OutboxEntry, StoredDelivery, soon
from room_server.telegram import texts
from room_server.telegram.pacing import LATE, SendRateLimiter
from room_server.telegram.sender import Sender
from room_server.telemetry import tracing

logger = logging.getLogger(__name__)

REST = 1.0
"""Seconds before Redis is asked again when it did not answer, and that a message may hold a hand while it waits."""
RECORD_TRIES = 60
"""A known outcome is worth keeping: so often, a second apart, its record is tried while Redis is away."""
MARGIN = 1.0
"""Seconds before its lease ends in which nothing is on the line any more."""
LEAST = 2.0
"""Seconds that a try needs: with less of the lease left it is put off."""


class Work(NamedTuple):
    """An entry in hand and its delivery."""

    entry: OutboxEntry
    held: StoredDelivery


class Text(NamedTuple):
    """What a message says, and the recording that it was made with."""

    html: str
    recording: Recording


class OutgoingMessage(NamedTuple):
    """What goes where, and the moment that the pace gave it (the loop's clock)."""

    chat_id: int
    text: Text
    moment: float


class Dispatch:
    """What one worker does with each of its entries."""

    def __init__(self, outbox: Outbox, sender: Sender, owner: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._outbox = outbox
        self._sender = sender
        self._owner = owner
        self._now = clock
        self._claims = count(1)
        self._pace = SendRateLimiter(outbox.store)

    async def handle(self, entry: OutboxEntry) -> None:
        """Do with an entry what its record asks for. Raises StateUnavailable."""
        try:
            held = await self._outbox.load(entry.webinar_id, entry.field)
        except UnreadableRecord as refusal:
            await self._outbox.park(entry, f"its record cannot be read: {refusal.__cause__}")
            return
        if held is None:
            await self._outbox.park(entry, "there is no such message")
        else:
            about = {"webinar": entry.webinar_id, "kind": held.delivery.kind.value}
            with tracing.working_for(held.delivery.request_id), tracing.span("deliver", **about):
                await self._deliver(Work(entry, held))

    async def _deliver(self, work: Work) -> None:
        delivery, now = work.held.delivery, self._now()
        if deliveries.lease_expired(delivery, now):
            await self._record(work, deliveries.doubt(delivery, "its sender died", now))
        elif delivery.status is DeliveryStatus.SENDING and delivery.lease_until is not None:
            wanted = deliveries.within_lease(delivery, now)
            await self._record(work, Transition(delivery=wanted, again_in=soon(wanted.lease_until or now, now)))
        elif delivery.status not in deliveries.CLAIMABLE:
            await self._outbox.acknowledge(work.entry)
        elif delivery.chat_id is None:
            await self._record(
                work, Transition(delivery=deliveries.finish(delivery, DeliveryStatus.NO_CHAT, None, now))
            )
        else:
            text = await self._text(work)
            moment = None if text is None else await self._moment(work, delivery.chat_id)
            if text is not None and moment is not None:
                await self._send(work, OutgoingMessage(delivery.chat_id, text, moment))

    async def _record(self, work: Work, step: Transition) -> StoredDelivery | None:
        """Take a step; the entry leaves the stream with it. None: another was faster, and has set the next time."""
        then = FollowOn(step.again_in, entry=work.entry)
        return await self._outbox.update(work.entry.webinar_id, work.held, step.delivery, then)

    async def _put_off(self, work: Work, seconds: float) -> None:
        """The record stays as it is; the message makes room for others."""
        then = FollowOn(seconds, entry=work.entry)
        await self._outbox.update(work.entry.webinar_id, work.held, None, then)

    async def _text(self, work: Work) -> Text | None:
        """What it says; None when it is not to be said (yet), or cannot be made and a person is to look at it."""
        delivery = work.held.delivery
        try:
            facts = await self._outbox.store.load(work.entry.webinar_id, delivery.lead_id)
            if facts.room is None:
                instead = self._parked(work, "there is no such webinar")
            elif deliveries.is_moved(delivery, facts.recording):
                instead = deliveries.moved(delivery, facts.recording, facts.entry, self._now())
            else:
                return Text(texts.compose(delivery, facts.room, facts), facts.recording)
        except UnreadableRecord as refusal:
            instead = self._parked(work, refusal.detail)
        except StateUnavailable:
            raise
        except Exception as error:  # whatever is wrong with one message must not stop the others
            instead = self._parked(work, f"its text cannot be made: {error!r}"[:200])
        await self._record(work, Transition(delivery=instead))
        return None

    def _parked(self, work: Work, why: str) -> Delivery:
        kind = work.held.delivery.kind
        logger.error("a message (%s of %.64s) is parked: see `outbox list`", kind, work.entry.webinar_id)
        return deliveries.finish(work.held.delivery, DeliveryStatus.PARKED, why, self._now())

    async def _moment(self, work: Work, chat_id: int) -> float | None:
        """Wait for the moment that the pace gives, and give it (the loop's clock); None: it is far, so put off."""
        clock = asyncio.get_running_loop().time
        while not self._sender.is_dry_run:
            turn = await self._pace.turn(chat_id)
            if not turn.goes and (turn.chat_waits or turn.seconds > REST):
                await self._put_off(work, turn.seconds)
                return None
            moment = clock() + turn.seconds
            await asyncio.sleep(turn.seconds)  # the pace's own clock
            if turn.goes:
                return moment
        return clock()

    async def _send(self, work: Work, letter: OutgoingMessage) -> None:
        """Take the right to send, durably; use it; keep what came of it."""
        claimed_at = asyncio.get_running_loop().time()
        owner = f"{self._owner}/{next(self._claims)}"  # the same bytes twice would be the same right twice
        wanted = deliveries.claim(work.held.delivery, owner, self._now())
        claimed = wanted and await self._claim(work, wanted)
        if not claimed:
            return  # another was faster
        outcome = await self._try(work, letter, claimed_at)
        logger.info("telegram: %s of %s: %s", claimed.delivery.kind, work.entry.webinar_id, outcome.kind)
        if outcome.kind == "flood":
            with suppress(StateUnavailable):  # the message itself waits by its own record
                await self._pace.hold(letter.chat_id, outcome.seconds)
        await self._settle(Work(work.entry, claimed), deliveries.apply_outcome(claimed.delivery, outcome, self._now()))

    async def _claim(self, work: Work, wanted: Delivery) -> StoredDelivery | None:
        """The right to send; None: another was faster. Raises StateUnavailable when nobody can tell who has it.

        It may stand in the record all the same. Nothing was sent by it, so it is taken back before anybody doubts it.
        """
        try:
            return await self._outbox.update(work.entry.webinar_id, work.held, wanted, FollowOn())
        except StateUnavailable:
            unused = Outcome(kind="unconfirmed", seconds=REST)
            await self._settle(
                Work(work.entry, StoredDelivery.of(wanted)), deliveries.apply_outcome(wanted, unused, self._now())
            )
            raise

    async def _try(self, work: Work, letter: OutgoingMessage, claimed_at: float) -> Outcome:
        """Send at the moment that was given or, when the claim took until after it, at another one."""
        clock = asyncio.get_running_loop().time
        try:
            if clock() - letter.moment > LATE and not self._sender.is_dry_run:
                turn = await self._pace.another(letter.chat_id)
                if not turn.goes:
                    return Outcome(kind="late", seconds=turn.seconds)
                await asyncio.sleep(turn.seconds)  # the pace's own clock
            if not await self._still_says(work, letter.text):
                return Outcome(kind="late")
        except (StateUnavailable, ValueError):  # Redis is away, or the record cannot be read: the next look tells
            return Outcome(kind="late", seconds=REST)
        left = LEASE.total_seconds() - MARGIN - (clock() - claimed_at)
        if left < LEAST:
            return Outcome(kind="late")
        return await self._sender.send(letter.chat_id, letter.text.html, left)

    async def _still_says(self, work: Work, text: Text) -> bool:
        """Whether the recording is still the one that the text was made with.

        It is asked after the claim. So once `webinar set` has answered, no message goes out with a link that it took
        back, but for those that are on the line at that moment.
        """
        if work.held.delivery.kind is not MessageKind.RECORDING:
            return True
        return (await self._outbox.store.load(work.entry.webinar_id)).recording == text.recording

    async def _settle(self, work: Work, step: Transition) -> None:
        """Record what came of it, even when this sender was taken for dead meanwhile and nobody has tried since."""
        claimed = work.held.delivery
        for _ in range(RECORD_TRIES):
            try:
                if await self._record(work, step):
                    return
                standing = await self._outbox.load(work.entry.webinar_id, work.entry.field)
            except StateUnavailable:
                await asyncio.sleep(REST)  # bounded by RECORD_TRIES
                continue
            if standing is None or not deliveries.may_still_record(claimed, standing.delivery):
                return
            work = Work(work.entry, standing)
        logger.error("the outcome of a message could not be recorded for sure; if it is lost, it will count as unknown")
