"""The delivery of messages: take entries from the stream, as many as hands are free, and give each to `Dispatch`.

A worker that dies leaves its entries with the group; another takes them over. What Redis does not answer comes again.
"""

import asyncio
import logging
from contextlib import suppress

from room_server.errors import StateUnavailable
from room_server.state.outbox import Outbox, OutboxEntry
from room_server.telegram.dispatch import REST, Dispatch
from room_server.telegram.sender import IN_FLIGHT, Sender

logger = logging.getLogger(__name__)

IDLE = 0.1
"""Seconds between two looks at an empty stream."""
TAKE_OVER_EVERY = 1.0
"""Seconds between two looks for the entries of the dead."""


class Worker:
    """One sender of messages; `owner` is unique to this process."""

    def __init__(self, outbox: Outbox, sender: Sender, owner: str, stopping: asyncio.Event) -> None:
        self._outbox = outbox
        self._tags = outbox.store.keys.tags
        self._sender = sender
        self._owner = owner
        self._stopping = stopping
        self._dispatch = Dispatch(outbox, sender, owner)
        self._free = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Deliver until `stopping` is set and what is in hand is done."""
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self._read(tag, group)) for tag in self._tags]
            group.create_task(self._take_over(group))
        if all(reader.result() for reader in readers):
            with suppress(StateUnavailable):  # then another worker forgets this one
                await self._outbox.remove_consumers(self._owner)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _read(self, tag: str, group: asyncio.TaskGroup) -> bool:
        """New entries of one partition; whether Redis answered to the last. With a refused token all is left there."""
        is_open = False
        while not self._stopping.is_set():
            if self._sender.halted:
                await self._rest(REST)
                continue
            try:
                if not is_open:
                    await self._outbox.open(tag)
                is_open = True
                entries = await self._next(tag)
            except StateUnavailable as refusal:
                logger.warning("the outbox cannot be read: %s", refusal.detail)
                is_open = False  # a failover may have lost the group
                await self._rest(REST)
                continue
            await self._start(entries, group)
            if not entries:
                await self._rest(IDLE)
        return is_open

    async def _next(self, tag: str) -> list[OutboxEntry]:
        await self._outbox.enqueue_due(tag)
        async with self._free:  # only what can be begun is taken
            pass
        return await self._outbox.read_new(tag, self._owner, IN_FLIGHT)

    async def _take_over(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            await self._rest(TAKE_OVER_EVERY)
            if not self._sender.halted:
                await asyncio.gather(*(self._take_over_in(tag, group) for tag in self._tags))

    async def _take_over_in(self, tag: str, group: asyncio.TaskGroup) -> None:
        with suppress(StateUnavailable):  # the reader tells of it
            await self._start(await self._outbox.claim_abandoned(tag, self._owner, IN_FLIGHT), group)

    async def _start(self, entries: list[OutboxEntry], group: asyncio.TaskGroup) -> None:
        for entry in entries:
            await self._free.acquire()
            group.create_task(self._handle(entry))

    async def _handle(self, entry: OutboxEntry) -> None:
        try:
            await self._dispatch.handle(entry)
        except StateUnavailable as refusal:
            logger.warning("a message waits: %s", refusal.detail)
        finally:
            self._free.release()
