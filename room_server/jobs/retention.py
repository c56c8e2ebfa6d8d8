"""Retention: deletes webinars that were archived so many days ago, with all their records and stream entries.

Each run reads the clock and the setting again, so a changed setting holds for webinars that are archived already. The
next run goes on where one was broken off; two at once do no harm.
"""

import asyncio
import logging
from datetime import datetime

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core.delivery import ENDED
from room_server.core.messages import DeliveryStatus
from room_server.errors import StateUnavailable
from room_server.jobs.erased_entries import erase_entries
from room_server.state.bulk_reads import hash_slices
from room_server.state.commits import unix_ms
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

BATCH = 500
"""Webinars that are deleted together: one pass over the streams serves them all."""


class Progress(Struct, frozen=True):
    """The one field of a delivery that retention reads."""

    status: DeliveryStatus


_PROGRESS = msgspec.json.Decoder(Progress)


async def expire(store: Store, before: datetime, stopping: asyncio.Event | None = None) -> list[str]:
    """Delete the webinars that were archived before then, with all their records; their ids.

    Once `stopping` is set, the rest is left for another run. Raises StateUnavailable for a partition that does not
    answer, after the others are done.
    """
    deleted: list[str] = []
    unavailable: StateUnavailable | None = None
    for tag in store.keys.tags:
        try:
            while (expired := await _expired(store, tag, before)) and not (stopping and stopping.is_set()):
                deleted += await _delete(store, tag, expired)
        except StateUnavailable as error:
            unavailable = error
    if unavailable is not None:
        raise unavailable
    return deleted


async def _expired(store: Store, tag: str, before: datetime) -> list[tuple[str, str]]:
    """Webinars of a partition that were archived before then, each with the time (Unix ms, as Redis writes it)."""
    ago = round((utc_now() - before).total_seconds() * 1000)
    async with deadline():
        limits = [unix_ms(before), ago, BATCH]
        found = await store.run(Script.read("find_expired"), [store.keys.archived(tag)], limits)
    return [(name.decode(), f"{float(score):.0f}") for name, score in pairs(found)]


async def _delete(store: Store, tag: str, expired: list[tuple[str, str]]) -> list[str]:
    """Messages and stream entries first, the room and its index last: until then another run finds the webinar."""
    until = str(unix_ms(utc_now()))
    for webinar_id, archived_at in expired:
        await _delete_messages(store, webinar_id, archived_at)
    names = dict(expired)
    await erase_entries(store, tag, lambda entry: entry.webinar_id in names, until)
    deleted = [webinar_id for webinar_id, archived_at in expired if await store.delete(webinar_id, archived_at)]
    logger.info("retention: %d archived webinars are deleted", len(deleted))
    return deleted


async def _delete_messages(store: Store, webinar_id: str, archived_at: str) -> None:
    """Delete a webinar's messages in slices, with their due times and counts; log how many were never sent."""
    keys, tag = store.keys, store.keys.tag(webinar_id)
    touched = [keys.archived(tag), keys.deliveries(webinar_id), keys.due(tag), keys.fates(tag)]
    script, unsent = Script.read("expire"), 0
    async for found in hash_slices(store, keys.deliveries(webinar_id)):
        async with deadline():
            await store.run(script, touched, [webinar_id, archived_at, *found])
        unsent += sum(_is_unsent(record) for record in found.values())
    if unsent:
        logger.warning("retention: %d messages of %s were never sent, and are deleted", unsent, webinar_id)


def _is_unsent(record: bytes) -> bool:
    try:
        return _PROGRESS.decode(record).status not in ENDED
    except ValueError:  # msgspec's decoding errors are ValueErrors
        return False
