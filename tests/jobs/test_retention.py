"""A webinar's records end so many days after it was archived; nothing grows with the webinars that were."""

import asyncio
import logging
import re
from collections import defaultdict
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.delivery import ENDED
from room_server.core.room import RosterEntry, Status
from room_server.errors import StateUnavailable
from room_server.jobs.evaluation import Evaluations
from room_server.jobs.retention import BATCH, expire
from room_server.state import roster, webinars
from room_server.state.bulk_reads import SLICE
from room_server.state.commits import unix_ms
from room_server.state.outbox import Outbox
from room_server.state.redis.embedded import find_binary
from room_server.state.redis.pipeline import Script
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.clocks import own_clock
from tests.conftest import redis_server
from tests.core import builders
from tests.core.builders import Hook
from tests.outage import own_redis
from tests.state.acts import everything
from tests.support import eventually, few_at_once, renew, room, settings_for, transactions

PEOPLE = [
    RosterEntry(lead_id=lead, name=f"L{lead}", candidate_chat_id=100 + lead, partner_chat_id=900) for lead in (1, 2)
]
YEAR = timedelta(days=365)
SENT = b'{"lead_id":8,"kind":"attendance","status":"sent","attended":true,"chat_id":1,"locale":"ru"}'
WAVES = 20
EACH = 50


async def does(store: Store, name: str, hook: Hook, role: str = "system") -> None:
    """A hook of the builders, for the webinar of this name."""
    await transactions(store, 0).apply(builders.command(replace(hook, webinar_id=name), role, webinar_id="*"))


async def live_through(store: Store, name: str) -> None:
    """From planning to the archive: one lead was there to the end, the other was not; their messages wait."""
    await transactions(store).create(room(name))
    await roster.import_roster(store, name, PEOPLE, replace=False)
    await does(store, name, builders.start(), "speaker")
    await does(store, name, builders.enter(1))
    await does(store, name, builders.stop(), "speaker")
    await does(store, name, builders.complete(1))
    await Evaluations(transactions(store)).run_pending(name)
    await does(store, name, builders.act("archive"))


async def told_of(state: State) -> dict[str, set[str]]:
    """Every place that names webinars, and which; keys that are a webinar's own by their kind."""
    store, found = state.store, defaultdict[str, set[str]](set)
    for key in await everything(state):
        kind, *own = key.split(":")[2:] or [key]
        found[kind].update(own)
        if kind in {"webinars", "archived", "evaluations"}:
            found[kind].update(name.decode() for name in await store.call("ZRANGE", key, 0, -1))
        elif kind in {"events", "outbox"}:
            lines = await store.call("XRANGE", key, "-", "+")
            found[kind].update(re.findall(r"w-[a-z]+", repr(lines)))
    return {kind: names for kind, names in found.items() if names}


async def sizes(state: State) -> dict[str, int]:
    """The bytes of each key that is left; what only remembers for a minute that something was done is left out."""
    left = await everything(state)
    return {key: int(await state.store.call("MEMORY", "USAGE", key)) for key in sorted(left)}


async def test_wave_after_wave_of_webinars_leaves_nothing_behind(soak: bool) -> None:
    """On a server that writes to no disk, for the sake of time."""
    with redis_server(find_binary(), "--appendonly", "no") as url:
        async with open_state(settings_for(url, evaluation_grace=0)) as state:
            await pass_by(state, 40 if soak else 4)


async def pass_by(state: State, waves: int) -> None:
    """Wave after wave, each to its end."""
    store, (tag,) = state.store, state.store.keys.tags
    await Outbox(store).open(tag)
    after: list[dict[str, int]] = []
    for wave in range(waves):
        names = [f"w-{wave}-{number}" for number in range(EACH)]
        await few_at_once(live_through(store, name) for name in names)
        assert all([await store.call("EXISTS", stream) for stream in Outbox(store).streams(tag)])

        assert sorted(await expire(store, utc_now() + timedelta(seconds=1))) == sorted(names)
        after.append(await sizes(state))

    keys = store.keys
    streams = Outbox(store).streams(tag)
    assert set(after[-1]) == {"rs:partitions", keys.events(tag), *streams, keys.fates(tag), keys.clock(tag)}
    assert after[-1].keys() == after[0].keys()
    assert sum(after[-1].values()) < 1.5 * sum(after[0].values()) < 10_000
    assert [await store.call("XLEN", key) for key in (keys.events(tag), *streams)] == [0, 0, 0]
    assert await webinars.delivery_counts(store) == {}


