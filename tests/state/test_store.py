"""Load, decide, commit, and decide again when someone else was first."""

import asyncio
from itertools import islice

import pytest
from msgspec.structs import replace

from room_server.core.room import public_text
from room_server.errors import Conflict, StateUnavailable, Unknown
from room_server.state.copies import MOST
from room_server.state.startup import State
from room_server.state.store import ATTEMPTS, Store
from tests.core import builders
from tests.core.builders import LEAD, OTHER_LEAD, WEBINAR
from tests.proxy import proxy_to
from tests.state.acts import another, answer, done, events, everything, prepare, servers
from tests.support import renew, transactions


async def test_what_was_created_is_loaded(any_store: Store) -> None:
    made = await transactions(any_store).create(builders.room("scheduled"))

    assert (await any_store.load(WEBINAR)).room == made == builders.room("scheduled")


async def test_what_is_not_there_is_none(any_store: Store) -> None:
    facts = await any_store.load(WEBINAR, LEAD)

    assert (facts.room, facts.participation, facts.entry) == (None, None, None)


async def test_a_webinar_is_created_once(any_state: State) -> None:
    await prepare(any_state.store)
    before = await everything(any_state)
    with pytest.raises(Conflict) as refused:
        await transactions(any_state.store).create(builders.room("draft"))

    assert refused.value.code == "webinar_exists"
    assert await everything(any_state) == before


async def test_a_command_is_applied_and_told(any_state: State) -> None:
    await prepare(any_state.store, "scheduled")
    change = await done(any_state.store, builders.start())

    assert (await any_state.store.load(WEBINAR)).room == change.room
    assert change.room.version == builders.room().version + 1
    assert await any_state.store.public_texts([WEBINAR]) == [public_text(change.room)]
    assert await events(any_state) == ["core_webinar_set_status"]


async def test_a_leads_records_are_loaded_with_the_room(any_store: Store) -> None:
    await prepare(any_store)
    change = await done(any_store, builders.enter())
    facts = await any_store.load(WEBINAR, LEAD)

    assert (facts.room, facts.participation) == (change.room, change.participation)
    assert (await any_store.load(WEBINAR, OTHER_LEAD)).participation is None


@pytest.mark.parametrize(
    ("status", "hook", "code"),
    [
        ("scheduled", builders.enter(), "webinar_not_live"),
        ("finished", builders.start(), "webinar_state_invalid_restart"),
        ("finished", builders.complete(), "lead_not_entered"),
        ("live", builders.evaluate(), "webinar_not_finished"),
        ("archived", builders.cta(), "webinar_state_locked"),
    ],
)
async def test_a_refused_command_leaves_no_trace(any_state: State, status: str, hook: builders.Hook, code: str) -> None:
    await prepare(any_state.store, status)
    before = await everything(any_state)

    assert await answer(any_state.store, hook) == code
    assert await everything(any_state) == before


async def test_nothing_can_be_done_to_a_webinar_that_is_not_there(any_state: State) -> None:
    assert await answer(any_state.store, builders.start()) == "webinar_unknown"
    assert await answer(any_state.store, builders.enter()) == "webinar_unknown"
    with pytest.raises(Unknown):
        await transactions(any_state.store).edit(WEBINAR, lambda room: room)
    assert set(await everything(any_state)) == {"rs:partitions"}


async def test_of_fifty_simultaneous_starts_one_acts(any_state: State, any_url: str) -> None:
    await prepare(any_state.store, "scheduled")
    async with another(any_url) as other:
        answers = await asyncio.gather(
            *(answer(store, builders.start()) for _ in range(25) for store in (any_state.store, other))
        )

    assert sorted(answers) == ["duplicate"] * 49 + ["ok"]
    assert await events(any_state) == ["core_webinar_set_status"]


async def test_a_crowd_enters_while_the_room_changes(any_state: State, any_url: str) -> None:
    """Each lead is in exactly once, by whatever process it came and however often it said so."""
    await prepare(any_state.store)
    async with another(any_url) as other:
        stores = (any_state.store, other)
        entering = [answer(store, builders.enter(lead)) for lead in range(1, 101) for store in stores]
        changing = [answer(store, builders.cta(shown)) for shown in (True, False) for store in stores]
        answers = await asyncio.gather(*entering, *changing)

    assert answers[:200].count("ok") == 100
    assert answers[:200].count("duplicate") == 100
    assert (await events(any_state)).count("client_webinar_entered") == 100


