"""Entries of the streams about a lead or a webinar are found wherever they are, and no others are deleted."""

import json

from msgspec.structs import replace
from redis.asyncio import Redis

from room_server.core.site_delivery import Progress, Receiver
from room_server.jobs.erased_entries import STREAM_BATCH, erase_entries
from room_server.state.outbox import GROUP, Outbox
from room_server.state.site_events import Parked, Settlement, SiteEvents, standing_in
from room_server.state.store import Store

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
