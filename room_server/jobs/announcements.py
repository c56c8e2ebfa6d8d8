"""Announcements whose moment has come are made: a message for every registered lead with a chat, once.

The roster is read in slices, and each slice is queued in one step that compares the room. A pass that is broken off is
done again, and messages that exist stay as they are; so two workers at once do no harm.
"""

import asyncio
import logging

from room_server.clock import utc_now
from room_server.core.announcements import is_announced, is_outdated
from room_server.core.bindings import BoundChats
from room_server.core.delivery import Delivery
from room_server.core.follow_ups import chat_of
from room_server.core.messages import MOMENTS, DeliveryStatus, MessageKind
from room_server.core.room import Room, RosterEntry
from room_server.state import announcements, bindings
from room_server.state.announcements import DueAnnouncement
from room_server.state.bulk_reads import hash_slices
from room_server.state.records import ENTRY
from room_server.state.store import Store

logger = logging.getLogger(__name__)

LATE_SECONDS = 60.0
"""An announcement that is later than this is told of in the log."""
TOGETHER = 100
"""Messages that one step queues."""


class Announcements:
    """Makes the announcements of all partitions. Each method raises StateUnavailable."""

    def __init__(self, store: Store, stopping: asyncio.Event | None = None) -> None:
        self._store = store
        self._stopping = stopping or asyncio.Event()

    async def run_due(self, tag: str) -> int:
        """Make the announcements of a partition that are due; how many messages were queued."""
        queued = 0
        for due in await announcements.due(self._store, tag):
            queued += await self._run(due)
        return queued

    async def _run(self, due: DueAnnouncement) -> int:
        if not due.name:  # no commit writes that
            await announcements.finish(self._store, due)
            return 0
        if due.late > LATE_SECONDS:
            logger.warning("%s of %s is %.0f seconds late", due.name, due.webinar_id, due.late)
        queued, is_whole = 0, True
        async for found in hash_slices(self._store, self._store.keys.roster(due.webinar_id)):
            entries = [self._store.records.readable(ENTRY, raw, "a roster entry") for raw in found.values()]
            known = [entry for entry in entries if entry is not None]
            for start in range(0, len(known), TOGETHER):
                if self._stopping.is_set():
                    return queued
                done = await self._queue(due, known[start : start + TOGETHER])
                if done is None:
                    await announcements.finish(self._store, due)
                    return queued
                queued += done.queued
                is_whole = is_whole and not done.is_busy
        if is_whole:
            await announcements.finish(self._store, due)
            logger.info("%s of %s: %d messages", due.name, due.webinar_id, queued)
        return queued

    async def _queue(self, due: DueAnnouncement, entries: list[RosterEntry]) -> announcements.Announced | None:
        """Queue the messages to these leads; None when the announcement is not right any more."""
        chats = await bindings.bound_chats(self._store, [(entry.lead_id, entry) for entry in entries])
        while True:
            room = (await self._store.load(due.webinar_id)).room
            if room is None or not is_announced(room, due.name):
                return None
            made = [(_message(due.name, room, *row), row[0]) for row in zip(entries, chats, strict=True)]
            messages = [one for one, entry in made if one and not is_outdated(one, room, entry, utc_now())]
            if not messages:
                return announcements.Announced(is_stale=False)
            done = await announcements.queue(self._store, room, messages)
            if not done.is_stale:
                return done


def _message(name: str, room: Room, entry: RosterEntry, bound: BoundChats) -> Delivery | None:
    """The message to one lead; None when it has no chat."""
    kind, _, moment = name.partition("_")
    chat_id = chat_of(MessageKind(kind), entry, bound)
    if chat_id is None:
        return None
    return Delivery(
        lead_id=entry.lead_id,
        kind=MessageKind(kind),
        status=DeliveryStatus.QUEUED,
        attended=False,
        chat_id=chat_id,
        locale=entry.language,
        moment=next((one for one in MOMENTS if one == moment), None),
        planned_at=room.scheduled_at,
        request_id=room.request_id,
    )
