"""Signs of life: what a process announces, how long it holds, and when it is away."""

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


def word(name: str, **more: object) -> Report:
    return Report(node=name, kind="web", total=1, **more)  # type: ignore[arg-type]


async def names(store: Store) -> list[str]:
    return [node.node for node in await living(store)]


async def test_nobody_lives_at_first(any_store: Store) -> None:
    assert await living(any_store) == []


async def test_the_living_are_told_by_name_with_their_last_word(any_store: Store) -> None:
    for said in (word("b"), word("a"), word("a", hooks={"ok": 2})):
        await announce(any_store, said)
    assert [(one.node, one.hooks) for one in await living(any_store)] == [("a", {"ok": 2}), ("b", {})]


async def test_a_word_is_seen_when_redis_heard_it(store: Store) -> None:
    await announce(store, word("a"))
    (node,) = await living(store)

    assert abs(node.seen_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_words_are_spread_over_the_partitions_and_have_a_second_home_across(any_store: Store) -> None:
    tags = any_store.keys.tags
    places = [partitions_of(any_store, f"host-{number}-ab12") for number in range(400)]

    assert {home for home, *_ in places} == set(tags)
    across = {tag: tags[(at + len(tags) // 2) % len(tags)] for at, tag in enumerate(tags)}
    assert all(others == [across[home]] * (len(tags) > 1) for home, *others in places)


async def move_back(store: Store, name: str, seconds: float) -> None:
    """As if the process had said its word so many seconds earlier."""
    at = (time.time() - seconds) * 1000
    await store.call("ZADD", store.keys.nodes(partitions_of(store, name)[0]), "XX", at, name)


async def test_a_process_that_was_killed_is_forgotten_by_the_next_word(store: Store) -> None:
    for name in ("old", "late"):
        await announce(store, word(name))
    await move_back(store, "old", ALIVE_SECONDS + 1)
    await move_back(store, "late", ALIVE_SECONDS / 2)
    await announce(store, word("new"))

    assert await names(store) == ["late", "new"]


async def test_words_expire_where_nobody_speaks_any_more(any_state: State) -> None:
    store = any_state.store
    await announce(store, word("a"))
    (tag,) = partitions_of(store, "a")[:1]
    for key in (store.keys.nodes(tag), store.keys.reports(tag)):
        assert 0 < await store.call("PTTL", key) <= ALIVE_SECONDS * 1000 < 10_000
    async with servers(any_state) as clients:
        assert sum([await client.delete(store.keys.nodes(tag)) for client in clients if await _has(client, tag)]) == 1
    assert await names(store) == []


async def _has(client: Redis, tag: str) -> bool:
    """Whether this server is the one that holds the partition's words."""
    return f"rs:{{{tag}}}:nodes".encode() in await client.keys("*:nodes")


@pytest.mark.parametrize("minutes", [1, 60])
async def test_a_redis_clock_that_was_set_back_keeps_no_dead_alive(store: Store, minutes: int) -> None:
    """What was heard before stands in the future then: it holds for as long as any other word."""
    for name in ("living", "dead"):
        await announce(store, word(name))
        await move_back(store, name, -60.0 * minutes)
    await announce(store, word("living"))
    assert await names(store) == ["dead", "living"]

    scores = [await store.call("ZSCORE", store.keys.nodes(store.keys.tags[0]), name) for name in ("dead", "living")]
    assert abs(float(scores[0]) - float(scores[1])) < 1


async def test_a_process_that_leaves_is_gone_at_once(any_store: Store) -> None:
    await announce(any_store, word("a"))
    await withdraw(any_store, "a")
    assert await living(any_store) == []


async def test_of_two_words_of_one_process_the_later_one_counts(any_store: Store) -> None:
    """It speaks across while its own partition is away; when that is back, the word from before still stands there."""
    (home, *others) = partitions_of(any_store, "a")
    await announce(any_store, word("a", hooks={"ok": 1}))
    for tag in others or [home]:
        await any_store.call("ZADD", any_store.keys.nodes(tag), (time.time() + 2) * 1000, "a")
        await any_store.call("HSET", any_store.keys.reports(tag), "a", b'{"node":"a","kind":"web","total":7}')
        for key in (any_store.keys.nodes(tag), any_store.keys.reports(tag)):
            await any_store.call("EXPIRE", key, ALIVE_SECONDS)

    assert [(node.node, node.total) for node in await living(any_store)] == [("a", 7)]


@pytest.mark.parametrize("said", [b"{", b'{"node":"b","kind":"of a newer version","total":1}'])
async def test_a_word_that_cannot_be_read_is_left_out(store: Store, said: bytes) -> None:
    await announce(store, word("a"))
    await announce(store, word("b"))
    await store.call("HSET", store.keys.reports(store.keys.tags[0]), "b", said)

    assert await names(store) == ["a"]


def test_a_nodes_name_is_its_own() -> None:
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
