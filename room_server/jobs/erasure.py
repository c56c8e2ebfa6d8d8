"""Erasure of one lead's data: records, messages that are not sent yet, entries of the event stream and the outbox.

Every step may be repeated. `erase_entries` also serves `jobs.retention`.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core.delivery import LEASE, finish, lease_expired
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import PublicRoom, Status
from room_server.errors import RoomServerError, StateUnavailable, webinar_unknown
from room_server.ids import new_id
from room_server.state.commits import DONE_SECONDS
from room_server.state.keys import hashed
from room_server.state.outbox import GROUP, FollowOn, Outbox
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.site_operations import forget_parked
from room_server.state.store import Store

LOOKUP_BATCH = 100
"""Webinars that one pipeline asks for a lead."""
POLL_SECONDS = 0.1
"""Between two looks at a message that is being sent."""
SENDING_SECONDS = 2 * LEASE.total_seconds()
"""How long the messages of one webinar may stay `sending` before `forget` gives up."""
TOMBSTONE_SECONDS = 86_400
"""How long imports leave a forgotten lead out: longer than any import runs."""
RUNNING = frozenset({Status.LIVE, Status.PAUSED})
STREAM_BATCH = 1000
"""Stream entries that one read brings."""

Selects = Callable[[str, int | None], bool]
"""Whether the entries about this webinar and this lead (None: about no lead) are to be deleted."""


class KnownIn(NamedTuple):
    """A webinar that has records of the lead."""

    webinar_id: str
    status: Status


class Forgotten(NamedTuple):
    """How many records were deleted, by kind."""

    entries: int = 0
    participations: int = 0
    messages: int = 0
    events: int = 0


class About(Struct, frozen=True):
    """What an event's payload is about."""

    webinar_id: str = ""
    lead_id: int | None = None


class StillRunning(RoomServerError):
    """The lead could enter a running webinar again at once, so it is not forgotten."""


_ROOM = msgspec.json.Decoder(PublicRoom)
_ABOUT = msgspec.json.Decoder(About)


async def webinars_of(store: Store, lead: int, webinar_id: str | None = None) -> list[KnownIn]:
    """The webinars with records of the lead, by id; with `webinar_id` that one only.

    Raises StillRunning when one of them is live or paused, Unknown, UnreadableRecord, StateUnavailable.
    """
    ids = [webinar_id] if webinar_id else await _all_webinars(store)
    found: list[KnownIn] = []
    for start in range(0, len(ids), LOOKUP_BATCH):
        found += await _known_in(store, lead, ids[start : start + LOOKUP_BATCH])
    if webinar_id and not found and (await store.load(webinar_id)).room is None:
        raise webinar_unknown(webinar_id)
    found.sort()
    for known in found:
        if known.status in RUNNING:
            raise _still_running(lead, known.webinar_id)
    return found


async def forget(store: Store, lead: int, webinar_id: str | None = None) -> Forgotten:
    """Delete what is stored of the lead, in one webinar or in all: records, short links, messages, stream entries.

    A tombstone of one day comes first, so that no import that runs meanwhile brings the lead back.
    Raises Unknown, StillRunning, StateUnavailable; what was deleted until then stays deleted.
    """
    await webinars_of(store, lead, webinar_id)  # raises before anything is written
    tags = (store.keys.tag(webinar_id),) if webinar_id else store.keys.tags
    for tag in tags:
        tombstone = [f"{lead} {webinar_id}" if webinar_id else str(lead), TOMBSTONE_SECONDS]
        async with deadline():
            await store.run(Script.read("tombstone"), [store.keys.forgotten(tag)], tombstone)
    found = await webinars_of(store, lead, webinar_id)  # again: an import may have ended before the tombstone
    counts = [await forget_in(store, lead, known.webinar_id) for known in found]
    for tag in tags:
        events = await erase_entries(store, tag, lambda name, who: who == lead and webinar_id in {None, name})
        counts.append(Forgotten(events=events))
        async with deadline():  # waits until replicas have all deletions, those of an earlier try included
            await store.call_replicated("EXISTS", store.keys.events(tag))
    return Forgotten(*(sum(column) for column in zip(Forgotten(), *counts, strict=True)))


