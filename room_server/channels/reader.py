"""Redis -> hub by reading: rooms whose first socket has just come, and all that have sockets here after a gap.

Each partition is read by itself, so a server that is away costs its own rooms only. A reading is older than whatever
the hub heard while it was under way, so it never replaces an epoch that came meanwhile.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from room_server.channels.frames import RoomState, room_state
from room_server.channels.hub import Hub
from room_server.errors import StateUnavailable, Unknown, webinar_unknown
from room_server.state.store import Store

logger = logging.getLogger(__name__)


Renewal = Callable[[str, tuple[str, int]], Awaitable[None]]
"""Webinar id, epoch and version as read: see Transactions.renew."""


class Reader:
    """Reads for one hub. `run` is for a task, for ever."""

    def __init__(self, store: Store, hub: Hub, renew: Renewal) -> None:
        self._store = store
        self._hub = hub
        self._renew_epoch = renew

    async def run(self) -> None:
        """Read the rooms that the hub asks for; one reading serves all who wait for a room."""
        async with asyncio.TaskGroup() as partitions:
            for tag in self._store.keys.tags:
                partitions.create_task(self._serve(tag))

    async def _serve(self, tag: str) -> None:
        while True:
            wanted = await self._hub.partitions[tag].asked_for()
            try:
                await self._read(wanted)
            except StateUnavailable as refusal:
                for webinar_id in wanted:
                    self._hub.refuse_waiting(webinar_id, refusal)

    async def reread(self, tag: str) -> None:
        """Offer the partition's crowds what Redis stores now: heals whatever was lost. Raises StateUnavailable."""
        self._store.copies.drop_all(tag)
        held = [name for name, group in self._hub.partitions[tag].groups.items() if group.state]
        self._hub.tally.healed += await self._read(held)

    async def _read(self, webinar_ids: list[str]) -> int:
        """Offer the hub what is stored; how many states it had replaced by a newer one. Raises StateUnavailable."""
        before = {name: self._state(name) for name in webinar_ids}
        texts = await self._store.public_texts(webinar_ids)
        offered = [await self._offer(name, text, before[name]) for name, text in zip(before, texts, strict=True)]
        return sum(offered)

    def _state(self, webinar_id: str) -> RoomState | None:
        group = self._hub.groups.get(webinar_id)
        return group.state if group else None

    async def _offer(self, webinar_id: str, text: bytes | None, before: RoomState | None) -> bool:
        """What was read of a room that had the state `before` when the reading began; whether it replaces that."""
        now = self._state(webinar_id)
        if text is None:
            if before is None:
                self._hub.refuse_waiting(webinar_id, webinar_unknown(webinar_id))
            elif now is before:
                self._hub.let_go(webinar_id)
            return False
        try:
            read = room_state(text)
        except msgspec.MsgspecError as error:
            refusal = self._store.records.unreadable(f"the state of {webinar_id}", error)
            self._hub.refuse_waiting(webinar_id, refusal)
            return False
        if now is not before and now is not None and now.head.epoch != read.head.epoch:
            return False
        if before is not None and self._is_lost(webinar_id, read, before):
            await self._renew(read)
            return False
        return self._hub.deliver(webinar_id, read) and before is not None

    def _is_lost(self, webinar_id: str, read: RoomState, before: RoomState) -> bool:
        """Whether Redis has lost what was told here: a replica without the last changes took its primary's place."""
        group = self._hub.groups.get(webinar_id)
        return read.went_back(before) or (group is not None and read.head.epoch in group.past)

    async def _renew(self, read: RoomState) -> None:
        """A new epoch, of which the hub hears as of every change; of several processes the first one makes it.

        Raises StateUnavailable.
        """
        logger.warning("room %s lost its last changes: a new epoch begins", read.head.webinar_id)
        with contextlib.suppress(Unknown):  # deleted meanwhile
            await self._renew_epoch(read.head.webinar_id, (read.head.epoch, read.head.version))
