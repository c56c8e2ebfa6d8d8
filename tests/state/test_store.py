"""The store loads and writes records, and keeps a bounded number of copies of rooms."""

from itertools import islice

import pytest

from room_server.core.room import public_text
from room_server.errors import StateUnavailable
from room_server.state.keys import Keys
from room_server.state.startup import State
from room_server.state.store import MAX_COPIES, RoomCopies, Store
from tests.core import builders
from tests.core.builders import LEAD, OTHER_LEAD, WEBINAR
from tests.state.acts import another, answer, done, everything, prepare, servers
from tests.support import few_at_once, renew, room, transactions

KEYS = Keys(8)


async def test_a_created_webinar_is_loaded(any_store: Store) -> None:
    made = await transactions(any_store).create(builders.room("scheduled"))

    assert (await any_store.load(WEBINAR)).room == made == builders.room("scheduled")


async def test_missing_records_are_none(any_store: Store) -> None:
    facts = await any_store.load(WEBINAR, LEAD)

    assert (facts.room, facts.participation, facts.entry) == (None, None, None)


async def test_a_leads_records_are_loaded_with_the_room(any_store: Store) -> None:
    await prepare(any_store)
    change = await done(any_store, builders.enter())
    facts = await any_store.load(WEBINAR, LEAD)

    assert (facts.room, facts.participation) == (change.room, change.participation)
    assert (await any_store.load(WEBINAR, OTHER_LEAD)).participation is None


async def test_the_copies_are_bounded_and_the_last_used_stays(valkey_url: str) -> None:
    async with another(valkey_url) as store:
        await prepare(store)
        made = (builders.room("draft", webinar_id=f"w-{number}") for number in range(MAX_COPIES + 10))
        while rooms := list(islice(made, 250)):
            await few_at_once(transactions(store).create(room) for room in rooms)
            await renew(store, WEBINAR)

        assert len(store.copies) == MAX_COPIES
        assert store.copies.get(WEBINAR) is not None


async def test_public_texts_come_in_the_order_asked_for(any_store: Store) -> None:
    rooms = [builders.room("live", webinar_id=f"w-{number}") for number in range(20)]
    for one in rooms:
        await transactions(any_store).create(one)
    texts = await any_store.public_texts([one.webinar_id for one in reversed(rooms)] + ["no-such"])

    assert texts == [*(public_text(room) for room in reversed(rooms)), None]


async def test_a_command_that_redis_refuses_is_an_error(any_state: State) -> None:
    await prepare(any_state.store)
    await any_state.store.call("SET", any_state.store.keys.room(WEBINAR), "not a hash")

    with pytest.raises(StateUnavailable, match="WRONGTYPE"):
        await any_state.store.load(WEBINAR)


async def test_a_full_redis_takes_nothing_and_says_so(any_state: State) -> None:
    """It refuses the first write of the script, so nothing is half done."""
    await prepare(any_state.store)
    before = await everything(any_state)
    async with servers(any_state) as clients:
        for client in clients:
            await client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StateUnavailable, match=r"OOM|maxmemory"):
                await done(any_state.store, builders.enter())
            with pytest.raises(StateUnavailable):
                await done(any_state.store, builders.stop())
        finally:
            for client in clients:
                await client.config_set("maxmemory", "0")

    assert await everything(any_state) == before
    assert await answer(any_state.store, builders.enter()) == "ok"


def test_the_last_room_is_the_copy() -> None:
    copies, first, second = RoomCopies(KEYS), room("w"), room("w", version=2)
    copies.remember(first)
    copies.remember(second)

    assert (copies.get("w"), copies.get("other"), len(copies)) == (second, None, 1)


def test_the_copies_of_a_partition_are_dropped_and_no_others() -> None:
    copies, rooms = RoomCopies(KEYS), [room(f"w-{number}") for number in range(32)]
    for one in rooms:
        copies.remember(one)
    copies.drop_all(KEYS.tags[0])

    assert {one.webinar_id for one in rooms if copies.get(one.webinar_id) is None} == {
        one.webinar_id for one in rooms if KEYS.tag(one.webinar_id) == KEYS.tags[0]
    }
    assert len(copies) == sum(KEYS.tag(one.webinar_id) != KEYS.tags[0] for one in rooms)  # they take no memory either
    copies.remember(rooms[0])
    assert copies.get(rooms[0].webinar_id) is rooms[0]


def test_a_webinar_that_is_deleted_has_no_copy() -> None:
    copies = RoomCopies(KEYS)
    copies.remember(room("w"))
    for _ in range(2):
        copies.drop("w")

    assert (copies.get("w"), len(copies)) == (None, 0)


def test_the_copy_that_was_stored_longest_ago_goes_first() -> None:
    copies, kept = RoomCopies(KEYS), room("kept")
    copies.remember(kept)
    for number in range(MAX_COPIES - 1):
        copies.remember(room(f"w-{number}"))
    copies.remember(kept)
    copies.remember(room("one-more"))

    assert (len(copies), copies.get("kept"), copies.get("w-0")) == (MAX_COPIES, kept, None)
