"""Entries of the streams about a lead or a webinar are found wherever they are, and no others are deleted."""

import asyncio
import json

from msgspec.structs import replace
from redis.asyncio import Redis

from room_server.core.site_delivery import Progress, Receiver
from room_server.jobs.erased_entries import STREAM_BATCH, erase_entries, erase_queued
from room_server.state.outbox import GROUP, Outbox
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.site_events import Parked, Settlement, SiteEvents, standing_in
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.proxy import proxy_to
from tests.state.acts import another
from tests.support import eventually, settings_for
from tests.terminal import running

TAG = "p2"


async def add(store: Store, webinar_id: str, lead_id: int | None) -> None:
    """An event, and an entry of the outbox."""
    payload = json.dumps({"webinar_id": webinar_id, **({"lead_id": lead_id} if lead_id else {})})
    await store.call("XADD", store.keys.events(TAG), "*", "hook", "any", "payload", payload)
    await store.call("XADD", store.keys.outbox(TAG), "*", "webinar", webinar_id, "field", f"{lead_id}:attendance")


async def left(store: Store) -> list[int]:
    """How many events and messages there are."""
    return [await store.call("XLEN", key) for key in (store.keys.events(TAG), store.keys.outbox(TAG))]


async def test_entries_of_one_lead_are_deleted(store: Store) -> None:
    for lead in (4, 42, 142, 420):
        await add(store, "w", lead)
    await add(store, "w", None)

    assert await erase_entries(store, TAG, lambda entry: entry.lead_id == 42) == 1
    assert await left(store) == [4, 4]
    assert await erase_entries(store, TAG, lambda entry: entry.lead_id == 42) == 0


async def test_entries_of_one_webinar_are_deleted(store: Store) -> None:
    for name in ("w", "ww", "v"):
        await add(store, name, 1)
        await add(store, name, None)

    assert await erase_entries(store, TAG, lambda entry: entry.webinar_id == "w") == 2
    assert await left(store) == [4, 4]


async def test_a_long_stream_is_read_to_its_end(store: Store, redis_url: str) -> None:
    payloads = [json.dumps({"webinar_id": "w", "lead_id": lead}) for lead in range(1, 2 * STREAM_BATCH + 2)]
    async with Redis.from_url(redis_url) as raw, raw.pipeline(transaction=False) as pipeline:
        for payload in payloads:
            pipeline.xadd(store.keys.events(TAG), {"payload": payload})
        await pipeline.execute()

    chosen = {1, STREAM_BATCH, STREAM_BATCH + 1, 2 * STREAM_BATCH + 1}
    assert await erase_entries(store, TAG, lambda entry: entry.lead_id in chosen) == 4
    assert (await left(store))[0] == 2 * STREAM_BATCH - 3


async def test_entries_after_the_limit_are_left(store: Store) -> None:
    await add(store, "w", 1)
    ((number, _),) = await store.call("XRANGE", store.keys.events(TAG), "-", "+")
    later = f"{int(number.partition(b'-')[0]) + 60_000}-0"
    await store.call("XADD", store.keys.events(TAG), later, "payload", '{"webinar_id":"w"}')

    assert await erase_entries(store, TAG, lambda *_: True, number.decode()) == 1
    assert (await left(store))[0] == 1


async def test_an_entry_that_cannot_be_read_is_about_no_lead(store: Store) -> None:
    for payload in ("", "{", "[]", '{"lead_id":"42"}', '{"webinar_id":7}', "\udcff"):
        raw = payload.encode("utf-8", "surrogateescape")
        await store.call("XADD", store.keys.events(TAG), "*", "payload", raw)
    for field in ("", "42", "x:attendance", "²:attendance"):
        await store.call("XADD", store.keys.outbox(TAG), "*", "field", field)
    await store.call("XADD", store.keys.events(TAG), "*", "other", "1")
    before = await left(store)

    assert await erase_entries(store, TAG, lambda entry: entry.lead_id == 42) == 0
    assert await left(store) == [before[0], before[1] - 1]  # `42` alone is a lead


async def test_a_pending_entry_is_acknowledged(store: Store) -> None:
    """Else another worker would claim it and find that it leads to no message."""
    outbox = Outbox(store)
    await outbox.open(TAG)
    await add(store, "w", 42)
    await outbox.read_new(TAG, "me", 10)

    await erase_entries(store, TAG, lambda entry: entry.lead_id == 42)

    assert (await store.call("XPENDING", store.keys.outbox(TAG), GROUP))["pending"] == 0