async def test_what_is_not_archived_or_not_long_enough_stays_as_it_is(any_state: State) -> None:
    store = any_state.store
    await live_through(store, "archived")
    await asyncio.gather(
        *(transactions(store).create(builders.room(status, webinar_id=status)) for status in builders.STATUSES[:-1])
    )
    before = await everything(any_state)
    archived_at = await store.call("ZSCORE", store.keys.archived(store.keys.tag("archived")), "archived")

    assert await expire(store, utc_now() - timedelta(days=1)) == []
    assert abs(float(archived_at) - unix_ms(utc_now())) < 60_000
    assert await everything(any_state) == before


async def test_of_a_webinar_whose_time_is_over_nothing_is_left(any_state: State) -> None:
    store = any_state.store
    for name in ("w-over", "w-kept"):
        await live_through(store, name)
    before = await told_of(any_state)
    later = unix_ms(utc_now() + timedelta(days=2))
    await store.call("ZADD", store.keys.archived(store.keys.tag("w-kept")), later, "w-kept")

    assert await expire(store, utc_now() + timedelta(days=1)) == ["w-over"]
    assert set(map(frozenset, before.values())) == {frozenset({"w-over", "w-kept"})}
    assert await told_of(any_state) == {kind: {"w-kept"} for kind in before}


async def test_the_counts_of_messages_are_those_of_what_is_left(any_store: Store) -> None:
    await live_through(any_store, "one")
    before = await webinars.delivery_counts(any_store)
    await any_store.call("DEL", any_store.keys.archived(any_store.keys.tag("one")))
    await live_through(any_store, "two")
    assert await webinars.delivery_counts(any_store) != before

    await expire(any_store, utc_now() + timedelta(days=1))

    assert await webinars.delivery_counts(any_store) == before


async def test_a_large_webinar_goes_in_slices(store: Store) -> None:
    await live_through(store, "w")
    keys, tag = store.keys, store.keys.tag("w")
    many = 3 * SLICE
    messages = [part for lead in range(10, 10 + many) for part in (f"{lead}:attendance", b'{"status":"held"}')]
    await store.call("HSET", keys.deliveries("w"), *messages)
    await store.call("ZADD", keys.due(tag), 1, "w 10:attendance")
    await store.call("HINCRBY", keys.fates(tag), "held", many)

    assert await expire(store, utc_now() + timedelta(days=1)) == ["w"]
    assert await webinars.delivery_counts(store) == {}
    assert await store.call("ZCARD", keys.due(tag)) == 0


@pytest.mark.parametrize("way", ["by retention", "by hand"])
async def test_a_message_that_cannot_be_read_goes_with_its_webinar(any_store: Store, way: str) -> None:
    await live_through(any_store, "w")
    await any_store.call("HSET", any_store.keys.deliveries("w"), "9:attendance", b"{")

    if way == "by hand":
        assert await any_store.delete("w")
    else:
        assert await expire(any_store, utc_now() + timedelta(days=1)) == ["w"]

    assert await webinars.delivery_counts(any_store) == {}
    assert await any_store.call("EXISTS", any_store.keys.deliveries("w")) == 0


