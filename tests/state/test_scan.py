from redis.asyncio import Redis

from room_server.state.scan import SLICE, slices
from room_server.state.store import Store


async def test_a_large_hash_is_read_whole_and_in_slices(store: Store, redis_url: str) -> None:
    written = {str(number).encode(): b"x" * 100 for number in range(3 * SLICE)}  # too large for a compact encoding
    async with Redis.from_url(redis_url) as raw:
        await raw.hset("large", items=[part for pair in written.items() for part in pair])
        await raw.expire("large", 60)
    read = [part async for part in slices(store, "large")]
    assert len(read) > 1
    assert {field: value for part in read for field, value in part.items()} == written


async def test_a_hash_that_is_not_there_has_no_slices(store: Store) -> None:
    assert [part async for part in slices(store, "none")] == []
