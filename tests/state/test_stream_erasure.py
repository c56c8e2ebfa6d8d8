"""What the streams say of somebody is found, wherever it stands, and nothing else goes."""

import json

from redis.asyncio import Redis

from room_server.state import stream_erasure
from room_server.state.outbox import GROUP, Outbox
from room_server.state.store import Store
from room_server.state.stream_erasure import SLICE, Erased, erase


async def tell(store: Store, webinar_id: str, lead_id: int | None, tag: str = "p2") -> None:
    """An event, a message and an unreadable message."""
    payload = json.dumps({"webinar_id": webinar_id, **({"lead_id": lead_id} if lead_id else {})})
    await store.call("XADD", store.keys.events(tag), "*", "hook", "any", "payload", payload)
    for key in (store.keys.outbox(tag), store.keys.poison(tag)):
        await store.call("XADD", key, "*", "webinar", webinar_id, "field", f"{lead_id}:attendance")


async def left(store: Store, tag: str = "p2") -> list[int]:
    keys = store.keys
    return [await store.call("XLEN", key) for key in (keys.events(tag), keys.outbox(tag), keys.poison(tag))]


async def test_a_leads_entries_go_wherever_they_stand(store: Store) -> None:
    for lead in (4, 42, 142, 420):
        await tell(store, "w", lead)
    await tell(store, "w", None)

    assert await erase(store, "p2", lambda _, lead: lead == 42) == Erased(1, 2)
    assert await left(store) == [4, 4, 4]
    assert await erase(store, "p2", lambda _, lead: lead == 42) == Erased(0, 0)


async def test_a_webinars_entries_go_and_those_of_no_other(store: Store) -> None:
    for name in ("w", "ww", "v"):
        await tell(store, name, 1)
        await tell(store, name, None)

    assert await erase(store, "p2", lambda webinar_id, _: webinar_id == "w") == Erased(2, 4)
    assert await left(store) == [4, 4, 4]


async def test_a_long_stream_is_read_to_its_end(store: Store, redis_url: str) -> None:
    payloads = [json.dumps({"webinar_id": "w", "lead_id": lead}) for lead in range(1, 2 * SLICE + 2)]
    async with Redis.from_url(redis_url) as raw, raw.pipeline(transaction=False) as pipeline:
        for payload in payloads:
            pipeline.xadd(store.keys.events("p2"), {"payload": payload})
        await pipeline.execute()

    assert await erase(store, "p2", lambda _, lead: lead in {1, SLICE, SLICE + 1, 2 * SLICE + 1}) == Erased(4, 0)
    assert (await left(store))[0] == 2 * SLICE - 3


async def test_what_came_later_is_left(store: Store) -> None:
    await tell(store, "w", 1)
    ((number, _),) = await store.call("XRANGE", store.keys.events("p2"), "-", "+")
    later = f"{int(number.partition(b'-')[0]) + 60_000}-0"
    await store.call("XADD", store.keys.events("p2"), later, "payload", '{"webinar_id":"w"}')

    assert (await erase(store, "p2", lambda *_: True, number.decode())).events == 1
    assert (await left(store))[0] == 1


async def test_what_cannot_be_read_is_about_nobody(store: Store) -> None:
    for payload in ("", "{", "[]", '{"lead_id":"42"}', '{"webinar_id":7}', "\udcff"):
        raw = payload.encode("utf-8", "surrogateescape")
        await store.call("XADD", store.keys.events("p2"), "*", "payload", raw)
    for field in ("", "42", "x:attendance", "²:attendance"):
        await store.call("XADD", store.keys.outbox("p2"), "*", "field", field)
    await store.call("XADD", store.keys.events("p2"), "*", "other", "1")

    assert await erase(store, "p2", lambda _, lead: lead == 42) == Erased(0, 1)


async def test_an_entry_in_somebodys_hand_is_nobodys_afterwards(store: Store) -> None:
    """It would be taken over, found to be about nothing, and be parked."""
    outbox = Outbox(store)
    await outbox.open("p2")
    await tell(store, "w", 42)
    await outbox.read_new("p2", "me", 10)

    await erase(store, "p2", lambda _, lead: lead == 42)

    assert (await store.call("XPENDING", store.keys.outbox("p2"), GROUP))["pending"] == 0


async def test_where_there_are_no_streams_there_is_nothing_to_find(store: Store) -> None:
    assert await stream_erasure.erase(store, "p2", lambda *_: True) == Erased()
