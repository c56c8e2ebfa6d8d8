"""A person is forgotten: records, messages on their way, and events.

A lead that a live or paused webinar knows is not forgotten: it could enter again at once. A message that is just being
sent is waited for, no longer than its sender's lease. A tombstone stands for a day: until then no import brings the
lead back, whether it began before or after. Everything may be repeated.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from room_server.clock import utc_now
from room_server.core.delivery import LEASE, finish, lease_expired
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import PublicRoom, Status
from room_server.errors import RoomServerError, StateUnavailable, webinar_unknown
from room_server.ids import new_id
from room_server.state import stream_erasure
from room_server.state.commits import DONE_SECONDS
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

TOGETHER = 100
"""Webinars that are asked at once."""
PAUSE = 0.1
"""Seconds between two looks at a message that is just being sent."""
PATIENCE = 2 * LEASE.total_seconds()
"""Seconds that messages of one webinar are waited for."""
TOMBSTONE_SECONDS = 86_400
"""How long imports leave a forgotten lead out: longer than any import runs, or a file that names it lies about."""
RUNNING = frozenset({Status.LIVE, Status.PAUSED})

_ROOM = msgspec.json.Decoder(PublicRoom)


class KnownIn(NamedTuple):
    """A webinar that knows the lead."""

    webinar_id: str
    status: Status


class Forgotten(NamedTuple):
    """How much was deleted."""

    entries: int = 0
    participations: int = 0
    messages: int = 0
    events: int = 0


class StillRunning(RoomServerError):
    """The lead could enter again at once."""


async def webinars_of(store: Store, lead: int, webinar_id: str | None = None) -> list[KnownIn]:
    """Which webinars know the lead, by id. Raises Unknown, UnreadableRecord, StateUnavailable."""
    ids = [webinar_id] if webinar_id else await _all_webinars(store)
    found: list[KnownIn] = []
    for start in range(0, len(ids), TOGETHER):
        found += await _known(store, lead, ids[start : start + TOGETHER])
    if webinar_id and not found and (await store.load(webinar_id)).room is None:
        raise webinar_unknown(webinar_id)
    return sorted(found)


def check(lead: int, found: Sequence[KnownIn]) -> None:
    """Raises StillRunning when one of these webinars is running."""
    for place in found:
        if place.status in RUNNING:
            raise _still_running(lead, place.webinar_id)


async def forget(store: Store, lead: int, webinar_id: str | None = None) -> Forgotten:
    """Delete what is stored of the lead, in one webinar or everywhere.

    Raises Unknown, StillRunning, StateUnavailable; what was deleted until then stays deleted.
    """
    check(lead, await webinars_of(store, lead, webinar_id))
    tags = (store.keys.tag(webinar_id),) if webinar_id else store.keys.tags
    await _leave_tombstones(store, tags, f"{lead} {webinar_id}" if webinar_id else str(lead))
    found = await webinars_of(store, lead, webinar_id)  # after the tombstones: an import that was sooner is seen now
    check(lead, found)
    sums = Forgotten()
    for place in found:
        sums = _plus(sums, await _forget(store, lead, place.webinar_id))
    for tag in tags:
        erased = await stream_erasure.erase(store, tag, lambda name, who: who == lead and webinar_id in {None, name})
        sums = _plus(sums, Forgotten(events=erased.events))
        async with deadline():  # replicas must have deleted it, too, also what an earlier try deleted
            await store.call_replicated("EXISTS", store.keys.events(tag))
    return sums


async def _leave_tombstones(store: Store, tags: tuple[str, ...], member: str) -> None:
    tombstone = Script.read("tombstone")
    for tag in tags:
        async with deadline():
            await store.run(tombstone, [store.keys.forgotten(tag)], [member, TOMBSTONE_SECONDS])


async def _all_webinars(store: Store) -> list[str]:
    async with deadline():
        found = await store.call_all([("ZRANGE", store.keys.webinars(tag), 0, -1) for tag in store.keys.tags])
    return [name.decode() for names in found for name in names]


async def _known(store: Store, lead: int, ids: list[str]) -> list[KnownIn]:
    keys, fields, asked = store.keys, list(_fields(lead)), list[tuple[Any, ...]]()
    for name in ids:
        asked += [
            ("HGET", keys.room(name), "public"),
            ("HEXISTS", keys.roster(name), lead),
            ("HEXISTS", keys.participations(name), lead),
            ("HMGET", keys.deliveries(name), *fields),
        ]
    async with deadline():
        replies = await store.call_all(asked)
    rows = zip(ids, replies[0::4], replies[1::4], replies[2::4], replies[3::4], strict=True)
    return [
        KnownIn(name, store.records.read(_ROOM, text, f"the state of {name}").status)
        for name, text, listed, took_part, messages in rows
        if text and (listed or took_part or any(messages))
    ]


async def _forget(store: Store, lead: int, webinar_id: str, patience: float = PATIENCE) -> Forgotten:
    """One webinar's records, as soon as nothing is just being sent."""
    forget, keys, tag = Script.read("forget"), store.keys, store.keys.tag(webinar_id)
    until = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < until:
        webinars_of = [
            *(keys.done(webinar_id, new_id()), keys.room(webinar_id), keys.roster(webinar_id)),
            *(keys.participations(webinar_id), keys.deliveries(webinar_id), keys.tally(webinar_id)),
            *(keys.fates(tag), keys.due(tag)),
        ]
        async with deadline():
            word, *counts = await store.run_replicated(
                forget, webinars_of, [DONE_SECONDS, webinar_id, lead, *_fields(lead)]
            )
        if word == b"running":
            raise _still_running(lead, webinar_id)
        if word == b"forgotten":
            return Forgotten(*counts)
        await _end_lapsed(store, lead, webinar_id)
        await asyncio.sleep(PAUSE)  # bounded by `until`
    raise StateUnavailable(f"messages of {webinar_id} to lead {lead} are being sent again and again; stop the workers")


async def _end_lapsed(store: Store, lead: int, webinar_id: str) -> None:
    """Nobody sends what its dead sender had in hand."""
    outbox = Outbox(store)
    for name in _fields(lead):
        held, now = await outbox.load(webinar_id, name), utc_now()
        if held and lease_expired(held.delivery, now):
            ended = finish(held.delivery, DeliveryStatus.UNDELIVERABLE, "discarded", now)
            await outbox.update(webinar_id, held, ended, FollowOn())


def _fields(lead: int) -> Iterator[str]:
    return (f"{lead}:{kind}" for kind in MessageKind)


def _plus(one: Forgotten, other: Forgotten) -> Forgotten:
    return Forgotten(*(first + second for first, second in zip(one, other, strict=True)))


def _still_running(lead: int, webinar_id: str) -> StillRunning:
    return StillRunning(
        f"{webinar_id} is running and knows lead {lead}, who could enter again at once: "
        "forget them when it is over; other webinars can be named with --webinar"
    )
