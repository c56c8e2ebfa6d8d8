"""Reports of processes: where they are stored, how long they live, and which one counts."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from room_server.state.heartbeat import (
    ALIVE_SECONDS,
    Heartbeat,
    Report,
    announce,
    living,
    node_name,
    partitions_of,
    withdraw,
)
from room_server.state.startup import State
from room_server.state.store import Store
from tests.state.acts import servers
from tests.support import eventually


def report(name: str, **more: object) -> Report:
    return Report(node=name, kind="web", total=1, **more)  # type: ignore[arg-type]


async def names(store: Store) -> list[str]:
    return [node.node for node in await living(store)]


async def test_there_is_no_process_at_first(any_store: Store) -> None:
    assert await living(any_store) == []


async def test_processes_are_listed_by_name_with_their_latest_report(any_store: Store) -> None:
    for one in (report("b"), report("a"), report("a", hooks={"ok": 2})):
        await announce(any_store, one)
    assert [(one.node, one.hooks) for one in await living(any_store)] == [("a", {"ok": 2}), ("b", {})]


async def test_the_time_of_a_report_is_that_of_redis(store: Store) -> None:
    await announce(store, report("a"))
    (node,) = await living(store)

    assert abs(node.seen_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_reports_are_spread_over_the_partitions_and_each_has_a_second_one(any_store: Store) -> None:
    tags = any_store.keys.tags
    places = [partitions_of(any_store, f"host-{number}-ab12") for number in range(400)]

    assert {home for home, *_ in places} == set(tags)
    across = {tag: tags[(at + len(tags) // 2) % len(tags)] for at, tag in enumerate(tags)}
    assert all(others == [across[home]] * (len(tags) > 1) for home, *others in places)


async def move_back(store: Store, name: str, seconds: float) -> None:
    """Make the report of the process so many seconds older."""
    at = (time.time() - seconds) * 1000
    await store.call("ZADD", store.keys.nodes(partitions_of(store, name)[0]), "XX", at, name)


async def test_the_next_report_of_any_process_deletes_expired_ones(store: Store) -> None:
    for name in ("old", "late"):
        await announce(store, report(name))
    await move_back(store, "old", ALIVE_SECONDS + 1)
    await move_back(store, "late", ALIVE_SECONDS / 2)
    await announce(store, report("new"))

    assert await names(store) == ["late", "new"]


async def test_reports_expire_in_a_partition_without_processes(any_state: State) -> None:
    store = any_state.store
    await announce(store, report("a"))
    (tag,) = partitions_of(store, "a")[:1]
    for key in (store.keys.nodes(tag), store.keys.reports(tag)):
        assert 0 < await store.call("PTTL", key) <= ALIVE_SECONDS * 1000 < 10_000
    async with servers(any_state) as clients:
        assert sum([await client.delete(store.keys.nodes(tag)) for client in clients if await _has(client, tag)]) == 1
    assert await names(store) == []


async def _has(client: Redis, tag: str) -> bool:
    """Whether this server holds the partition's reports."""
    return f"rs:{{{tag}}}:nodes".encode() in await client.keys("*:nodes")


@pytest.mark.parametrize("minutes", [1, 60])
async def test_a_redis_clock_that_was_set_back_prolongs_no_report(store: Store, minutes: int) -> None:
    """Reports from before are in the future then: they live as long as any other report."""
    for name in ("living", "dead"):
        await announce(store, report(name))
        await move_back(store, name, -60.0 * minutes)
    await announce(store, report("living"))
    assert await names(store) == ["dead", "living"]

    scores = [await store.call("ZSCORE", store.keys.nodes(store.keys.tags[0]), name) for name in ("dead", "living")]
    assert abs(float(scores[0]) - float(scores[1])) < 1


async def test_a_process_that_ends_is_not_listed_any_more(any_store: Store) -> None:
    await announce(any_store, report("a"))
    await withdraw(any_store, "a")
    assert await living(any_store) == []


async def test_of_two_reports_of_one_process_the_later_one_counts(any_store: Store) -> None:
    """It reports to the other partition while its own is unavailable, and the old report is still stored in its own."""
    (home, *others) = partitions_of(any_store, "a")
    await announce(any_store, report("a", hooks={"ok": 1}))
    for tag in others or [home]:
        await any_store.call("ZADD", any_store.keys.nodes(tag), (time.time() + 2) * 1000, "a")
        await any_store.call("HSET", any_store.keys.reports(tag), "a", b'{"node":"a","kind":"web","total":7}')
        for key in (any_store.keys.nodes(tag), any_store.keys.reports(tag)):
            await any_store.call("EXPIRE", key, ALIVE_SECONDS)

    assert [(node.node, node.total) for node in await living(any_store)] == [("a", 7)]


@pytest.mark.parametrize("unreadable", [b"{", b'{"node":"b","kind":"of a newer version","total":1}'])
async def test_an_unreadable_report_is_left_out(store: Store, unreadable: bytes) -> None:
    await announce(store, report("a"))
    await announce(store, report("b"))
    await store.call("HSET", store.keys.reports(store.keys.tags[0]), "b", unreadable)

    assert await names(store) == ["a"]


def test_the_name_of_a_process_is_unique() -> None:
    assert node_name() != node_name()


async def test_a_process_is_counted_while_it_beats_and_withdrawn_when_it_ends(store: Store) -> None:
    heartbeat = Heartbeat(store, "n-1", lambda: {"kind": "web", "total": 3, "rooms": {"w": {"attendee": 3}}})
    beating = asyncio.create_task(heartbeat.beat())
    try:

        async def counted() -> bool:
            return [(node.node, node.kind, node.total) for node in await living(store)] == [("n-1", "web", 3)]

        await eventually(counted, "the process is counted")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
    assert await living(store) == []
