"""Replies that get lost, requests that come late, lines that are cut: never a second write, a lost one or a lie."""

import asyncio
import time
from collections import Counter

import pytest

from room_server.errors import StateUnavailable
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import DEADLINE
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import LEAD, WEBINAR
from tests.outage import OwnRedis, own_redis
from tests.proxy import Proxy
from tests.state.acts import answer, done, events, everything, history, prepare
from tests.support import SLACK, eventually, settings_for, transactions

COMMIT = Script.read("commit").sha.encode()
DELETE = Script.read("delete").sha.encode()


async def test_a_lost_reply_is_no_second_write_and_no_wrong_answer(state: State, proxy: Proxy, far: Store) -> None:
    proxy.lose_reply_to(COMMIT)
    change = await done(far, builders.cta())

    assert (change.duplicate, change.room.version, proxy.lost) == (False, 8, 1)
    assert (await state.store.load(WEBINAR)).room == change.room
    assert await events(state) == ["core_webinar_set_cta_visibility"]


async def test_a_lost_reply_undoes_nothing_that_came_later(state: State, proxy: Proxy, far: Store) -> None:
    """It is asked again only after another process has changed the room back."""
    proxy.lose_reply_to(COMMIT)
    again = proxy.hold(COMMIT)
    first = asyncio.create_task(done(far, builders.cta()))
    await again.arrived.wait()
    later = await done(state.store, builders.cta(False))
    again.released.set()

    assert (await first).room.version == 8
    assert (await state.store.load(WEBINAR)).room == later.room
    assert await events(state) == ["core_webinar_set_cta_visibility"] * 2


async def test_a_request_that_comes_late_changes_nothing_any_more(state: State, proxy: Proxy, far: Store) -> None:
    """The first try is under way so long that it was asked again, and others have been there since."""
    late = proxy.hold(COMMIT)
    change = await done(far, builders.cta())
    later = await done(state.store, builders.cta(False))
    late.released.set()
    await late.answered.wait()

    assert change.room.version == 8
    assert (await state.store.load(WEBINAR)).room == later.room
    assert await events(state) == ["core_webinar_set_cta_visibility"] * 2


async def test_a_lead_whose_answer_was_lost_entered_once(state: State, proxy: Proxy, far: Store) -> None:
    proxy.lose_reply_to(COMMIT)
    proxy.lose_reply_to(COMMIT)

    assert await answer(far, builders.enter()) == "ok"
    assert await answer(state.store, builders.enter()) == "duplicate"
    assert await events(state) == ["client_webinar_entered"]


async def test_a_conflict_whose_reply_was_lost_is_decided_anew(state: State, proxy: Proxy, far: Store) -> None:
    await far.load(WEBINAR)
    await done(state.store, builders.cta())
    proxy.lose_reply_to(COMMIT)

    assert await answer(far, builders.stop()) == "ok"
    assert await events(state) == ["core_webinar_set_cta_visibility", "core_webinar_set_status"]


async def test_a_deletion_whose_reply_was_lost_spares_what_was_made_since(
    state: State, proxy: Proxy, far: Store
) -> None:
    proxy.lose_reply_to(DELETE)
    again = proxy.hold(DELETE)
    deleting = asyncio.create_task(far.delete(WEBINAR))
    await again.arrived.wait()
    made = await transactions(state.store).create(builders.room("draft"))
    before = await everything(state)
    again.released.set()
    await deleting

    assert (await state.store.load(WEBINAR)).room == made
    assert await everything(state) == before


async def test_a_deletion_takes_everything_of_its_webinar_and_nothing_else(any_state: State) -> None:
    store = any_state.store
    await transactions(store).create(builders.room("draft", webinar_id="other"))
    before = await everything(any_state)
    await prepare(store)
    await done(store, builders.enter())
    await done(store, builders.stop())
    await done(store, builders.complete())
    await store.delete(WEBINAR)
    left = await everything(any_state)
    keys, tag = store.keys, store.keys.tag(WEBINAR)
    fates = dict(pairs(await store.call("HGETALL", keys.fates(tag))))

    indices = {keys.events(tag), keys.outbox(tag), keys.fates(tag), keys.webinars(tag), keys.clock(tag)}
    assert set(left) - set(before) <= indices
    assert (await store.load("other")).room is not None
    assert await store.call("ZSCORE", keys.webinars(tag), WEBINAR) is None
    assert {int(count) for count in fates.values()} == {0}


async def test_a_redis_that_has_gone_is_said_in_time_and_all_heals() -> None:
    assert all(await asyncio.gather(outlives("killed"), outlives("frozen")))


async def outlives(gone: str) -> bool:
    """Whether all heals when Redis comes back, after thirty refusals in time."""
    async with own_redis() as redis, open_state(settings_for(redis.url)) as state:
        await prepare(state.store)
        await stop(redis, gone)
        times = await asyncio.gather(*(refused(state.store, lead) for lead in range(1, 31)))
        await resume(redis, gone)

        assert max(times) < DEADLINE + SLACK
        assert await eventually(lambda: entered(state.store), "leads can enter again")
        return set(Counter(await history(state)).values()) == {1}


async def stop(redis: OwnRedis, how: str) -> None:
    """It is gone, or says nothing any more."""
    if how == "killed":
        await redis.kill()
    else:
        redis.freeze()


async def resume(redis: OwnRedis, how: str) -> None:
    """It is there again, with what it had stored."""
    if how == "killed":
        await redis.start()
    else:
        redis.thaw()


async def refused(store: Store, lead: int) -> float:
    """How long it took until the refusal."""
    started = time.monotonic()
    with pytest.raises(StateUnavailable):
        await done(store, builders.enter(lead))
    return time.monotonic() - started


async def entered(store: Store) -> bool:
    """Whether a lead can enter."""
    return await answer(store, builders.enter(LEAD)) in {"ok", "duplicate"}
