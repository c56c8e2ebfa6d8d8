"""The end of a webinar's records: so many days after it was archived nothing of it is left.

Each look asks the clock and the setting anew, so a setting that is changed holds for all that is archived already. A
look that is broken off is taken up by the next one; two at once do no harm.
"""

import asyncio
import logging
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core.delivery import ENDED
from room_server.core.messages import DeliveryStatus
from room_server.errors import StateUnavailable
from room_server.state import stream_erasure
from room_server.state.bulk_reads import hash_slices
from room_server.state.commits import unix_ms
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

TAKEN = 500
"""Webinars that go together: one pass over the streams serves them all."""


class Standing(Struct, frozen=True):
    """How far a message has come."""

    status: DeliveryStatus


_STANDING = msgspec.json.Decoder(Standing)


class Expired(NamedTuple):
    """A webinar whose time is over, and when it was archived (Unix ms, as Redis writes it)."""

    webinar_id: str
    archived_at: str


class Retention:
    """What is archived in all partitions. Once `stopping` is set, the rest is left for another time."""

    def __init__(self, store: Store, stopping: asyncio.Event | None = None) -> None:
        self._store = store
        self._stopping = stopping or asyncio.Event()
        self._find = Script.read("over")
        self._expire = Script.read("expire")

    async def expire(self, before: datetime) -> list[str]:
        """Delete what was archived before then, with all its facts; the webinars' ids. Raises StateUnavailable.

        A partition that is away is told of once the others are done.
        """
        gone: list[str] = []
        away: StateUnavailable | None = None
        for tag in self._store.keys.tags:
            try:
                while (over := await self._over(tag, before)) and not self._stopping.is_set():
                    gone += await self._delete(tag, over)
            except StateUnavailable as refusal:
                away = refusal
        if away is not None:
            raise away
        return gone

    async def _over(self, tag: str, before: datetime) -> list[Expired]:
        ago = round((utc_now() - before).total_seconds() * 1000)
        async with deadline():
            found = await self._store.run(self._find, [self._store.keys.archived(tag)], [unix_ms(before), ago, TAKEN])
        return [Expired(name.decode(), f"{float(score):.0f}") for name, score in pairs(found)]

    async def _delete(self, tag: str, over: list[Expired]) -> list[str]:
        """The index goes last, with the room: until then another look finds the webinar again."""
        until = str(unix_ms(utc_now()))
        for one in over:
            await self._empty(one)
        names = {one.webinar_id for one in over}
        await stream_erasure.erase(self._store, tag, lambda webinar_id, _: webinar_id in names, until)
        gone = [one.webinar_id for one in over if await self._store.delete(*one)]
        logger.info("retention: %d archived webinars are deleted", len(gone))
        return gone

    async def _empty(self, one: Expired) -> None:
        """A large webinar's messages go slice by slice, each with its time to be sent and its place in the counts.

        Those that had not come to an end are told of: nothing is dropped in silence.
        """
        keys, name = self._store.keys, one.webinar_id
        tag = keys.tag(name)
        places = [keys.archived(tag), keys.deliveries(name), keys.due(tag), keys.fates(tag)]
        unsent = 0
        async for found in hash_slices(self._store, keys.deliveries(name)):
            async with deadline():
                await self._store.run(self._expire, places, [*one, *found])
            unsent += sum(_is_on_its_way(record) for record in found.values())
        if unsent:
            logger.warning("retention: %d messages of %s were never sent, and are deleted", unsent, name)


def _is_on_its_way(record: bytes) -> bool:
    try:
        return _STANDING.decode(record).status not in ENDED
    except ValueError:  # as msgspec's errors of decoding are
        return False
