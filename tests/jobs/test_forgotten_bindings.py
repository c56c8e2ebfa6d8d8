"""`lead forget` and the chat of the person."""

from msgspec.json import decode, encode

from room_server.core.bindings import Binding, Chat, lead
from room_server.jobs.erasure import forget
from room_server.state import bindings
from room_server.state.connections import BOT
from room_server.state.redis.pipeline import pairs
from room_server.state.store import Store
from tests.support import AT, room, transactions

LEAD, OTHER = 4207001, 4207002


async def test_a_forgotten_leads_chat_is_forgotten_unless_it_is_somebody_elses(any_store: Store) -> None:
    key, as_of = any_store.keys.bot, (1_795_000_000, 900_000_001)
    for chat, people in ((11, (LEAD,)), (12, (LEAD, OTHER))):
        known = Chat(people=tuple(str(lead(one)) for one in people), as_of=as_of)
        await any_store.call("HSET", key("chats"), chat, encode(known))
        await any_store.call("HSET", key("bindings"), str(lead(LEAD)), encode(Binding(chat, AT)))
        await forget(any_store, LEAD)

    found = {name: decode(raw, type=Chat) for name, raw in pairs(await any_store.call("HGETALL", key("chats")))}
    assert await bindings.chats_of(any_store, [lead(LEAD)]) == {}
    assert found == {b"12": Chat(people=(str(lead(OTHER)),), as_of=as_of)}
    assert await any_store.call("ZSCORE", any_store.keys.forgotten(BOT), LEAD) is not None


async def test_forgotten_in_one_webinar_a_lead_stays_connected(any_store: Store) -> None:
    await transactions(any_store).create(room())
    await any_store.call("HSET", any_store.keys.bot("bindings"), str(lead(LEAD)), encode(Binding(11, AT)))
    await forget(any_store, LEAD, "w")

    assert await bindings.chats_of(any_store, [lead(LEAD)]) == {lead(LEAD): 11}
