"""All webinars, by their scheduled time: for the public schedule, the operator's list and the monitor."""

import asyncio

import msgspec

from room_server.core.room import PublicRoom
from room_server.state.patience import deadline
from room_server.state.store import Store

LISTED = 1000
"""Webinars that one listing reads of each partition at most, the latest first."""
_ROOM = msgspec.json.Decoder(PublicRoom)


async def latest(store: Store) -> list[PublicRoom]:
    """The webinars as everyone with access sees them, the latest first. Raises StateUnavailable."""
    async with deadline():
        found = await asyncio.gather(
            *(store.ask("ZREVRANGE", store.keys.webinars(tag), 0, LISTED - 1) for tag in store.keys.tags)
        )
    ids = [webinar_id.decode() for partition in found for webinar_id in partition]
    rooms = [_ROOM.decode(text) for text in await store.public_texts(ids) if text]
    return sorted(rooms, key=lambda room: (room.scheduled_at, room.webinar_id), reverse=True)
