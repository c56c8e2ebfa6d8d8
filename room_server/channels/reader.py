"""What is read from Redis for the hub: rooms, when their first socket comes or a change may be lost; and counts.

Each partition is read by itself, so a server that does not answer costs its own rooms only. What was read is as old as
the moment at which the read began, so it never replaces an epoch that was published meanwhile.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from room_server.channels import frames
from room_server.channels.frames import RoomState, room_state
from room_server.channels.hub import Hub
from room_server.channels.subscribers import counts_group
from room_server.errors import StateUnavailable, Unknown, webinar_unknown
from room_server.state.store import Store

logger = logging.getLogger(__name__)

PUSH_SECONDS = 1.0
"""Seconds between two readings of the counts."""


Renewal = Callable[[str, tuple[str, int]], Awaitable[None]]
"""Webinar id, and the epoch and version that were read: see Transactions.renew."""


class Reader:
    """Reads rooms. `run` is for a task, for ever."""

    def __init__(self, store: Store, hub: Hub, renew: Renewal) -> None:
        self._store = store
        self._hub = hub
        self._renew_epoch = renew

    async def run(self) -> None:
        """Read the rooms that the hub requests; one read serves all sockets that wait for a room."""
        async with asyncio.TaskGroup() as partitions:
            for tag in self._store.keys.tags:
                partitions.create_task(self._serve(tag))

    async def _serve(self, tag: str) -> None:
        while True:
            webinar_ids = await self._hub.read_queues[tag].take_all()
            try:
                await self._read(webinar_ids)
            except StateUnavailable as refusal:
                for webinar_id in webinar_ids:
                    self._hub.refuse_waiting(webinar_id, refusal)

    async def reread(self, tag: str) -> None:
        """Read all rooms of a partition that have sockets here, and drop the copies of the others.

        Raises StateUnavailable.
        """
        self._store.copies.drop_all(tag)
        self._hub.tally.healed += await self._read(self._hub.known_rooms(tag))

    async def _read(self, webinar_ids: list[str]) -> int:
        """Hand what is stored to the hub; how many states were replaced by newer ones. Raises StateUnavailable."""
        before = {webinar_id: self._state(webinar_id) for webinar_id in webinar_ids}
        texts = await self._store.public_texts(webinar_ids)
        return sum([await self._deliver(name, text, before[name]) for name, text in zip(before, texts, strict=True)])

    def _state(self, webinar_id: str) -> RoomState | None:
        group = self._hub.groups.get(webinar_id)
        return group.state if group else None

    async def _deliver(self, webinar_id: str, text: bytes | None, before: RoomState | None) -> bool:
        """Hand one stored text to the hub; whether it replaced `before`, the state when the read began."""
        now = self._state(webinar_id)
        if text is None:
            if before is None:
                self._hub.refuse_waiting(webinar_id, webinar_unknown(webinar_id))
            elif now is before:
                self._hub.close_room(webinar_id)
            return False
        try:
            stored = room_state(text)
        except msgspec.MsgspecError as error:
            refusal = self._store.records.unreadable(f"the state of {webinar_id}", error)
            self._hub.refuse_waiting(webinar_id, refusal)
            return False
        if now is not before and now is not None and now.head.epoch != stored.head.epoch:
            return False
        if before is not None and self._has_lost_changes(stored, before):
            await self._renew(stored)
            return False
        return self._hub.deliver(webinar_id, stored) and before is not None

    def _has_lost_changes(self, stored: RoomState, before: RoomState) -> bool:
        """Whether Redis has lost a change that was published: a replica was promoted without it."""
        group = self._hub.groups.get(stored.head.webinar_id)
        return stored.went_back(before) or (group is not None and stored.head.epoch in group.past_epochs)

    async def _renew(self, stored: RoomState) -> None:
        """Commit the room under a new epoch, which is published as every change is. Raises StateUnavailable.

        Of several processes the first one does it: the commit is bound to the version that was read.
        """
        logger.warning("room %s lost its last changes: a new epoch begins", stored.head.webinar_id)
        with contextlib.suppress(Unknown):  # deleted meanwhile
            await self._renew_epoch(stored.head.webinar_id, (stored.head.epoch, stored.head.version))


class CountsFeed:
    """Reads the counts for the monitors' sockets (`/monitor/socket`), once a second while there is one.

    `read` gives the counts of a scope (a webinar id or `*`) as JSON. It may raise StateUnavailable.
    """

    def __init__(self, hub: Hub, read: Callable[[str], Awaitable[bytes]]) -> None:
        self._hub = hub
        self._read = read
        self._number = 0

    async def push(self) -> None:
        """Push for ever; the first socket of a scope is served at once."""
        while True:
            self._hub.scope_added.clear()
            self._number += 1
            await self._push_once(self._hub.scopes())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUSH_SECONDS if self._hub.scopes() else None):
                    await self._hub.scope_added.wait()

    async def _push_once(self, scopes: list[str]) -> None:
        """Sockets that have older counts see their age when none can be read; those that wait are refused."""
        try:
            for scope in scopes:
                self._hub.deliver(counts_group(scope), frames.counts(scope, self._number, await self._read(scope)))
        except StateUnavailable as refusal:
            for scope in scopes:
                self._hub.refuse_waiting(counts_group(scope), refusal)
