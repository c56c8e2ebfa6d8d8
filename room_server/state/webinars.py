"""Reads over all webinars: the list by scheduled time, and counts of messages and classified leads."""

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, datetime
from heapq import nsmallest

import msgspec

from room_server.clock import utc_now
from room_server.core.room import PublicRoom
from room_server.state.bulk_reads import ask_each
from room_server.state.commits import unix_ms
from room_server.state.redis.pipeline import pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

LISTED = 1000
"""Most webinars in a list: those whose scheduled times are nearest to now, so that what is on air is among them."""
WARNED_SECONDS = 86_400
"""How long it is remembered that a warning was given."""
_ROOM = msgspec.json.Decoder(PublicRoom)


async def evaluation_progress(store: Store, webinar_id: str) -> tuple[int, int]:
    """How many leads are classified, and of how many. Raises StateUnavailable.

    Until the evaluation is done, the second number may not count leads who entered without being on the roster.
    """
    async with deadline():
        done, listed, known = await asyncio.gather(
            store.call("HGET", store.keys.tally(webinar_id), "classified"),
            store.call("HLEN", store.keys.roster(webinar_id)),
            store.call("HLEN", store.keys.participations(webinar_id)),
        )
    return int(done or 0), max(int(listed), int(known))


async def outcome(store: Store, webinar_id: str) -> tuple[int, int, int]:
    """How many leads entered, attended, and clicked the CTA. Raises StateUnavailable."""
    async with deadline():
        counts = await store.call("HMGET", store.keys.tally(webinar_id), "entered", "attended", "clicked")
    entered, attended, clicked = (int(count or 0) for count in counts)
    return entered, attended, clicked


async def delivery_counts(store: Store) -> dict[str, int]:
    """How many messages have each status, in the partitions that are available. Raises StateUnavailable."""
    found = await ask_each(store, {tag: [("HGETALL", store.keys.fates(tag))] for tag in store.keys.tags})
    summed: Counter[str] = Counter()
    for (partition,) in found.values():
        summed.update({status.decode(): int(count) for status, count in pairs(partition)})
    return {status: count for status, count in sorted(summed.items()) if count}


async def all_ids(store: Store) -> list[str]:
    """The ids of all webinars. Raises StateUnavailable, also when a single partition does not answer."""
    async with deadline():
        found = await store.call_all([("ZRANGE", store.keys.webinars(tag), 0, -1) for tag in store.keys.tags])
    return [name.decode() for names in found for name in names]


async def warned_at(store: Store, webinar_id: str, end: datetime, now: datetime) -> datetime:
    """When a process first warned that the webinar will be stopped at `end`: `now`, if none has. To a millisecond.

    Raises StateUnavailable.
    """
    key = store.keys.warned(webinar_id, f"{webinar_id}:{unix_ms(end)}")
    async with deadline():
        _, first = await store.call_all([("SET", key, unix_ms(now), "NX", "EX", WARNED_SECONDS), ("GET", key)])
    return datetime.fromtimestamp(int(first) / 1000, UTC)


async def latest(store: Store, listed_only: bool = False, now: datetime | None = None) -> list[PublicRoom]:
    """The public state of at most LISTED webinars, the latest scheduled time first. Raises StateUnavailable.

    `listed_only`: without those that the public schedule leaves out. `now`: another time than that of the clock.
    Those that cannot be read are left out, and those of partitions that are unavailable (see bulk_reads).
    """
    keys, names = store.keys, await _nearest(store, unix_ms(now or utc_now()))
    texts = await ask_each(
        store, {tag: [("HMGET", keys.room(one), "public", "unlisted") for one in names[tag]] for tag in names}
    )
    found = [
        store.records.readable(_ROOM, text, f"the state of {name}")
        for tag in texts
        for name, (text, unlisted) in zip(names[tag], texts[tag], strict=True)
        if text and not (listed_only and unlisted)
    ]
    rooms = [room for room in found if room is not None]
    return sorted(rooms, key=lambda room: (room.scheduled_at, room.webinar_id), reverse=True)


async def _nearest(store: Store, now: int) -> dict[str, list[str]]:
    """The ids of at most LISTED webinars by partition, those nearest to `now`, Unix milliseconds."""
    most = ("WITHSCORES", "LIMIT", 0, LISTED)
    keys = {tag: store.keys.webinars(tag) for tag in store.keys.tags}
    sides = {
        tag: [("ZRANGEBYSCORE", key, now, "+inf", *most), ("ZREVRANGEBYSCORE", key, f"({now}", "-inf", *most)]
        for tag, key in keys.items()
    }
    found = (await ask_each(store, sides)).items()
    rows = (
        (abs(float(score) - now), tag, name.decode())
        for tag, both in found
        for side in both
        for name, score in pairs(side)
    )
    names: defaultdict[str, list[str]] = defaultdict(list)
    for _, tag, name in nsmallest(LISTED, rows):
        names[tag].append(name)
    return names