async def test_deciding_again_is_bounded(any_state: State, any_url: str) -> None:
    """Everyone changes the room at once: each is told whether it did, and the versions say the same."""
    await prepare(any_state.store)
    async with another(any_url) as other:
        edits = [
            transactions(store).edit(WEBINAR, lambda room: replace(room, version=room.version + 1))
            for _ in range(30)
            for store in (any_state.store, other)
        ]
        results = await asyncio.gather(*edits, return_exceptions=True)
    refused = [result for result in results if isinstance(result, StateUnavailable)]
    versions = sorted(result.version for result in results if not isinstance(result, BaseException))

    assert versions == list(range(8, 8 + len(versions)))
    assert len(versions) + len(refused) == 60
    assert len(versions) >= ATTEMPTS
    assert all(f"{ATTEMPTS} times" in refusal.detail for refusal in refused)


@pytest.mark.parametrize(
    ("status", "meanwhile", "hook", "told"),
    [
        ("scheduled", builders.start(), builders.enter(), "ok"),
        ("live", builders.stop(), builders.start(), "webinar_state_invalid_restart"),
        ("live", builders.cta(), builders.cta(False), "ok"),
        ("live", builders.stop(), builders.enter(), "webinar_not_live"),
        ("live", builders.enter(), builders.enter(), "duplicate"),
        ("live", builders.stop(), builders.stop(), "duplicate"),
    ],
    ids=["refusal", "repeat refused", "repeat accepted", "acceptance refused", "entered", "stopped"],
)
async def test_an_old_copy_is_never_what_is_answered_from(
    any_state: State, any_url: str, status: str, meanwhile: builders.Hook, hook: builders.Hook, told: str
) -> None:
    """One process knows the room as it was; another has changed it."""
    await prepare(any_state.store, status)
    async with another(any_url) as other:
        await done(other, meanwhile)
        before = await events(any_state)

        assert await answer(any_state.store, hook) == told
        assert len(await events(any_state)) - len(before) == (told == "ok")


async def test_an_old_copy_of_a_deleted_webinar_is_not_answered_from(any_state: State, any_url: str) -> None:
    await prepare(any_state.store)
    async with another(any_url) as other:
        await other.delete(WEBINAR)

    assert await answer(any_state.store, builders.stop()) == "webinar_unknown"


async def test_an_acceptance_from_the_copy_takes_one_round_trip(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy, another(proxy.url) as store:
        await prepare(store, "scheduled")
        before = proxy.turns
        await done(store, builders.start())
        with_copy = proxy.turns - before
        store.drop_copies(store.keys.tag(WEBINAR))
        await done(store, builders.stop())

    assert (with_copy, proxy.turns - before - with_copy) == (1, 2)


async def test_concurrent_commands_share_their_round_trips(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy, another(proxy.url) as store:
        await prepare(store)
        before = proxy.turns
        await asyncio.gather(*(done(store, builders.enter(lead)) for lead in range(1, 301)))

        assert proxy.turns - before <= 300 / 30


async def test_the_copies_are_bounded_and_the_last_used_stays(valkey_url: str) -> None:
    async with another(valkey_url) as store:
        await prepare(store)
        made = (builders.room("draft", webinar_id=f"w-{number}") for number in range(MOST + 10))
        while rooms := list(islice(made, 250)):
            await asyncio.gather(*(transactions(store).create(room) for room in rooms))
            await renew(store, WEBINAR)

        assert len(store._copies) == MOST
        assert store._copies.get(WEBINAR) is not None


async def test_public_texts_come_in_the_order_asked_for(any_store: Store) -> None:
    rooms = [builders.room("live", webinar_id=f"w-{number}") for number in range(20)]
    for room in rooms:
        await transactions(any_store).create(room)
    texts = await any_store.public_texts([room.webinar_id for room in reversed(rooms)] + ["no-such"])

    assert texts == [*(public_text(room) for room in reversed(rooms)), None]


async def test_a_renewed_room_is_the_same_under_another_epoch(any_store: Store) -> None:
    await prepare(any_store)
    renewed = await renew(any_store, WEBINAR)

    assert renewed == replace(builders.room(), epoch=renewed.epoch, version=builders.room().version + 1)
    assert renewed.epoch != builders.room().epoch


async def test_what_redis_refuses_is_said(any_state: State) -> None:
    await prepare(any_state.store)
    await any_state.store.call("SET", any_state.store.keys.room(WEBINAR), "not a hash")

    with pytest.raises(StateUnavailable, match="WRONGTYPE"):
        await any_state.store.load(WEBINAR)


async def test_a_full_redis_takes_nothing_and_says_so(any_state: State) -> None:
    """It refuses the first write of the step, so there is no half of one."""
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
