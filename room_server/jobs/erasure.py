"""Erasure of one lead's data: records, links, messages that are not sent yet, and entries of the streams.

The records go at once. The streams may be long, so their entries are queued, durably: a worker erases them soon (see
jobs.erased_entries). Every step may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from room_server.clock import utc_now
from room_server.core.delivery import LEASE, finish, lease_expired
from room_server.core.messages import MESSAGE_NAMES, DeliveryStatus
from room_server.core.room import PublicRoom, Status
from room_server.errors import Conflict, StateUnavailable, webinar_unknown
from room_server.ids import new_id
from room_server.jobs import erased_entries
from room_server.state import connections, webinars
from room_server.state.commits import DONE_SECONDS
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

LOOKUP_BATCH = 100
"""Webinars that one pipeline asks for a lead."""
TOGETHER = 50
"""Webinars that forget a lead at the same time."""
POLL_SECONDS = 0.1
"""Between two looks at a message that is being sent."""
SENDING_SECONDS = 2 * LEASE.total_seconds()
"""How long the messages of one webinar may stay `sending` before `forget` gives up."""
TOMBSTONE_SECONDS = 86_400
"""How long imports leave a forgotten lead out: longer than any import runs."""
RUNNING = frozenset({Status.LIVE, Status.PAUSED})


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


class StillRunning(Conflict):
    """The lead could enter a running webinar again at once, so it is not forgotten (`lead_in_running_webinar`)."""


RunScript = Callable[[Script, list[str], list[Any]], Awaitable[Any]]
"""`Store.run`, or `Store.run_replicated`, which waits for replicas."""
_ROOM = msgspec.json.Decoder(PublicRoom)


async def webinars_of(store: Store, lead: int, webinar_id: str | None = None) -> list[KnownIn]:
    """The webinars with records of the lead, by id; with `webinar_id` that one only.

    Raises StillRunning when one of them is live or paused, Unknown, UnreadableRecord, StateUnavailable.
    """
    ids = [webinar_id] if webinar_id else await webinars.all_ids(store)
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
    """Delete what is stored of the lead, in one webinar or in all: records, short links, messages, stream entries; in
    all of them also the binding to its chat.

    Raises Unknown, StillRunning, StateUnavailable; what was deleted until then stays deleted.
    """
    _, forgotten = await forget_records(store, lead, webinar_id)
    erased = [await erased_entries.erase_queued(store, tag) for tag in _tags(store, webinar_id)]
    return forgotten._replace(events=sum(counts[lead] for counts in erased))


async def forget_records(store: Store, lead: int, webinar_id: str | None = None) -> tuple[list[str], Forgotten]:
    """The same without the stream entries, which are queued for a worker; also the webinars that knew the lead.

    A tombstone of one day comes first, so that no import that runs meanwhile brings the lead back.
    """
    await webinars_of(store, lead, webinar_id)  # raises before anything is written
    await _mark(store.run, store, lead, webinar_id)
    found = await webinars_of(store, lead, webinar_id)  # again: an import may have ended before the tombstone
    counts: list[Forgotten] = []
    for start in range(0, len(found), TOGETHER):
        counts += await _forget_together(store, lead, found[start : start + TOGETHER])
    # again: events may have been appended until the records were gone; and replicas must have all of it
    await _mark(store.run_replicated, store, lead, webinar_id)
    if webinar_id is None:
        await connections.forget(store, lead, TOMBSTONE_SECONDS)
    return [known.webinar_id for known in found], Forgotten(*map(sum, zip(Forgotten(), *counts, strict=True)))


async def _forget_together(store: Store, lead: int, found: list[KnownIn]) -> list[Forgotten]:
    """What was deleted in each of these webinars. Raises the first error, once none of them goes on."""
    works = (forget_in(store, lead, known.webinar_id) for known in found)
    done = await asyncio.gather(*works, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return [result for result in done if not isinstance(result, BaseException)]


async def _mark(run: RunScript, store: Store, lead: int, webinar_id: str | None) -> None:
    """Leave tombstones, and queue the erasure of all stream entries up to now."""
    keys, member = store.keys, f"{lead} {webinar_id}" if webinar_id else str(lead)
    for tag in _tags(store, webinar_id):
        places = [keys.forgotten(tag), keys.erasures(tag), keys.events(tag)]
        async with deadline():
            await run(Script.read("tombstone"), places, [member, TOMBSTONE_SECONDS])


def _tags(store: Store, webinar_id: str | None) -> tuple[str, ...]:
    return (store.keys.tag(webinar_id),) if webinar_id else store.keys.tags


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
            keys.watch(webinar_id),
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


async def _known_in(store: Store, lead: int, ids: list[str]) -> list[KnownIn]:
    keys, commands = store.keys, list[tuple[Any, ...]]()
    for name in ids:
        commands += [
            ("HGET", keys.room(name), "public"),
            ("HEXISTS", keys.roster(name), lead),
            ("HEXISTS", keys.participations(name), lead),
            ("HEXISTS", keys.links(name), f"lead:{lead}"),
            ("HEXISTS", keys.watch(name), lead),
            ("HMGET", keys.deliveries(name), *_fields(lead)),
        ]
    async with deadline():
        replies = await store.call_all(commands)
    rows = zip(ids, *(replies[column::6] for column in range(6)), strict=True)
    return [
        KnownIn(name, store.records.read(_ROOM, text, f"the state of {name}").status)
        for name, text, listed, took_part, has_links, was_seen, messages in rows
        if text and (listed or took_part or has_links or was_seen or any(messages))
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
    return (f"{lead}:{name}" for name in MESSAGE_NAMES)


def _still_running(lead: int, webinar_id: str) -> StillRunning:
    return StillRunning(
        "lead_in_running_webinar",
        f"{webinar_id} is running and knows lead {lead}, who could enter again at once: "
        "forget them when it is over; other webinars can be named with --webinar",
    )