async def test_messages_that_were_never_sent_are_logged(any_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await live_through(any_store, "w")
    await any_store.call("HSET", any_store.keys.deliveries("w"), "9:attendance", b"{", "8:attendance", SENT)
    unsent = [stored async for stored in Outbox(any_store).deliveries("w") if stored.delivery.status not in ENDED]

    await expire(any_store, utc_now() + timedelta(days=1))

    assert len(unsent) > 1
    assert f"retention: {len(unsent)} messages of w were never sent, and are deleted" in caplog.text


async def test_a_webinar_that_was_made_again_meanwhile_is_left_alone(any_store: Store) -> None:
    """Another worker was faster, and the operator, too: what was seen to be over is no more."""
    await live_through(any_store, "w")
    keys, tag = any_store.keys, any_store.keys.tag("w")
    places = [keys.archived(tag), keys.deliveries("w"), keys.due(tag), keys.fates(tag)]

    assert await any_store.run(Script.read("expire"), places, ["w", "1", "1:attendance"]) == 0
    assert await any_store.delete("w", "1") is False
    assert await any_store.call("HEXISTS", keys.deliveries("w"), "1:attendance") == 1
    kept = (await any_store.load("w")).room
    assert kept is not None
    assert kept.status is Status.ARCHIVED


@pytest.mark.parametrize(("archived", "looked_at"), [(-1, 0), (0, 1), (0, -1)])
async def test_a_clock_that_is_wrong_deletes_nothing_too_soon(archived: int, looked_at: int) -> None:
    """Redis' own: so many years ahead while a webinar is archived, and when the records are looked at."""
    with own_clock() as server:
        async with open_state(settings_for(server.url, evaluation_grace=0)) as state:
            server.set(archived * YEAR.total_seconds())
            await live_through(state.store, "w")
            server.set(looked_at * YEAR.total_seconds())
            assert await expire(state.store, utc_now() - timedelta(hours=1)) == []

            server.set(0)
            assert await expire(state.store, utc_now() + timedelta(hours=1)) == ["w"]


async def test_the_time_of_the_archive_never_changes(any_store: Store) -> None:
    await live_through(any_store, "w")
    key = any_store.keys.archived(any_store.keys.tag("w"))
    await any_store.call("ZADD", key, 1, "w")

    await renew(any_store, "w")

    assert float(await any_store.call("ZSCORE", key, "w")) == 1


async def test_more_than_go_together_go_all_the_same(valkey_url: str) -> None:
    async with open_state(settings_for(valkey_url)) as state:
        names = [f"w-{number}" for number in range(BATCH + 2)]
        await few_at_once(transactions(state.store).create(room(name, status=Status.ARCHIVED)) for name in names)

        assert sorted(await expire(state.store, utc_now() + timedelta(days=1))) == sorted(names)
        assert await webinars.latest(state.store) == []


async def test_a_retention_that_must_stop_leaves_the_rest(store: Store) -> None:
    await live_through(store, "w")
    stopping = asyncio.Event()
    stopping.set()

    assert await expire(store, utc_now() + timedelta(days=1), stopping) == []
    assert (await store.load("w")).room is not None


async def test_a_look_that_redis_interrupts_is_taken_up_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with own_redis() as server, open_state(settings_for(server.url, evaluation_grace=0)) as state:
        await live_through(state.store, "w")
        server.freeze()
        with pytest.raises(StateUnavailable):
            await expire(state.store, utc_now() + timedelta(days=1))
        server.thaw()

        assert await eventually(partial(expired, state.store), "it is possible again") == ["w"]
    assert "retention: 1 archived webinars are deleted" in caplog.text


async def expired(store: Store) -> Any:
    try:
        return await expire(store, utc_now() + timedelta(days=1))
    except StateUnavailable:
        return None


async def test_a_partition_that_cannot_be_looked_at_keeps_no_other_from_its_turn(valkey_url: str) -> None:
    async with open_state(settings_for(valkey_url, partitions=4)) as state:
        store, (first, *_) = state.store, state.store.keys.tags
        names = [f"w-{number}" for number in range(12)]
        for name in names:
            await transactions(store).create(room(name, status=Status.ARCHIVED))
        await store.call("DEL", store.keys.archived(first))
        await store.call("SET", store.keys.archived(first), "no sorted set")
        with pytest.raises(StateUnavailable, match="WRONGTYPE"):
            await expire(store, utc_now() + timedelta(days=1))

        left = {listed.webinar_id for listed in await webinars.latest(store)}
    assert left == {name for name in names if store.keys.tag(name) == first} != set()
