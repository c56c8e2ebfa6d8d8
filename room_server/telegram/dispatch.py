"""One message from its stream entry to its recorded outcome: compose, claim, wait for a send slot, send, record.

A worker may die at any step. Before the claim nothing was sent; after it the lease expires and the outcome is unknown.
Methods raise nothing but StateUnavailable; then the entry stays pending in the consumer group and is read again.
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
from room_server.core.announcements import can_be_outdated, is_outdated
from room_server.core.delivery import LEASE, Delivery, Outcome, Transition
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Recording
from room_server.errors import StateUnavailable, UnreadableRecord
from room_server.state import bindings
from room_server.state.outbox import FollowOn, Outbox, OutboxEntry, StoredDelivery
from room_server.telegram import texts
from room_server.telegram.pacing import SendRateLimiter
from room_server.telegram.room_links import RoomLinks
from room_server.telegram.sender import Sender
from room_server.telemetry import tracing

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Before Redis is asked again when it did not answer; also the longest wait for a slot that occupies a sender."""
RECORD_TRIES = 60
"""How often the record of a known outcome is tried, a second apart, while Redis does not answer."""
LEASE_MARGIN = 1.0
"""A request to Telegram ends so many seconds before the lease of its message does."""
LEAST_SECONDS = 2.0
"""What a request needs; with less of the lease left the message goes back to the queue."""


class Work(NamedTuple):
    """An entry and the delivery that it names."""

    entry: OutboxEntry
    stored: StoredDelivery


class Telegram(NamedTuple):
    """What messages need of the bot: who sends them, and the personal links that they hold."""

    sender: Sender
    links: RoomLinks


class OutgoingMessage(NamedTuple):
    """What is sent where; `recording` is the one that the text links."""

    chat_id: int
    html: str
    recording: Recording


