"""Numbers for monitoring that Redis has of all processes together."""

import time
from collections import Counter
from datetime import timedelta
from typing import get_args

import pytest

from room_server.clock import utc_now
from room_server.core.messages import DeliveryStatus
from room_server.core.room import Status
from room_server.errors import StateUnavailable
from room_server.state import heartbeat, queue_stats, roster
from room_server.state.heartbeat import Report, TelegramStatus
from room_server.state.outbox import Outbox
from room_server.state.queue_stats import QueueStats
from room_server.state.redis import embedded
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.conftest import redis_server
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.outage import own_redis
from tests.proxy import Proxy
from tests.state.acts import done, prepare
from tests.support import settings_for, transactions

SLACK = 5.0
"""Seconds that a test may take between two looks at the clock; whole milliseconds may also seem a little early."""


def milliseconds_ago(seconds: float) -> float:
    return (time.time() - seconds) * 1000


async def test_an_empty_redis_has_nothing_that_is_late(any_store: Store) -> None:
    assert await queue_stats.read(any_store) == QueueStats(
        processes={"web": 0, "worker": 0},
        telegram=dict.fromkeys(get_args(TelegramStatus), 0),
        messages={fate.value: 0 for fate in DeliveryStatus},
        webinars={status.value: 0 for status in Status},
        longest_live=0,
        evaluations=0,
        evaluation_lag=0,
        delivery_lag=0,
        receivers=[],
        partitions_away=0,
        durable=len(any_store.keys.tags) == 1,  # the Cluster of these tests keeps nothing on disk
    )


async def test_the_living_processes_are_counted_by_kind(any_store: Store) -> None:
    for number, kind in enumerate(("web", "web", "worker")):
        word = Report(node=f"n-{number}", kind="worker" if kind == "worker" else "web", total=0)
        await heartbeat.announce(any_store, word)

    assert (await queue_stats.read(any_store)).processes == {"web": 2, "worker": 1}


async def test_living_workers_are_counted_by_what_they_know_of_telegram(any_store: Store) -> None:
    statuses: list[TelegramStatus] = ["ok", "no_updates", "no_updates"]
    for number, status in enumerate(statuses):
        await heartbeat.announce(any_store, Report(node=f"n-{number}", kind="worker", total=0, telegram=status))
    await heartbeat.announce(any_store, Report(node="web", kind="web", total=0))
    counted = (await queue_stats.read(any_store)).telegram

    assert {status: count for status, count in counted.items() if count} == {"ok": 1, "no_updates": 2}


async def test_webinars_are_counted_by_status_and_the_longest_live_one_is_timed(any_store: Store) -> None:
    for minutes, status in enumerate(("live", "live", "paused", "finished")):
        begun = utc_now() - timedelta(minutes=10 * (minutes + 1))
        await transactions(any_store).create(builders.room(status, webinar_id=f"w-{minutes}", started_at=begun))
    read = await queue_stats.read(any_store)

    assert {status: count for status, count in read.webinars.items() if count} == {
        "live": 2,
        "paused": 1,
        "finished": 1,
    }
    assert read.longest_live == pytest.approx(1200, abs=SLACK)


async def test_an_evaluation_is_late_from_the_moment_that_it_is_due(any_store: Store) -> None:
    for name, ago in (("a", 90.0), ("b", 30.0), ("c", -600.0)):
        key = any_store.keys.evaluations(any_store.keys.tag(name))
        await any_store.call("ZADD", key, milliseconds_ago(ago), name)
    read = await queue_stats.read(any_store)

    assert read.evaluations == 3
    assert read.evaluation_lag == pytest.approx(90, abs=SLACK)


async def test_an_evaluation_to_come_is_not_late(any_store: Store) -> None:
    key = any_store.keys.evaluations(any_store.keys.tag("c"))
    await any_store.call("ZADD", key, milliseconds_ago(-600), "c")

    assert ((await queue_stats.read(any_store)).evaluations, (await queue_stats.read(any_store)).evaluation_lag) == (
        1,
        0,
    )


async def test_messages_are_counted_by_status(any_store: Store) -> None:
    await prepare(any_store, "finished")
    await roster.import_roster(any_store, WEBINAR, [builders.entry()], replace=False)
    await done(any_store, builders.evaluate())
    standing = [held.delivery.status.value async for held in Outbox(any_store).deliveries(WEBINAR)]

    assert {fate: count for fate, count in (await queue_stats.read(any_store)).messages.items() if count} == Counter(
        standing
    )
    assert len(standing) == 3


async def test_a_message_is_late_from_its_entry_in_the_stream_on(any_store: Store) -> None:
    for ago in (70.0, 20.0):
        stream = any_store.keys.outbox(any_store.keys.tag("a"))
        await any_store.call("XADD", stream, f"{milliseconds_ago(ago):.0f}-0", "webinar", "a", "field", "1:attendance")

    assert (await queue_stats.read(any_store)).delivery_lag == pytest.approx(70, abs=SLACK)


async def test_a_message_that_waits_is_late_when_its_time_has_come(any_store: Store) -> None:
    for name, ago in (("a", -500.0), ("b", 40.0)):
        due = any_store.keys.due(any_store.keys.tag(name))
        await any_store.call("ZADD", due, milliseconds_ago(ago), f"{name} 1:attendance")

    assert (await queue_stats.read(any_store)).delivery_lag == pytest.approx(40, abs=SLACK)


async def test_a_server_that_keeps_nothing_is_not_durable() -> None:
    with redis_server(embedded.find_binary(), "--appendonly", "no") as url:
        async with open_state(settings_for(url)) as state:
            assert (await queue_stats.read(state.store)).durable is False


async def test_a_server_that_does_not_say_whether_it_is_durable_is_not_blamed() -> None:
    rule = ["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-info", "+info|server"]
    with redis_server(embedded.find_binary(), *rule) as url:
        async with open_state(settings_for(url)) as state:
            assert (await queue_stats.read(state.store)).durable is None


async def test_after_an_error_nothing_is_read_any_more(state: State, proxy: Proxy, far: Store) -> None:
    """One part is refused while others wait for Redis; `no_task_is_left` fails for those that go on."""
    (tag,) = state.store.keys.tags
    await queue_stats.read(far)  # its connections are open
    await state.store.call("DEL", state.store.keys.webinars(tag))
    await state.store.call("SET", state.store.keys.webinars(tag), "no index")
    proxy.delay = 0.2
    with pytest.raises(StateUnavailable):
        await queue_stats.read(far)


async def test_without_redis_reading_is_an_error() -> None:
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await server.kill()
        with pytest.raises(StateUnavailable):
            await queue_stats.read(state.store)
