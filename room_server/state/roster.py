"""The roster of a webinar: an import takes effect as a whole or not at all; reads are in slices."""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from room_server.core.registration import Lead, merged
from room_server.core.room import RosterEntry
from room_server.errors import RoomServerError, StateUnavailable, webinar_unknown
from room_server.ids import new_id
from room_server.state import webinars
from room_server.state.bulk_reads import hash_slices
from room_server.state.commits import DONE_SECONDS
from room_server.state.records import ENTRY
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

STAGED_SECONDS = 600
"""Time to live of the part of an import that was sent so far; nothing but the import reads it."""
BATCH = 1000
"""Leads in one command."""


class LeftOut(NamedTuple):
    """A lead that was forgotten a short time ago, and until when imports leave it out."""

    lead_id: int
    until: datetime


class ImportResult(NamedTuple):
    """Leads in the roster before and now, and how many were removed by `replace`, left out, added and changed."""

    before: int
    now: int
    removed: int = 0
    left_out: tuple[LeftOut, ...] = ()
    added: int = 0
    updated: int = 0


class RosterChanged(RoomServerError):
    """The roster changed while an import read it. Nothing was imported: do it again."""


class Withdrawal(NamedTuple):
    """The leads that were on the roster and are not any more, and those that stay because they have entered."""

    removed: tuple[int, ...]
    kept: tuple[int, ...]


async def import_roster(
    store: Store, webinar_id: str, leads: Iterable[RosterEntry | Lead], replace: bool
) -> ImportResult:
    """Store checked leads, each once; with `replace` other leads are removed.

    Leads that were forgotten a short time ago (see jobs.erasure) are left out, even if the import began before that.
    Raises Unknown, RosterChanged, StateUnavailable.
    """
    token = secrets.token_urlsafe(9)
    staged, roster = store.keys.staged(webinar_id, token), store.keys.roster(webinar_id)
    async with deadline():
        for_empty = not await store.call("HLEN", roster)
    rest = iter(leads)
    stage, count, markers = Script.read("stage_roster"), 0, 0
    while batch := list(islice(rest, BATCH)):
        known = {} if for_empty else await _known(store, webinar_id, batch)
        fields: list[Any] = []
        for lead in batch:
            stored = known.get(lead.lead_id, b"")
            entry = store.records.readable(ENTRY, stored, f"a roster entry of {webinar_id}") if stored else None
            fields += [lead.lead_id, msgspec.json.encode(merged(lead, entry))]
        for number, stored in known.items():
            fields += [f"={number}", stored]
        async with deadline():
            await store.run(stage, [staged], [STAGED_SECONDS, *fields])
        count, markers = count + len(batch), markers + len(known)
    flags = ["1" if replace else "0", DONE_SECONDS]
    return await take_effect(store, webinar_id, token, [*flags, count + markers, count, "1" if for_empty else "0"])


async def _known(store: Store, webinar_id: str, leads: Sequence[RosterEntry | Lead]) -> dict[int, bytes]:
    """The stored entries of the leads that are to be merged; empty for one that has none."""
    numbers = [lead.lead_id for lead in leads if isinstance(lead, Lead)]
    if not numbers:
        return {}
    async with deadline():
        stored = await store.call("HMGET", store.keys.roster(webinar_id), *numbers)
    return {number: raw or b"" for number, raw in zip(numbers, stored, strict=True)}


async def take_effect(store: Store, webinar_id: str, token: str, arguments: list[Any]) -> ImportResult:
    """Run `import_roster.lua` with these ARGV on what was staged."""
    keys, tag = store.keys, store.keys.tag(webinar_id)
    places = [
        *(keys.staged(webinar_id, token), keys.roster(webinar_id), keys.room(webinar_id), keys.evaluations(tag)),
        *(keys.done(webinar_id, token), keys.forgotten(tag), keys.clock(tag)),
    ]
    async with deadline():
        reply = await store.run_replicated(Script.read("import_roster"), places, arguments)
    if reply[0] == b"unknown":
        raise webinar_unknown(webinar_id)
    if reply[0] == b"lost":
        raise StateUnavailable("Redis lost leads on their way in, so the roster is as it was; import again")
    if reply[0] == b"changed":
        raise RosterChanged("the roster changed meanwhile; nothing was imported, import again")
    before, now, removed, added, updated, *left_out = map(int, reply)
    ends = (datetime.fromtimestamp(until / 1000, UTC) for until in left_out[1::2])
    return ImportResult(before, now, removed, tuple(map(LeftOut, left_out[::2], ends)), added, updated)


async def withdraw(store: Store, webinar_id: str, leads: Sequence[int]) -> Withdrawal:
    """Take leads off the roster, all in one step; their short links end. Raises Unknown, StateUnavailable."""
    keys = store.keys
    records = [keys.room, keys.roster, keys.participations, keys.links]
    places = [keys.done(webinar_id, new_id()), *(key(webinar_id) for key in records)]
    async with deadline():
        reply = await store.run_replicated(Script.read("withdraw"), places, [DONE_SECONDS, *leads])
    if reply[0] == b"unknown":
        raise webinar_unknown(webinar_id)
    count, *found = map(int, reply)
    return Withdrawal(tuple(found[:count]), tuple(found[count:]))


async def entries(store: Store, webinar_id: str) -> AsyncIterator[RosterEntry]:
    """The roster, in no order; a lead may come twice if the roster changes meanwhile. Raises StateUnavailable.

    Entries that cannot be read are left out.
    """
    async for found in hash_slices(store, store.keys.roster(webinar_id)):
        for raw in found.values():
            entry = store.records.readable(ENTRY, raw, f"a roster entry of {webinar_id}")
            if entry is not None:
                yield entry


async def partners(store: Store) -> set[int]:
    """The partners on the rosters of all webinars. Raises StateUnavailable."""
    names = await webinars.all_ids(store)
    return {entry.partner_id for name in names async for entry in entries(store, name) if entry.partner_id is not None}


async def locale_of(store: Store, webinar_ids: Sequence[str], lead_id: int) -> str | None:
    """The lead's language by the first of these rosters that says it; None: none does. Raises StateUnavailable."""
    async with deadline():
        found = await store.call_all([("HGET", store.keys.roster(name), lead_id) for name in webinar_ids])
    entries_found = (store.records.readable(ENTRY, raw, "a roster entry") for raw in found if raw)
    return next((entry.locale for entry in entries_found if entry is not None and entry.locale is not None), None)