async def test_streams_that_do_not_exist_hold_nothing(store: Store) -> None:
    assert await erase_entries(store, TAG, lambda *_: True) == 0


async def test_an_erased_event_that_the_site_had_refused_is_parked_no_longer(store: Store) -> None:
    events = SiteEvents(store, Receiver.of("https://site.example"), "w")
    claim = await events.claim(TAG)
    assert claim is not None
    progress = Progress(url="u", label="l", seen_at=0)
    await events.settle(TAG, b"", Settlement(progress))
    for lead in (41, 42):
        await add(store, "w", lead)
    claim = await events.claim(TAG)
    assert claim is not None
    ids = [entry.id for entry in claim.entries]
    await events.settle(TAG, claim.raw, Settlement(replace(progress, sent=1), ids, Parked("HTTP 422", 0)))

    await erase_entries(store, TAG, lambda entry: entry.lead_id == 42)

    (standing,) = await standing_in(store, TAG)
    assert standing.parked == 1


async def queue(store: Store, lead: int, webinar_id: str = "") -> None:
    """The lead is forgotten, in one webinar or in all."""
    member = f"{lead} {webinar_id}".strip()
    places = [store.keys.forgotten(TAG), store.keys.erasures(TAG), store.keys.events(TAG)]
    await store.run(Script.read("tombstone"), places, [member, 60])


async def test_forgotten_leads_are_erased_in_one_pass_in_the_webinars_that_forgot_them(store: Store) -> None:
    for name in ("w", "v"):
        for lead in (1, 2, 3):
            await add(store, name, lead)
    await queue(store, 1)
    await queue(store, 2, "v")

    assert await erase_queued(store, TAG) == {1: 2, 2: 1, 3: 0}
    assert await left(store) == [3, 3]
    assert await erase_queued(store, TAG) == {}


async def test_what_happened_after_the_forgetting_stays(store: Store) -> None:
    """The lead may come again by a link that still holds."""
    await queue(store, 1)
    ((_, at),) = pairs(await store.call("ZRANGE", store.keys.erasures(TAG), 0, -1, "WITHSCORES"))
    later = f"{int(float(at)) + 60_000}-0"
    await store.call("XADD", store.keys.events(TAG), later, "payload", '{"webinar_id":"w","lead_id":1}')

    assert (await erase_queued(store, TAG)).total() == 0
    assert (await left(store))[0] == 1
    await queue(store, 1)  # the stream is ahead of the clock, as after the clock was set back
    assert await erase_queued(store, TAG) == {1: 1}


async def test_a_lead_that_is_forgotten_during_a_pass_is_queued_again(state: State) -> None:
    store, script = state.store, Script.read("erased")
    await queue(store, 1)
    await store.call("SCRIPT LOAD", script.text)
    async with proxy_to(state.url) as proxy, another(proxy.url) as far:
        held = proxy.hold(script.sha.encode())
        erasing = asyncio.create_task(erase_queued(far, TAG))
        await held.arrived.wait()
        await add(store, "w", 1)
        await queue(store, 1)
        held.released.set()
        assert await erasing == {1: 1}
    assert await left(store) == [0, 0]


async def test_a_worker_that_is_killed_in_the_middle_loses_nothing(valkey_url: str) -> None:
    async with open_state(settings_for(valkey_url)) as state, Redis.from_url(valkey_url) as raw:
        store = state.store
        async with raw.pipeline(transaction=False) as pipeline:
            for number in range(40_000):
                payload = json.dumps({"webinar_id": "w", "lead_id": 1 + number % 2})
                pipeline.xadd(store.keys.events(TAG), {"payload": payload})
            await pipeline.execute()
        await queue(store, 1)

        async def begun() -> bool:
            return (await left(store))[0] < 40_000

        async with running("worker", ROOM_SERVER_REDIS_URL=valkey_url) as worker:
            await eventually(begun, "some are erased")
            worker.process.kill()
            await worker.process.wait()

        async def done() -> bool:
            return (await left(store))[0] == 20_000 and not await store.call("ZCARD", store.keys.erasures(TAG))

        async with running("worker", ROOM_SERVER_REDIS_URL=valkey_url):
            await eventually(done, "all are erased")
