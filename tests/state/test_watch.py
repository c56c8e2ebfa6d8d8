"""Watch time in Redis: slots are only added, in one step for many leads, and to the right broadcast only."""

from datetime import timedelta
from random import Random

import pytest

from room_server.core import watch_time
from room_server.core.messages import MAX_LEAD_ID
from room_server.core.room import Status
from room_server.jobs.erasure import forget
from room_server.state.redis.pipeline import Script
from room_server.state.startup import State
from room_server.state.store import Store
from room_server.state.watch import Broadcast, add
from tests.core.builders import WEBINAR
from tests.proxy import Proxy
from tests.support import AT, room, transactions

THE_BROADCAST = Broadcast("w", AT)
LEADS = [1, 2, 77, MAX_LEAD_ID]


@pytest.fixture
async def live(any_store: Store) -> Store:
    """A webinar on the air, in every kind of place."""
    await transactions(any_store).create(room(status=Status.LIVE, started_at=AT, on_air_since=AT))
    return any_store


async def stored(store: Store, leads: list[int] = LEADS) -> dict[int, int]:
    """The slots of each lead that has any."""
    found = await store.call("HMGET", store.keys.watch("w"), *leads)
    return {lead: watch_time.from_bytes(bitmap) for lead, bitmap in zip(leads, found, strict=True) if bitmap}


async def test_slots_of_many_leads_are_added_to_those_that_are_stored(live: Store) -> None:
    first = {1: 0b1, 2: 0b1011 << 60, MAX_LEAD_ID: 1 << (watch_time.MAX_SLOTS - 1)}
    second = {1: 0b110, 2: 0b0100 << 60, 77: 1 << 1000}

    assert await add(live, THE_BROADCAST, first)
    assert await add(live, THE_BROADCAST, second)
    assert await stored(live) == {1: 0b111, 2: 0b1111 << 60, 77: 1 << 1000, MAX_LEAD_ID: first[MAX_LEAD_ID]}


async def test_a_repeat_changes_nothing(live: Store) -> None:
    seen = {1: 0b10101, 2: 1 << 500}
    for _ in range(3):
        assert await add(live, THE_BROADCAST, seen)

    assert await stored(live) == seen


async def test_any_slots_in_any_order_are_what_or_makes_of_them(live: Store) -> None:
    """Whatever a process saw, cut into whatever flushes."""
    chance, expected = Random(7), dict[int, int]()
    for _ in range(50):
        lead, slots = chance.choice(LEADS), chance.getrandbits(200)
        await add(live, THE_BROADCAST, {lead: slots})
        expected[lead] = expected.get(lead, 0) | slots

    assert await stored(live) == expected


@pytest.mark.parametrize("late", [Broadcast("w", AT - timedelta(hours=1)), Broadcast("gone", AT)])
async def test_slots_of_another_broadcast_are_not_stored(live: Store, late: Broadcast) -> None:
    """A process may still have some of a webinar that was deleted, and made again since."""
    assert not await add(live, late, {1: 1})
    assert await stored(live) == {}
    assert await live.call("EXISTS", live.keys.watch("gone")) == 0


async def test_a_time_to_the_microsecond_is_the_same_broadcast(any_store: Store) -> None:
    started_at = AT.replace(microsecond=120)
    await transactions(any_store).create(room(status=Status.LIVE, started_at=started_at, on_air_since=AT))

    assert await add(any_store, Broadcast("w", started_at), {1: 1})


async def test_a_forgotten_lead_is_left_out_and_nobody_else(live: Store) -> None:
    await add(live, THE_BROADCAST, {1: 1, 2: 1})
    await transactions(live).edit("w", lambda known: room(epoch=known.epoch, version=9, status=Status.FINISHED,
                                                          started_at=AT, finished_at=AT))  # fmt: skip
    await forget(live, 1)
    assert await stored(live) == {2: 1}

    await add(live, THE_BROADCAST, {1: 0b10, 2: 0b10})
    assert await stored(live) == {2: 0b11}


async def test_a_lead_that_one_webinar_forgets_is_left_out_there(live: Store) -> None:
    await transactions(live).create(room("other", status=Status.FINISHED, started_at=AT, finished_at=AT))
    await add(live, Broadcast("other", AT), {1: 1})
    await forget(live, 1, "other")
    await add(live, Broadcast("other", AT), {1: 1})
    await add(live, THE_BROADCAST, {1: 1})

    assert await live.call("HLEN", live.keys.watch("other")) == 0
    assert await stored(live) == {1: 1}


async def test_a_deleted_webinar_keeps_no_slots(live: Store) -> None:
    await add(live, THE_BROADCAST, {1: 1})
    await live.delete("w")

    assert await stored(live) == {}


async def test_a_lost_reply_and_a_request_that_comes_late_add_nothing_twice(
    state: State, proxy: Proxy, far: Store
) -> None:
    """The webinar of the proxy's fixture is live; a flush is repeated, and its first try arrives after the second."""
    known = (await state.store.load(WEBINAR)).room
    assert known is not None
    assert known.started_at is not None
    broadcast, script = Broadcast(WEBINAR, known.started_at), Script.read("watch")
    await state.store.call("SCRIPT LOAD", script.text)
    proxy.lose_reply_to(script.sha.encode())
    late = proxy.hold(script.sha.encode())
    assert await add(far, broadcast, {1: 0b11})
    assert await add(far, broadcast, {1: 0b100})
    late.released.set()
    await late.answered.wait()

    bitmap = await state.store.call("HGET", state.store.keys.watch(WEBINAR), 1)
    assert (watch_time.from_bytes(bitmap), proxy.lost) == (0b111, 1)
