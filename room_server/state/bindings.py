"""The chats that people are bound to, in Redis: the same for all webinars and partitions, in one slot."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from room_server.core.bindings import Binding, BoundChats, Chat, Person, lead, partner
from room_server.core.decision_types import Facts
from room_server.core.room import RosterEntry
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

_BINDING = msgspec.json.Decoder(Binding)
_CHAT = msgspec.json.Decoder(Chat)


async def chats_of(store: Store, people: Sequence[Person]) -> dict[Person, int]:
    """The chats of those of these people who are bound. Raises StateUnavailable."""
    if not people:
        return {}
    async with deadline():
        found = await store.call("HMGET", store.keys.bot("bindings"), *map(str, people))
    known = (store.records.readable(_BINDING, raw, "a binding") if raw else None for raw in found)
    return {person: one.chat_id for person, one in zip(people, known, strict=True) if one is not None}


async def chat(store: Store, chat_id: int) -> Chat:
    """What is known of a chat. Raises StateUnavailable, UnreadableRecord."""
    async with deadline():
        raw = await store.call("HGET", store.keys.bot("chats"), chat_id)
    return store.records.read(_CHAT, raw, "a chat") if raw else Chat()


async def with_chats(store: Store, lead_id: int, facts: Facts) -> Facts:
    """The facts of a lead with the chats to which it and its partner are bound. Raises StateUnavailable."""
    (bound,) = await bound_chats(store, [(lead_id, facts.entry)])
    return replace(facts, bound=bound)


async def bound_chats(store: Store, leads: Sequence[tuple[int, RosterEntry | None]]) -> list[BoundChats]:
    """The chats to which these leads, each with its roster entry, and their partners are bound, in the same order.

    Only those are looked up that the roster does not have itself. Raises StateUnavailable.
    """
    wanted = [unknown_chats(lead_id, entry) for lead_id, entry in leads]
    chats = await chats_of(store, list({person for people in wanted for person in people}))
    return [
        BoundChats(
            candidate=chats.get(lead(lead_id)),
            partner=chats.get(partner(entry.partner_id)) if entry is not None and entry.partner_id else None,
        )
        for lead_id, entry in leads
    ]


def unknown_chats(lead_id: int, entry: RosterEntry | None) -> list[Person]:
    """The people whose chats a message about this lead may need, and the roster does not have."""
    people = [] if entry is not None and entry.candidate_chat_id is not None else [lead(lead_id)]
    if entry is not None and entry.partner_id is not None and entry.partner_chat_id is None:
        people.append(partner(entry.partner_id))
    return people