class Dispatch:
    """Handles the entries of one worker; `owner` is unique to its process."""

    def __init__(self, outbox: Outbox, telegram: Telegram, owner: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._outbox = outbox
        self._sender, self._links = telegram
        self._owner = owner
        self._now = clock
        self._claims = count(1)
        self._rate = SendRateLimiter(outbox.store)

    async def handle(self, entry: OutboxEntry) -> None:
        """Take the message of an entry as far as it goes now. Raises StateUnavailable."""
        try:
            stored = await self._outbox.load(entry.webinar_id, entry.field)
        except UnreadableRecord as refusal:
            await self._park_unreadable(entry, f"its record cannot be read: {refusal.__cause__}"[:200])
            return
        if stored is None:
            await self._outbox.discard(entry, "there is no such message")
            return
        about = {"webinar": entry.webinar_id, "kind": stored.delivery.kind.value}
        with tracing.working_for(stored.delivery.request_id), tracing.span("deliver", **about):
            await self._deliver(Work(entry, stored))

    async def _park_unreadable(self, entry: OutboxEntry, why: str) -> None:
        """Replace the record by a parked one made from roster and participation, so that an operator can retry it."""
        try:
            facts = await self._outbox.store.load(entry.webinar_id, int(entry.field.partition(":")[0]))
            parked = deliveries.replacement(entry.field, facts, why, self._now())
        except (UnreadableRecord, ValueError):
            await self._outbox.discard(entry, why)  # the record stays as it is
            return
        raw = await self._outbox.load_raw(entry.webinar_id, entry.field)
        self._log_parked(entry, parked)
        await self._record(Work(entry, StoredDelivery(parked, raw or b"")), Transition(delivery=parked))

    async def _deliver(self, work: Work) -> None:
        delivery, now = work.stored.delivery, self._now()
        if deliveries.lease_expired(delivery, now):
            await self._record(work, deliveries.doubt(delivery, "its sender died", now))
        elif delivery.status is DeliveryStatus.SENDING:
            await self._record(work, deliveries.look_again(delivery, now))
        elif delivery.status not in deliveries.CLAIMABLE:
            await self._outbox.acknowledge(work.entry)
        elif delivery.chat_id is None:
            ended = deliveries.finish(delivery, DeliveryStatus.NO_CHAT, None, now)
            await self._record(work, Transition(delivery=ended))
        elif (unwanted := await self._unwanted(delivery.chat_id)) is not None:
            await self._record(work, deliveries.apply_outcome(delivery, unwanted, now))
        elif (message := await self._compose(work, delivery.chat_id)) is not None:
            await self._send(work, message)

    async def _unwanted(self, chat_id: int) -> Outcome | None:
        """The outcome of a message to a chat that wants none; None: it may be sent. Raises StateUnavailable."""
        try:
            chat = await bindings.chat(self._outbox.store, chat_id)
        except UnreadableRecord:
            return None  # state.records logs it; Telegram knows who has blocked the bot
        if chat.opted_out:
            return Outcome(kind="opted_out")
        return Outcome(kind="final", error="the chat has blocked the bot") if chat.blocked else None

    async def _record(self, work: Work, transition: Transition) -> StoredDelivery | None:
        """Write a transition and acknowledge the entry; None when another worker changed the record first."""
        then = FollowOn(transition.again_in, entry=work.entry)
        return await self._outbox.update(work.entry.webinar_id, work.stored, transition.delivery, then)

    async def _compose(self, work: Work, chat_id: int) -> OutgoingMessage | None:
        """The message; None when there is none to send now, and then its record says why."""
        delivery = work.stored.delivery
        try:
            facts = await self._outbox.store.load(work.entry.webinar_id, delivery.lead_id)
            if facts.room is None:
                instead = self._parked(work, "there is no such webinar")
            elif is_outdated(delivery, facts.room, facts.entry, self._now()):
                instead = deliveries.finish(delivery, DeliveryStatus.UNDELIVERABLE, "outdated", self._now())
            elif deliveries.is_moved(delivery, facts.recording):
                instead = deliveries.moved(delivery, facts, self._now())
            else:
                now = self._now()
                link = None if self._sender.is_dry_run else await self._links.url(delivery, facts.room, now)
                return OutgoingMessage(chat_id, texts.compose(delivery, facts, now, link), facts.recording)
        except UnreadableRecord as refusal:
            instead = self._parked(work, refusal.detail)
        except StateUnavailable:
            raise
        except Exception as error:  # whatever is wrong with one message must not stop the others
            instead = self._parked(work, f"its text cannot be made: {error!r}"[:200])
        await self._record(work, Transition(delivery=instead))
        return None

    def _parked(self, work: Work, why: str) -> Delivery:
        self._log_parked(work.entry, work.stored.delivery)
        return deliveries.finish(work.stored.delivery, DeliveryStatus.PARKED, why, self._now())

    def _log_parked(self, entry: OutboxEntry, delivery: Delivery) -> None:
        logger.error("a message (%s of %.64s) is parked: see `outbox list`", delivery.kind, entry.webinar_id)

    async def _send(self, work: Work, message: OutgoingMessage) -> None:
        """Claim the message durably, wait for a send slot, send it, record the outcome."""
        lease_ends = asyncio.get_running_loop().time() + LEASE.total_seconds() - LEASE_MARGIN
        owner = f"{self._owner}/{next(self._claims)}"  # unique: two identical claims would both pass the comparison
        claimed = await self._claim(work, deliveries.claim(work.stored.delivery, owner, self._now()))
        if claimed is None:
            return  # another worker has it
        outcome = await self._try(work, message, lease_ends)
        if outcome.kind != "late":
            logger.info("telegram: %s of %s: %s", claimed.delivery.kind, work.entry.webinar_id, outcome.kind)
        if outcome.kind == "flood":
            with suppress(StateUnavailable):  # the record of this message has the pause, too
                await self._rate.hold(message.chat_id, outcome.seconds)
        transition = deliveries.apply_outcome(claimed.delivery, outcome, self._now())
        await self._record_outcome(Work(work.entry, claimed), transition)

    async def _claim(self, work: Work, wanted: Delivery | None) -> StoredDelivery | None:
        """The claimed record; None when another worker has it. Raises StateUnavailable when that is unknown.

        In that case the claim may be stored. Nothing was sent, so it is taken back before its lease expires.
        """
        if wanted is None:
            return None
        try:
            return await self._outbox.update(work.entry.webinar_id, work.stored, wanted, FollowOn())
        except StateUnavailable:
            unused = deliveries.apply_outcome(wanted, Outcome(kind="unconfirmed", seconds=RETRY_SECONDS), self._now())
            await self._record_outcome(Work(work.entry, StoredDelivery.of(wanted)), unused)
            raise

    async def _try(self, work: Work, message: OutgoingMessage, lease_ends: float) -> Outcome:
        """Send in the next slot of the chat; `late`: it is too far off, or the text is outdated by then."""
        clock = asyncio.get_running_loop().time
        try:
            while not self._sender.is_dry_run and lease_ends - clock() >= LEAST_SECONDS:
                slot = await self._rate.acquire(message.chat_id)
                if not slot.granted and (slot.chat_waits or slot.seconds > RETRY_SECONDS):
                    return Outcome(kind="late", seconds=slot.seconds)
                await asyncio.sleep(slot.seconds)  # bounded by RETRY_SECONDS or by the granted slot
                if slot.granted:
                    break
            if not await self._is_current(work, message):
                return Outcome(kind="late")
            if (unwanted := await self._unwanted(message.chat_id)) is not None:
                return unwanted
        except (StateUnavailable, ValueError):  # Redis does not answer, or the room's record cannot be read
            return Outcome(kind="late", seconds=RETRY_SECONDS)
        if lease_ends - clock() < LEAST_SECONDS:
            return Outcome(kind="late")
        return await self._sender.send(message.chat_id, message.html, lease_ends - clock())

    async def _is_current(self, work: Work, message: OutgoingMessage) -> bool:
        """Whether the recording is still the one that the text links, and what the text tells of the webinar still so.

        This is read after the claim. So once `webinar set` or a stop has answered, no message goes out with the old
        link, the old time or what is over, except those whose request to Telegram has begun.
        """
        delivery = work.stored.delivery
        if delivery.kind is not MessageKind.RECORDING and not can_be_outdated(delivery):
            return True
        facts = await self._outbox.store.load(work.entry.webinar_id, delivery.lead_id)
        if delivery.kind is MessageKind.RECORDING:
            return facts.recording == message.recording
        return facts.room is not None and not is_outdated(delivery, facts.room, facts.entry, self._now())

    async def _record_outcome(self, work: Work, transition: Transition) -> None:
        """Record an outcome, also when the lease expired meanwhile, unless the message was tried again since."""
        claimed = work.stored.delivery
        for _ in range(RECORD_TRIES):
            try:
                if await self._record(work, transition):
                    return
                current = await self._outbox.load(work.entry.webinar_id, work.entry.field)
            except StateUnavailable:
                await asyncio.sleep(RETRY_SECONDS)  # bounded by RECORD_TRIES
                continue
            if current is None or not deliveries.may_still_record(claimed, current.delivery):
                return
            work = Work(work.entry, current)
        logger.error("the outcome of a message could not be recorded for sure; if it is lost, it will count as unknown")
