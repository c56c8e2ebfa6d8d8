from datetime import timedelta

from redis.asyncio import Redis

from room_server.clock import utc_now
from room_server.state.presence import ALIVE_SECONDS, Node, announce, living, withdraw
from room_server.state.store import Store


def node(name: str, **more: object) -> Node:
    return Node(node=name, kind="web", total=1, seen_at=utc_now(), **more)  # type: ignore[arg-type]


async def test_nobody_lives_at_first(store: Store) -> None:
    assert await living(store) == []


async def test_the_living_are_told_by_name_with_their_last_word(store: Store) -> None:
    for said in (node("b"), node("a"), node("a", hooks={"ok": 2})):
        await announce(store, said)
    assert [(one.node, one.hooks) for one in await living(store)] == [("a", {"ok": 2}), ("b", {})]


async def test_a_process_that_was_killed_is_gone_when_its_word_expires(store: Store, redis_url: str) -> None:
    await announce(store, node("a"))
    async with Redis.from_url(redis_url) as raw:
        assert 0 < await raw.ttl(store.keys.presence("a")) <= ALIVE_SECONDS < 10
        await raw.delete(store.keys.presence("a"))
    assert await living(store) == []


async def test_names_of_the_long_gone_are_forgotten(store: Store, redis_url: str) -> None:
    old = Node(node="old", kind="web", total=0, seen_at=utc_now() - timedelta(hours=1))
    await announce(store, old)
    await announce(store, node("new"))
    async with Redis.from_url(redis_url) as raw:
        assert await raw.zrange(store.keys.nodes, 0, -1) == [b"new"]


async def test_a_process_that_leaves_is_gone_at_once(store: Store) -> None:
    await announce(store, node("a"))
    await withdraw(store, "a")
    assert await living(store) == []
