"""The delivery loops of a worker: read entries of every partition, as many as can be sent, and hand them to `Dispatch`.

A worker that dies leaves its entries pending in the consumer group; another worker claims them.
"""

import asyncio
import logging
from contextlib import suppress

from room_server.errors import StateUnavailable
from room_server.state.outbox import Outbox, OutboxEntry
from room_server.telegram.dispatch import RETRY_SECONDS, Dispatch, Telegram
from room_server.telegram.sender import IN_FLIGHT

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""Between two reads of an empty stream."""
CHECK_SECONDS = 5.0
"""Between two questions to a Telegram that does not answer whether it takes the token."""
CLAIM_EVERY = 1.0
"""Seconds between two looks for entries of workers that died."""


class Worker:
    """Delivers the messages of all partitions; `owner` is unique to this process."""

    def __init__(self, outbox: Outbox, telegram: Telegram, owner: str, stopping: asyncio.Event) -> None:
        self._outbox = outbox
        self._tags = outbox.store.keys.tags
        self._sender = telegram.sender
        self._owner = owner
        self._stopping = stopping
        self._dispatch = Dispatch(outbox, telegram, owner)
        self._free = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Deliver until `stopping` is set and the entries in hand are handled."""
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self._read(tag, group)) for tag in self._tags]
            group.create_task(self._claim_abandoned(group))
            group.create_task(self._check_token())
        if all(reader.result() for reader in readers):
            with suppress(StateUnavailable):  # then `tidy` of another worker removes this consumer
                await self._outbox.remove_consumers(self._owner)

    async def _read(self, tag: str, group: asyncio.TaskGroup) -> bool:
        """Start the new entries of a partition; whether Redis answered to the last read.

        While the token is refused, entries stay on the stream for a worker with a valid one.
        """
        is_open = False
        while not self._stopping.is_set():
            if self._sender.halted:
                await pause(self._stopping, RETRY_SECONDS)
                continue
            try:
                if not is_open:
                    await self._outbox.open(tag)
                is_open = True
                await self._outbox.enqueue_due(tag)
                async with self._free:  # read only when an entry can be started at once
                    pass
                entries = await self._outbox.read_new(tag, self._owner, IN_FLIGHT)
            except StateUnavailable as refusal:
                logger.warning("the outbox cannot be read: %s", refusal.detail)
                is_open = False  # a fail-over may have lost the group
                await pause(self._stopping, RETRY_SECONDS)
                continue
            await self._start(entries, group)
            if not entries:
                await pause(self._stopping, POLL_SECONDS)
        return is_open

    async def _check_token(self) -> None:
        """Find out at the start whether Telegram takes the token, and not with the first message."""
        while not self._stopping.is_set() and not await self._sender.check():
            await pause(self._stopping, CHECK_SECONDS)

    async def _claim_abandoned(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            await pause(self._stopping, CLAIM_EVERY)
            if not self._sender.halted:
                await asyncio.gather(*(self._claim_abandoned_in(tag, group) for tag in self._tags))

    async def _claim_abandoned_in(self, tag: str, group: asyncio.TaskGroup) -> None:
        with suppress(StateUnavailable):  # `_read` logs it
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


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until `stopping` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
