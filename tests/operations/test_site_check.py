"""The site's check: its event is in the stream once for each nonce, and the answer says what the site wants to know."""

import json
from importlib.metadata import version

from room_server.clock import utc_now
from room_server.core.site_hooks import CheckSite
from room_server.operations.site_check import KNOWN_SECONDS, check
from room_server.state.redis.pipeline import pairs
from room_server.state.store import Store
from tests.site.sending import known
from tests.support import OPERATOR, transactions


async def test_the_event_goes_to_the_first_partitions_stream_once_for_each_nonce(any_store: Store) -> None:
    begun = utc_now()
    answers = [await check(transactions(any_store), OPERATOR, CheckSite(nonce=nonce)) for nonce in ("a", "a", "ü\0")]
    rows = await any_store.call("XRANGE", any_store.keys.events(any_store.keys.tags[0]), "-", "+")
    events = [dict(pairs(fields)) for _, fields in rows]

    assert [answer.duplicate for answer in answers] == [False, True, False]
    assert [answer.version for answer in answers] == [version("room-server")] * 3
    assert begun <= answers[0].time <= utc_now()
    assert [event[b"hook"] for event in events] == [b"core_site_checked"] * 2
    assert [json.loads(event[b"payload"]) for event in events] == [{"nonce": "a"}, {"nonce": "ü\0"}]
    assert events[0][b"id"] == b"core_site_checked:a"
    assert json.loads(events[0][b"actor"]) == {"role": "system", "subject": "operator"}


async def test_the_receivers_of_the_sites_events_are_told_of(any_store: Store) -> None:
    await known(any_store, "https://me:hunter2@site.example/events")
    answer = await check(transactions(any_store), OPERATOR, CheckSite(nonce="a"))

    assert [(one.url, one.state) for one in answer.receivers] == [("https://site.example/events", "ok")]


async def test_a_nonce_is_known_for_a_bounded_time(store: Store) -> None:
    await check(transactions(store), OPERATOR, CheckSite(nonce="a"))
    (key,) = await store.call("KEYS", "rs:*:check:*")

    assert 0 < await store.call("TTL", key.decode()) <= KNOWN_SECONDS
