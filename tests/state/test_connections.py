"""What an update changes in Redis: all or nothing, once, and only if nothing has changed since it was decided."""

import asyncio

import msgspec
import pytest

from room_server.core.bindings import Binding, Chat, Takeover, lead, partner
from room_server.core.connecting import Effect, Reply
from room_server.errors import UnreadableRecord
from room_server.state import bindings, connections
from room_server.state.connections import MOST_REPLIES, REPLIES_EACH, SEEN_SECONDS, Asked
from room_server.state.replies import Replies
from room_server.state.store import Store
from tests.support import AT

ANNA = Asked(1, 11, lead(42))
REPLY = Reply(chat_id=11, text="connected")
BOUND = Effect(binding=Binding(11, AT), chats={11: Chat(people=("lead:42",))}, replies=(REPLY,), is_bound=True)


async def take(store: Store, asked: Asked, effect: Effect) -> int | None:
    """Load and commit, as one process that is alone does; None: it counts already."""
    loaded = await connections.load(store, asked)
    return None if loaded is None else await connections.commit(store, asked, loaded, effect)


async def waiting(store: Store) -> list[Reply]:
    """The replies that are due."""
    return [one.reply for one in await Replies(store).take(1000)]


async def test_what_was_decided_is_stored_and_loaded_for_the_next(any_store: Store) -> None:
    assert await take(any_store, ANNA, BOUND) == 0

    loaded = await connections.load(any_store, ANNA._replace(update_id=2))
    assert loaded is not None
    assert (loaded.facts.binding, loaded.facts.chats) == (BOUND.binding, BOUND.chats)
    assert await bindings.chats_of(any_store, [lead(42)]) == {lead(42): 11}
    assert await waiting(any_store) == [REPLY]
    assert await any_store.call("GET", any_store.keys.bot("bound")) == b"1"


async def test_the_facts_are_those_of_all_chats_that_have_a_part_in_it(any_store: Store) -> None:
    taken = Binding(11, AT, Takeover(12, "9", AT))
    chats = {11: Chat(locale="en"), 12: Chat(opted_out=True), 13: Chat(blocked=True)}
    await take(any_store, ANNA, Effect(binding=taken, chats=chats))

    loaded = await connections.load(any_store, Asked(2, 13, lead(42)))
    assert loaded is not None
    assert loaded.facts.chats == chats
    nobody = await connections.load(any_store, Asked(2, 13, None))
    assert nobody is not None
    assert (nobody.facts.binding, nobody.facts.chats) == (None, {13: chats[13]})


async def test_an_update_counts_once_and_is_remembered_for_longer_than_telegram_keeps_it(any_store: Store) -> None:
    loaded = await connections.load(any_store, ANNA)
    assert loaded is not None
    for _ in range(3):
        assert await connections.commit(any_store, ANNA, loaded, BOUND) == 0

    assert await connections.load(any_store, ANNA) is None
    assert await waiting(any_store) == [REPLY]
    assert await any_store.call("TTL", any_store.keys.bot("update:1")) > SEEN_SECONDS - 60 > 86_400


async def test_of_two_that_were_decided_on_the_same_one_is_written(any_store: Store) -> None:
    """A link is pressed in two chats at once."""
    askers = [Asked(number, 10 + number, lead(42)) for number in (1, 2)]
    loaded = [await connections.load(any_store, asked) for asked in askers]
    effects = [
        Effect(binding=Binding(one.chat_id, AT), chats={one.chat_id: Chat(people=("lead:42",))}) for one in askers
    ]

    done = await asyncio.gather(
        *(connections.commit(any_store, *row) for row in zip(askers, loaded, effects, strict=True) if row[1])  # type: ignore[arg-type]
    )

    assert sorted(map(str, done)) == ["0", "None"]
    assert len(await any_store.call("HGETALL", any_store.keys.bot("chats"))) in {1, 2}  # RESP3: a map of one
    assert (await bindings.chats_of(any_store, [lead(42)]))[lead(42)] == 11 + done.index(0)


async def test_a_lead_that_is_forgotten_between_the_decision_and_the_commit_is_not_bound(any_store: Store) -> None:
    loaded = await connections.load(any_store, ANNA)
    assert loaded is not None
    await connections.forget(any_store, 42, 60)

    assert await connections.commit(any_store, ANNA, loaded, BOUND) is None
    again = await connections.load(any_store, ANNA)
    assert again is not None
    assert again.facts.is_forgotten
    assert await connections.commit(any_store, ANNA, again, Effect(replies=(REPLY,))) == 0
    other = await connections.load(any_store, Asked(3, 11, partner(42)))
    assert other is not None
    assert not other.facts.is_forgotten


async def test_a_chat_gets_so_many_replies_a_minute_and_its_updates_count_all_the_same(any_store: Store) -> None:
    for number in range(REPLIES_EACH):
        assert await take(any_store, Asked(number, 11, None), Effect(replies=(REPLY,))) == 0

    beyond = await take(any_store, Asked(500, 11, None), Effect(chats={11: Chat(opted_out=True)}, replies=(REPLY,)))

    assert beyond == 1
    assert len(await waiting(any_store)) == REPLIES_EACH
    loaded = await connections.load(any_store, Asked(501, 11, None))
    assert loaded is not None
    assert loaded.facts.chats[11].opted_out
    assert await take(any_store, Asked(502, 12, None), Effect(replies=(REPLY,))) == 0


async def test_no_more_replies_wait_than_the_bound(any_store: Store) -> None:
    key = any_store.keys.bot("replies")
    for start in range(0, MOST_REPLIES, 1000):
        await any_store.call("HSET", key, *(part for number in range(start, start + 1000) for part in (number, "")))
    beyond = await take(any_store, Asked(1, 11, None), Effect(replies=(REPLY,)))
    await any_store.call("HDEL", key, 1)

    assert beyond == 1
    assert await take(any_store, Asked(2, 11, None), Effect(replies=(REPLY,))) == 0


async def test_a_record_that_cannot_be_read_is_no_fact(any_store: Store) -> None:
    await any_store.call("HSET", any_store.keys.bot("bindings"), "lead:42", b"{")

    with pytest.raises(UnreadableRecord):
        await connections.load(any_store, ANNA)


async def test_the_records_are_plain_json(any_store: Store) -> None:
    """Whoever repairs one by hand can read it."""
    await take(any_store, ANNA, BOUND)
    raw = await any_store.call("HGET", any_store.keys.bot("chats"), "11")

    assert msgspec.json.decode(raw) == {"people": ["lead:42"]}
