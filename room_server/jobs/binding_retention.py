"""Retention of what is known of chats: a binding stays as long as its person is on a stored roster, and so long after.

A chat to which nobody is bound is kept in the same way, as long as a roster names it: it may have sent /stop.
"""

import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.bindings import Binding, Chat, lead, partner, person_of
from room_server.state import connections, roster, webinars
from room_server.state.bulk_reads import hash_slices
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

EVERY_SECONDS = 86_400
"""How often the rosters are searched: for what has not been found on one for long, a day more does not matter."""


class Old(NamedTuple):
    """A record that was last found to be of use before the limit."""

    name: str
    raw: bytes
    record: Binding | Chat


class Kind(Struct, frozen=True):
    """A hash of the bot, and how to read its records."""

    name: str
    decoder: msgspec.json.Decoder[Any]


BINDINGS = Kind("bindings", msgspec.json.Decoder(Binding))
CHATS = Kind("chats", msgspec.json.Decoder(Chat))


async def expire(store: Store, before: datetime) -> int:
    """Delete what was last of use before then, at most once in EVERY_SECONDS; how many. Raises StateUnavailable."""
    async with deadline():
        if not await store.call("SET", store.keys.bot("tidied"), "1", "NX", "EX", EVERY_SECONDS):
            return 0
    old = {kind.name: [one async for one in _old(store, kind, before)] for kind in (BINDINGS, CHATS)}
    if not any(old.values()):
        return 0
    named = await _named(store)
    deleted = 0
    for kind, records in old.items():
        for one in records:
            deleted += await _keep_or_delete(store, kind, one, one.name in named)
    logger.info("retention: %d bindings and chats are deleted, which no roster names", deleted)
    return deleted


async def _old(store: Store, kind: Kind, before: datetime) -> AsyncIterator[Old]:
    """The records that may go: of chats those to which nobody is bound."""
    async for found in hash_slices(store, store.keys.bot(kind.name)):
        for name, raw in found.items():
            record = store.records.readable(kind.decoder, raw, "a binding or a chat")
            is_free = not (isinstance(record, Chat) and record.people)
            if record is not None and is_free and (record.at is None or record.at < before):
                yield Old(name.decode(), raw, record)


async def _named(store: Store) -> set[str]:
    """The people and the chats that the rosters of all webinars name."""
    named = set[str]()
    for webinar_id in await webinars.all_ids(store):
        async for entry in roster.entries(store, webinar_id):
            named.add(str(lead(entry.lead_id)))
            named |= {str(partner(entry.partner_id))} if entry.partner_id is not None else set()
            named |= {str(chat) for chat in (entry.candidate_chat_id, entry.partner_chat_id) if chat is not None}
    return named


async def _keep_or_delete(store: Store, kind: str, old: Old, is_named: bool) -> int:
    """Note that a record is of use, or delete it, unless it has changed meanwhile; how many were deleted."""
    if not is_named and isinstance(old.record, Binding):
        await connections.unbind(store, person_of(old.name))
        return 1
    wanted = msgspec.json.encode(replace(old.record, at=utc_now())) if is_named else b""
    async with deadline():
        arguments = [old.name, old.raw, wanted]
        done = await store.run_replicated(Script.read("replace_field"), [store.keys.bot(kind)], arguments)
    return 0 if is_named else int(done)
