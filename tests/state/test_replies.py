"""The queue of the bot's replies."""

from room_server.core.bindings import Chat
from room_server.core.connecting import Effect, Reply
from room_server.state import connections
from room_server.state.connections import Asked
from room_server.state.replies import LEASE_SECONDS, Replies
from room_server.state.store import Store
from tests.state.test_connections import take


async def queue(store: Store, *chats: int) -> Replies:
    """A reply to each chat."""
    for number, chat in enumerate(chats, 1):
        await take(store, Asked(number, chat, None), Effect(replies=(Reply(chat_id=chat, text="started"),)))
    return Replies(store)


async def make_due(store: Store) -> None:
    """Whatever waits is due, as if the time had passed."""
    key = store.keys.bot("replies_due")
    for name in await store.call("ZRANGE", key, 0, -1):
        await store.call("ZADD", key, 0, name)


async def test_a_reply_that_was_taken_is_nobody_elses_until_its_lease_ends(any_store: Store) -> None:
    replies = await queue(any_store, 11, 12)
    first, second = await replies.take(1), await replies.take(10)
    none = await replies.take(10)
    await make_due(any_store)
    again = await replies.take(10)

    assert [one.reply.chat_id for one in (*first, *second)] == [11, 12]
    assert (none, [one.tries for one in again]) == ([], [2, 2])
    assert LEASE_SECONDS > 6


async def test_a_reply_that_is_over_leaves_nothing(any_store: Store) -> None:
    replies = await queue(any_store, 11)
    (taken,) = await replies.take(1)
    await replies.remove(taken.name)

    assert await any_store.call("EXISTS", any_store.keys.bot("replies"), any_store.keys.bot("replies_due")) == 0


async def test_a_reply_can_be_postponed_with_and_without_counting(any_store: Store) -> None:
    replies = await queue(any_store, 11)
    (taken,) = await replies.take(1)
    await replies.postpone(taken.name, 0, is_try=False)
    (uncounted,) = await replies.take(1)
    await replies.postpone(taken.name, 0, is_try=True)
    (counted,) = await replies.take(1)
    await replies.postpone(taken.name, 60, is_try=True)

    assert (uncounted.tries, counted.tries, await replies.take(1)) == (1, 2, [])


async def test_a_reply_that_was_removed_meanwhile_does_not_come_back(any_store: Store) -> None:
    replies = await queue(any_store, 11)
    (taken,) = await replies.take(1)
    await replies.remove(taken.name)
    await replies.postpone(taken.name, 0, is_try=True)

    assert await replies.take(1) == []


async def test_what_cannot_be_read_is_dropped_and_holds_nobody_up(any_store: Store) -> None:
    replies = await queue(any_store, 11, 12)
    await any_store.call("HSET", any_store.keys.bot("replies"), "1:0", b"{")
    await any_store.call("ZADD", any_store.keys.bot("replies_due"), 0, "no such")

    assert [one.reply.chat_id for one in await replies.take(10)] == [12]
    assert await any_store.call("ZCARD", any_store.keys.bot("replies_due")) == 1


async def test_without_replies_nothing_is_written(any_store: Store) -> None:
    await connections.load(any_store, Asked(1, 11, None))
    await take(any_store, Asked(1, 11, None), Effect(chats={11: Chat(blocked=True)}))

    assert await Replies(any_store).take(10) == []
    assert await any_store.call("EXISTS", any_store.keys.clock("telegram")) == 0
