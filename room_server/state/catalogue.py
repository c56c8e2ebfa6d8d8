"""All webinars, by their scheduled time: for the public schedule, the operator's list and the monitor."""

import asyncio
from collections import Counter
from heapq import nlargest

import msgspec

from room_server.core.room import PublicRoom
from room_server.state.patience import deadline
from room_server.state.pipeline import pairs
from room_server.state.store import Store

LISTED = 1000
"""Webinars that one listing reads at most, the latest first."""
_ROOM = msgspec.json.Decoder(PublicRoom)


async def classified(store: Store, webinar_id: str) -> tuple[int, int]:
    """How many leads are classified, and how many there are to classify. Raises StateUnavailable.

    Until the evaluation is through, leads who entered without being on a full roster may be missing from the second.
    """
    async with deadline():
        done, listed, known = await asyncio.gather(
            store.ask("HGET", store.keys.tally(webinar_id), "classified"),
            store.ask("HLEN", store.keys.roster(webinar_id)),
            store.ask("HLEN", store.keys.participations(webinar_id)),
        )
    return int(done or 0), max(int(listed), int(known))


async def fates(store: Store) -> dict[str, int]:
    """How many messages stand in each status. Raises StateUnavailable."""
    async with deadline():
        found = await asyncio.gather(*(store.ask("HGETALL", store.keys.fates(tag)) for tag in store.keys.tags))
    summed: Counter[str] = Counter()
    for partition in found:
        summed.update({status.decode(): int(count) for status, count in pairs(partition)})
    return {status: count for status, count in sorted(summed.items()) if count}


async def latest(store: Store) -> list[PublicRoom]:
    """The webinars as everyone with access sees them, the latest first; those that cannot be read are left out.

    Raises StateUnavailable.
    """
    async with deadline():
        found = await store.ask_all(
            [("ZREVRANGE", store.keys.webinars(tag), 0, LISTED - 1, "WITHSCORES") for tag in store.keys.tags]
        )
    rows = ((float(score), name.decode()) for partition in found for name, score in pairs(partition))
    names = [name for _, name in nlargest(LISTED, rows)]
    texts = zip(names, await store.public_texts(names), strict=True)
    read = [store.records.readable(_ROOM, text, f"the state of {name}") for name, text in texts if text]
    rooms = [room for room in read if room is not None]
    return sorted(rooms, key=lambda room: (room.scheduled_at, room.webinar_id), reverse=True)