async def forget_in(store: Store, lead: int, webinar_id: str, seconds: float = SENDING_SECONDS) -> Forgotten:
    """Delete one webinar's records of the lead once none of its messages is being sent; wait `seconds` at most.

    Raises StillRunning when the webinar has begun meanwhile, StateUnavailable.
    """
    keys, tag, fields = store.keys, store.keys.tag(webinar_id), list(_fields(lead))
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        records = [keys.room, keys.roster, keys.participations, keys.deliveries, keys.tally, keys.links]
        touched = [
            keys.done(webinar_id, new_id()),
            *(key(webinar_id) for key in records),
            keys.fates(tag),
            keys.due(tag),
        ]
        async with deadline():
            result, *counts = await store.run_replicated(
                Script.read("forget"), touched, [DONE_SECONDS, webinar_id, lead, *fields]
            )
        if result == b"running":
            raise _still_running(lead, webinar_id)
        if result == b"forgotten":
            return Forgotten(*counts)
        await _discard_expired_leases(store, webinar_id, fields)
        await asyncio.sleep(POLL_SECONDS)  # bounded by `until`
    raise StateUnavailable(f"messages of {webinar_id} to lead {lead} are being sent again and again; stop the workers")


async def erase_entries(store: Store, tag: str, selects: Selects, until: str = "+") -> int:
    """Delete the selected entries of a partition's event stream and outbox, up to the stream id `until`.

    The number of events deleted. Raises StateUnavailable.
    """
    await _erase(store, store.keys.outbox(tag), lambda values: selects(*_message(values)), until)
    return await _erase(store, store.keys.events(tag), lambda values: selects(*_event(values)), until)


async def _erase(store: Store, key: str, selects: Callable[[dict[bytes, bytes]], bool], until: str) -> int:
    erased, first = 0, "-"
    while True:
        async with deadline():
            entries: list[Any] = await store.call("XRANGE", key, first, until, "COUNT", STREAM_BATCH)
        if not entries:
            return erased
        if ids := [number for number, values in entries if selects(dict(pairs(values)))]:
            async with deadline():  # acknowledged first, so that no consumer keeps an id without an entry
                await store.call("XACK", key, GROUP, *ids)
                erased += await store.call("XDEL", key, *ids)
            if key == store.keys.events(tag := hashed(key)):
                await forget_parked(store, tag, ids)
        first = f"({entries[-1][0].decode()}"


def _event(values: dict[bytes, bytes]) -> tuple[str, int | None]:
    try:
        about = _ABOUT.decode(values.get(b"payload", b""))
    except ValueError:  # msgspec's decoding errors are ValueErrors
        return "", None
    return about.webinar_id, about.lead_id


def _message(values: dict[bytes, bytes]) -> tuple[str, int | None]:
    lead = values.get(b"field", b"").partition(b":")[0]
    return values.get(b"webinar", b"").decode("utf-8", "replace"), int(lead) if lead.isdigit() else None


async def _all_webinars(store: Store) -> list[str]:
    async with deadline():
        found = await store.call_all([("ZRANGE", store.keys.webinars(tag), 0, -1) for tag in store.keys.tags])
    return [name.decode() for names in found for name in names]


async def _known_in(store: Store, lead: int, ids: list[str]) -> list[KnownIn]:
    keys, commands = store.keys, list[tuple[Any, ...]]()
    for name in ids:
        commands += [
            ("HGET", keys.room(name), "public"),
            ("HEXISTS", keys.roster(name), lead),
            ("HEXISTS", keys.participations(name), lead),
            ("HEXISTS", keys.links(name), f"lead:{lead}"),
            ("HMGET", keys.deliveries(name), *_fields(lead)),
        ]
    async with deadline():
        replies = await store.call_all(commands)
    rows = zip(ids, *(replies[column::5] for column in range(5)), strict=True)
    return [
        KnownIn(name, store.records.read(_ROOM, text, f"the state of {name}").status)
        for name, text, listed, took_part, has_links, messages in rows
        if text and (listed or took_part or has_links or any(messages))
    ]


async def _discard_expired_leases(store: Store, webinar_id: str, fields: list[str]) -> None:
    """End the messages whose sender died while it sent them, so that nobody tries them again."""
    outbox = Outbox(store)
    for field in fields:
        stored, now = await outbox.load(webinar_id, field), utc_now()
        if stored and lease_expired(stored.delivery, now):
            ended = finish(stored.delivery, DeliveryStatus.UNDELIVERABLE, "discarded", now)
            await outbox.update(webinar_id, stored, ended, FollowOn())


def _fields(lead: int) -> Iterator[str]:
    return (f"{lead}:{kind}" for kind in MessageKind)


def _still_running(lead: int, webinar_id: str) -> StillRunning:
    return StillRunning(
        f"{webinar_id} is running and knows lead {lead}, who could enter again at once: "
        "forget them when it is over; other webinars can be named with --webinar"
    )
