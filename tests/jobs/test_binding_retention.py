"""How long bindings and chats are kept: as long as a roster names them, and the retention after that."""

from datetime import timedelta

import msgspec

from room_server.clock import utc_now
from room_server.core.bindings import Binding, Chat, Person, lead, partner
from room_server.core.room import RosterEntry
from room_server.jobs.binding_retention import expire
from room_server.state import bindings
from room_server.state.roster import import_roster
from room_server.state.store import Store
from tests.support import room, transactions

LIMIT = timedelta(days=30)


async def bind(store: Store, person: Person, chat_id: int, days: int) -> None:
    """The person was bound so many days ago."""
    at = utc_now() - timedelta(days=days)
    await store.call("HSET", store.keys.bot("bindings"), str(person), msgspec.json.encode(Binding(chat_id, at)))
    await know(store, chat_id, Chat(people=(str(person),), at=at))


async def know(store: Store, chat_id: int, chat: Chat) -> None:
    await store.call("HSET", store.keys.bot("chats"), chat_id, msgspec.json.encode(chat))


async def chats(store: Store) -> list[int]:
    """The chats that are known."""
    return sorted(int(name) for name in await store.call("HKEYS", store.keys.bot("chats")))


async def tidy(store: Store) -> int:
    """A run of retention, on a day of its own."""
    await store.call("DEL", store.keys.bot("tidied"))
    return await expire(store, utc_now() - LIMIT)


async def test_what_no_roster_names_goes_when_it_is_old(any_store: Store) -> None:
    await transactions(any_store).create(room())
    entries = [RosterEntry(lead_id=1, partner_id=1), RosterEntry(lead_id=2, candidate_chat_id=21, partner_chat_id=22)]
    await import_roster(any_store, "w", entries, replace=False)
    people = [lead(1), partner(1), lead(3), partner(3), lead(4)]
    for chat, person in enumerate(people, 11):
        await bind(any_store, person, chat, 5 if person == lead(4) else 31)
    old = utc_now() - timedelta(days=31)
    for chat in (21, 22, 23):
        await know(any_store, chat, Chat(opted_out=True, at=old))
    await know(any_store, 24, Chat(opted_out=True, at=utc_now()))

    assert await tidy(any_store) == 3
    assert set(await bindings.chats_of(any_store, people)) == {lead(1), partner(1), lead(4)}
    assert await chats(any_store) == [11, 12, 15, 21, 22, 24]


async def test_what_a_roster_names_is_of_use_today(any_store: Store) -> None:
    """Its retention begins when its last webinar is deleted, and not when it was bound."""
    await transactions(any_store).create(room())
    await import_roster(any_store, "w", [RosterEntry(lead_id=1)], replace=False)
    await bind(any_store, lead(1), 11, 31)
    await tidy(any_store)
    await any_store.delete("w")

    assert await tidy(any_store) == 0
    assert await bindings.chats_of(any_store, [lead(1)]) == {lead(1): 11}


async def test_the_rosters_are_searched_once_a_day(any_store: Store) -> None:
    await tidy(any_store)
    await bind(any_store, lead(1), 11, 31)

    assert await expire(any_store, utc_now() - LIMIT) == 0
    assert await tidy(any_store) == 1


async def test_what_cannot_be_read_stays_and_stops_nothing(any_store: Store) -> None:
    await any_store.call("HSET", any_store.keys.bot("chats"), 11, b"{")
    await bind(any_store, lead(1), 12, 31)

    assert await tidy(any_store) == 1
    assert await chats(any_store) == [11]
