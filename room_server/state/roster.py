"""The roster of a webinar: an import takes effect as a whole or not at all; reads are in slices."""

import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from room_server.core.room import RosterEntry
from room_server.errors import StateUnavailable, webinar_unknown
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
    """Leads in the roster before and now, leads that `replace` removed, and leads that were left out."""

    before: int
    now: int
    removed: int = 0
    left_out: tuple[LeftOut, ...] = ()


async def import_roster(store: Store, webinar_id: str, entries: Iterable[RosterEntry], replace: bool) -> ImportResult:
    """Store checked entries, each lead once; with `replace` other leads are removed. Raises Unknown, StateUnavailable.

    Leads that were forgotten a short time ago (see jobs.erasure) are left out, even if the import began before that.
    """
    token = secrets.token_urlsafe(9)
    staged = store.keys.staged(webinar_id, token)
    rest = iter(entries)
    stage, count = Script.read("stage_roster"), 0
    while batch := list(islice(rest, BATCH)):
        fields = [part for entry in batch for part in (entry.lead_id, msgspec.json.encode(entry))]
        async with deadline():
            await store.run(stage, [staged], [STAGED_SECONDS, *fields])
        count += len(batch)
    return await take_effect(store, webinar_id, token, ["1" if replace else "0", DONE_SECONDS, count])


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
    before, now, removed, *left_out = map(int, reply)
    ends = (datetime.fromtimestamp(until / 1000, UTC) for until in left_out[1::2])
    return ImportResult(before, now, removed, tuple(map(LeftOut, left_out[::2], ends)))


async def entries(store: Store, webinar_id: str) -> AsyncIterator[RosterEntry]:
    """The roster, in no order; a lead may come twice if the roster changes meanwhile. Raises StateUnavailable.

    Entries that cannot be read are left out.
    """
    async for found in hash_slices(store, store.keys.roster(webinar_id)):
        for raw in found.values():
            entry = store.records.readable(ENTRY, raw, f"a roster entry of {webinar_id}")
            if entry is not None:
                yield entry
