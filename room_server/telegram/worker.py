"""The delivery of messages: take from the stream, wait for the turn, claim, send, record. Crashes at any point are met.

A worker that dies leaves its entries with the group and its claims with a lease; another takes both over.
"""

import asyncio
import logging
from typing import NamedTuple

import msgspec

from room_server.clock import utc_now
from room_server.core import delivery as deliveries
from room_server.core.delivery import Delivery, Outcome, Step
from room_server.core.messages import Fate
from room_server.core.room import Room
from room_server.errors import StateUnavailable
from room_server.state.outbox import Entry, Held, Next, Outbox, soon
from room_server.telegram import texts
from room_server.telegram.pace import LATE, Pace
from room_server.telegram.sender import IN_FLIGHT, Sender

logger = logging.getLogger(__name__)

IDLE = 0.1
"""Seconds between two looks at an empty stream."""
TAKE_OVER_EVERY = 2.0
"""Seconds between two looks for the entries of the dead."""
REST = 1.0
"""Seconds before Redis is asked again when it did not answer."""
RECORD_TRIES = 60
"""A known outcome is worth keeping: so often, a second apart, its record is tried while Redis is away."""


class Work(NamedTuple):
    """An entry in hand and its delivery."""

    entry: Entry
    held: Held


class Worker:
    """One sender of messages; `owner` is unique to this process."""

    def __init__(self, outbox: Outbox, sender: Sender, owner: str, stopping: asyncio.Event) -> None:
        self._outbox = outbox
        self._store = outbox.store
        self._sender = sender
        self._owner = owner
        self._pace = Pace(outbox.store)
        self._free = asyncio.Semaphore(IN_FLIGHT)
        self._stopping = stopping

    async def run(self) -> None:
        """Deliver until `stopping` is set and what is in hand is done."""
        while not await self._opened():
            await self._rest(REST)
        async with asyncio.TaskGroup() as group:
            for tag in self._store.keys.tags:
                group.create_task(self._read(tag, group))
            group.create_task(self._take_over(group))
        await self._outbox.leave(self._owner)

    async def _opened(self) -> bool:
        try:
            await self._outbox.open()
        except Exception:
            logger.warning("the outbox cannot be opened; trying again", exc_info=True)
            return self._stopping.is_set()
        return True

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _read(self, tag: str, group: asyncio.TaskGroup) -> None:
        """New entries of one partition, as many as hands are free."""
        while not self._stopping.is_set():
            try:
                await self._outbox.promote(tag)
                await self._free.acquire()
                self._free.release()
                entries = await self._outbox.take(tag, self._owner, IN_FLIGHT)
            except StateUnavailable as refusal:
                logger.warning("the outbox cannot be read: %s", refusal.detail)
                await self._rest(REST)
                continue
            await self._start(entries, group)
            if not entries:
                await self._rest(IDLE)

    async def _take_over(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            await self._rest(TAKE_OVER_EVERY)
            for tag in self._store.keys.tags:
                try:
                    entries = await self._outbox.take_over(tag, self._owner, IN_FLIGHT)
                except StateUnavailable:
                    continue
                await self._start(entries, group)

    async def _start(self, entries: list[Entry], group: asyncio.TaskGroup) -> None:
        for entry in entries:
            await self._free.acquire()
            group.create_task(self._handle(entry))

    async def _handle(self, entry: Entry) -> None:
        """One entry from the stream. What Redis does not answer stays with the group and comes again."""
        try:
            held = await self._outbox.held(entry.webinar_id, entry.field)
            if held is None:
                await self._outbox.acknowledge(entry)
            else:
                await self._deliver(Work(entry, held))
        except msgspec.DecodeError as error:
            await self._outbox.park(entry, str(error))
        except StateUnavailable as refusal:
            logger.warning("a message waits: %s", refusal.detail)
        finally:
            self._free.release()

    async def _deliver(self, work: Work) -> None:
        delivery = work.held.delivery
        if deliveries.lapsed(delivery, utc_now()):
            await self._settle(work, deliveries.doubt(delivery, utc_now()))
        elif delivery.status is Fate.SENDING and delivery.lease_until is not None:
            wait = soon(delivery.lease_until, utc_now())
            await self._outbox.record(work.entry.webinar_id, work.held, None, Next(wait, entry=work.entry))
        elif delivery.status not in deliveries.CLAIMABLE:
            await self._outbox.acknowledge(work.entry)
        elif delivery.chat_id is None:
            await self._settle(work, Step(delivery=deliveries.release(delivery, None, utc_now())))
        elif await self._has_turn(work, delivery.chat_id):
            await self._send(work, delivery.chat_id)

    async def _has_turn(self, work: Work, chat_id: int) -> bool:
        """Wait for the moment that the pace gives; a message whose chat must wait makes room for others."""
        clock = asyncio.get_running_loop().time
        while True:
            turn = await self._pace.turn(chat_id)
            if not turn.goes and (turn.chat_waits or turn.seconds > REST):
                later = Next(turn.seconds, entry=work.entry)
                await self._outbox.record(work.entry.webinar_id, work.held, None, later)
                return False
            moment = clock() + turn.seconds
            await asyncio.sleep(turn.seconds)  # the pace's own clock
            if turn.goes and clock() - moment <= LATE:
                return True

    async def _send(self, work: Work, chat_id: int) -> None:
        facts = await self._store.load(work.entry.webinar_id, work.held.delivery.lead_id)
        if facts.room is None:
            await self._outbox.acknowledge(work.entry)
            return
        text = texts.compose(work.held.delivery, facts.room, texts.name_of(facts))
        wanted = deliveries.claim(work.held.delivery, self._owner, utc_now())
        claimed = wanted and await self._outbox.record(work.entry.webinar_id, work.held, wanted, Next())
        if not claimed:
            await self._outbox.acknowledge(work.entry)
            return
        outcome = await self._sender.send(chat_id, text)
        self._log(claimed.delivery, facts.room, outcome)
        if outcome.kind == "flood":
            await self._pace.hold(chat_id, outcome.seconds)
        await self._settle(Work(work.entry, claimed), deliveries.settle(claimed.delivery, outcome, utc_now()))

    async def _settle(self, work: Work, step: Step) -> None:
        """Record what came of it; the entry leaves the stream in the same step."""
        for _ in range(RECORD_TRIES):
            try:
                then = Next(step.again_in, entry=work.entry)
                await self._outbox.record(work.entry.webinar_id, work.held, step.delivery, then)
            except StateUnavailable:
                await asyncio.sleep(REST)  # bounded by RECORD_TRIES
            else:
                return
        logger.error("the outcome of a message could not be recorded; it will count as unknown")

    def _log(self, delivery: Delivery, room: Room, outcome: Outcome) -> None:
        """What happened, by kind and webinar; never to whom."""
        logger.info("telegram: %s of %s: %s", delivery.kind, room.webinar_id, outcome.kind)
