"""Evaluation: after the end of a webinar, every lead without a classification is classified by the webinar's rule.

The schedule is a sorted set. The stop of a webinar, a later roster import and a later recording add to it, in the same
script as their own change. An evaluation that is broken off starts again and skips leads that are classified. It is
done after a full pass that found none. Two at once do no harm.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.attendance_rule import counts_unannounced, is_evaluated_only
from room_server.core.bindings import BoundChats
from room_server.core.decision_types import Command, Evaluate, Facts
from room_server.core.delivery import CLAIMABLE, Delivery, has_chat_now, is_moved, moved, restart
from room_server.core.messages import Actor, DeliveryStatus, Role
from room_server.core.room import Room, RosterEntry, Status
from room_server.errors import UnreadableRecord
from room_server.ids import new_id
from room_server.state import bindings
from room_server.state.bulk_reads import hash_slices
from room_server.state.evaluation_schedule import EvaluationSchedule, ScheduledEvaluation
from room_server.state.outbox import FollowOn, Outbox, StoredDelivery
from room_server.state.records import ENTRY, PARTICIPATION, LeadRecords, Loaded
from room_server.state.redis.retry import deadline
from room_server.telemetry.tracing import request_id
from room_server.transactions import Transactions

logger = logging.getLogger(__name__)

TOGETHER = 32
"""Leads that are classified at once; few, since hooks use the same Redis."""
WAITS_FOR_BINDING = timedelta(days=1)
ACTOR = Actor(role=Role.SYSTEM, subject="evaluation")

Result = TypeVar("Result")


class Evaluations:
    """Runs evaluations of all partitions. Once `stopping` is set, a running one is broken off soon."""

    def __init__(self, transactions: Transactions, stopping: asyncio.Event | None = None) -> None:
        self._store = transactions.store
        self._transactions = transactions
        self._stopping = stopping or asyncio.Event()
        self._outbox = Outbox(self._store)
        self.schedule = EvaluationSchedule(self._store)

    async def run_pending(self, webinar_id: str) -> int:
        """Evaluate a scheduled webinar now; how many leads were classified. Raises StateUnavailable."""
        due = await self.schedule.pending(webinar_id)
        return 0 if due is None else await self.run(due)

    async def run(self, due: ScheduledEvaluation) -> int:
        """Evaluate a webinar to the end; how many leads were classified. Raises StateUnavailable."""
        classified = 0
        while True:
            facts = await self._store.load(due.webinar_id)
            if facts.room is not None and facts.room.status in {Status.FINISHED, Status.ARCHIVED}:
                request_id.set(facts.room.request_id)  # log and messages name the request that ended the webinar
                while found := await self.sweep(facts.room, facts):
                    classified += found
                await self._move(due.webinar_id, facts)
            if self._stopping.is_set() or await self.schedule.finish(due):
                return classified
            due = await self.schedule.pending(due.webinar_id) or due

    async def sweep(self, room: Room, facts: Facts) -> int:
        """One full pass over a room's leads; how many it classified. Raises StateUnavailable."""
        classified = 0
        async for found in self._unclassified(room):
            for start in range(0, len(found), TOGETHER):
                if self._stopping.is_set():
                    return classified
                batch = found[start : start + TOGETHER]
                seen = [one for lead in batch if (one := self._seen(room.webinar_id, facts, lead)) is not None]
                chats = await bindings.bound_chats(self._store, [(_lead(one), one.facts.entry) for one in seen])
                acts = [
                    self._classify(replace(one, facts=replace(one.facts, bound=bound)))
                    for one, bound in zip(seen, chats, strict=True)
                ]
                classified += sum(await _all(acts))
        return classified

    def _seen(self, webinar_id: str, facts: Facts, lead: LeadRecords) -> Loaded | None:
        """The facts of one lead; None when they cannot be read, which is logged: one lead must not stop the others."""
        try:
            int(lead.id)
            return self._store.with_records(webinar_id, facts, lead)
        except UnreadableRecord:
            return None
        except ValueError:
            logger.error("a lead of %s has an id that is no number, and is not classified", webinar_id)
            return None

    async def _classify(self, seen: Loaded) -> bool:
        hook = Evaluate(seen.target.webinar_id, _lead(seen))
        try:
            command = Command(id=new_id(), actor=ACTOR, hook=hook)
            return not (await self._transactions.apply(command, seen)).duplicate
        except UnreadableRecord:
            return False  # it was damaged meanwhile

    async def _unclassified(self, room: Room) -> AsyncIterator[list[LeadRecords]]:
        """Leads without a classification, in slices: those on the roster, any others that entered, any that was seen.

        Their slots are read if the room's rule looks at them.
        """
        keys, name = self._store.keys, room.webinar_id
        async for found in hash_slices(self._store, keys.roster(name)):
            known = await self._fields(keys.participations(name), found)
            yield await self._with_slots(
                room, [LeadRecords(lead, record, found[lead]) for lead, record in zip(found, known, strict=True)]
            )
        async for found in hash_slices(self._store, keys.participations(name)):
            yield await self._with_slots(room, [LeadRecords(lead, record, b"") for lead, record in found.items()])
        if counts_unannounced(room.attended_by):
            async for found in hash_slices(self._store, keys.watch(name)):
                known = await self._fields(keys.participations(name), found)
                yield [
                    LeadRecords(lead, b"", b"", slots)
                    for (lead, slots), record in zip(found.items(), known, strict=True)
                    if not record
                ]

    async def _with_slots(self, room: Room, leads: list[LeadRecords]) -> list[LeadRecords]:
        """Those of the leads that are not classified, with the slots that they were seen in, if these count."""
        waiting = [lead for lead in leads if _is_open(lead)]
        if not waiting or not is_evaluated_only(room.attended_by):
            return waiting
        slots = await self._fields(self._store.keys.watch(room.webinar_id), [lead.id for lead in waiting])
        return [lead._replace(slots=seen) for lead, seen in zip(waiting, slots, strict=True)]

    async def _fields(self, key: str, leads: Iterable[bytes]) -> list[bytes]:
        """The values of these leads in a hash; empty where there is none."""
        async with deadline():
            return [value or b"" for value in await self._store.call("HMGET", key, *leads)]

    async def _move(self, webinar_id: str, facts: Facts) -> None:
        """Move messages on that waited for a recording, or that had no chat and may have one since."""
        found: list[StoredDelivery] = []
        async for stored in self._outbox.deliveries(webinar_id):
            if stored.delivery.status is DeliveryStatus.NO_CHAT or is_moved(stored.delivery, facts.recording):
                found.append(stored)
            if self._stopping.is_set():
                return
            if len(found) == TOGETHER:
                await self._move_batch(webinar_id, facts, found)
                found = []
        await self._move_batch(webinar_id, facts, found)

    async def _move_batch(self, webinar_id: str, facts: Facts, found: list[StoredDelivery]) -> None:
        if not found:
            return
        leads = [stored.delivery.lead_id for stored in found]
        async with deadline():
            raws = await self._store.call("HMGET", self._store.keys.roster(webinar_id), *leads)
        what = f"a roster entry of {webinar_id}"
        entries = [self._store.records.readable(ENTRY, raw, what) if raw else None for raw in raws]
        chats = await self._late_chats(facts, list(zip(leads, entries, strict=True)))
        moves = []
        for stored, entry, bound in zip(found, entries, chats, strict=True):
            known = replace(facts, entry=entry, bound=bound)
            delivery, now = stored.delivery, utc_now()
            if has_chat_now(delivery, known):
                moves.append(self._update(webinar_id, stored, restart(delivery, known, now)))
            elif is_moved(delivery, known.recording):
                moves.append(self._update(webinar_id, stored, moved(delivery, known, now)))
        await _all(moves)

    async def _late_chats(self, facts: Facts, leads: list[tuple[int, RosterEntry | None]]) -> list[BoundChats]:
        """The chats to which these leads and their partners are bound, as long as messages wait for that."""
        room = facts.room
        if room is None or not binds_in_time(room, self._transactions.grace_of(room), utc_now()):
            return [BoundChats()] * len(leads)
        return await bindings.bound_chats(self._store, leads)

    async def _update(self, webinar_id: str, stored: StoredDelivery, wanted: Delivery) -> None:
        await self._outbox.update(webinar_id, stored, wanted, FollowOn(wakes=wanted.status in CLAIMABLE))


def binds_in_time(room: Room, grace: timedelta, now: datetime) -> bool:
    """Whether messages without a chat still wait for somebody to be bound: until a day after the evaluation."""
    return room.finished_at is not None and now <= room.finished_at + grace + WAITS_FOR_BINDING


def _lead(seen: Loaded) -> int:
    return int(seen.target.lead)


def _is_open(lead: LeadRecords) -> bool:
    try:
        return not lead.participation or PARTICIPATION.decode(lead.participation).attended is None
    except ValueError:
        return True  # `_classify` logs it


async def _all(acts: list[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results, once all have ended, so that none goes on after an error. Raises the first error."""
    done = await asyncio.gather(*acts, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return [result for result in done if not isinstance(result, BaseException)]
