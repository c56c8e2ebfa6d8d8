"""The chats that people are bound to, as messages need them."""

from room_server.core.bindings import BoundChats, lead, partner
from room_server.core.room import RosterEntry
from room_server.state import bindings
from room_server.state.store import Store
from tests.telegram.people import bind


async def test_the_chats_of_those_who_are_bound(any_store: Store) -> None:
    await bind(any_store, lead(1), 11)
    await bind(any_store, partner(1), 12)
    await any_store.call("HSET", any_store.keys.bot("bindings"), "lead:3", b"{")

    found = await bindings.chats_of(any_store, [lead(1), lead(2), lead(3), partner(1)])

    assert found == {lead(1): 11, partner(1): 12}
    assert await bindings.chats_of(any_store, []) == {}


async def test_only_what_the_roster_does_not_have_is_looked_up(any_store: Store) -> None:
    for person, chat in ((lead(1), 11), (lead(2), 12), (partner(7), 17), (partner(8), 18)):
        await bind(any_store, person, chat)
    rows = [
        (1, None),
        (1, RosterEntry(lead_id=1, partner_id=7)),
        (2, RosterEntry(lead_id=2, candidate_chat_id=1, partner_id=8, partner_chat_id=2)),
        (3, RosterEntry(lead_id=3)),
    ]

    assert await bindings.bound_chats(any_store, rows) == [
        BoundChats(candidate=11),
        BoundChats(candidate=11, partner=17),
        BoundChats(),
        BoundChats(),
    ]
