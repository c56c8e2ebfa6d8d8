import pytest
from redis.asyncio import Redis

from room_server.errors import StateUnavailable
from room_server.state.hash_scan import SLICE, hash_slices
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.outage import own_redis
from tests.support import settings_for


async def test_a_large_hash_is_read_whole_and_in_slices(store: Store, redis_url: str) -> None:
    written = {str(number).encode(): b"x" * 100 for number in range(3 * SLICE)}  # too large for a compact encoding
    async with Redis.from_url(redis_url) as raw:
        await raw.hset("large", items=[part for pair in written.items() for part in pair])
        await raw.expire("large", 60)
    read = [part async for part in hash_slices(store, "large")]
    assert len(read) > 1
    assert {field: value for part in read for field, value in part.items()} == written


async def test_a_hash_that_is_not_there_has_no_slices(store: Store) -> None:
    assert [part async for part in hash_slices(store, "none")] == []


async def test_a_reading_that_a_restart_interrupts_is_refused_and_not_cut_short() -> None:
    """The server's hashes are in another order after it: the cursor would lead past some of them."""
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await state.store.call("HSET", "large", *(part for n in range(3 * SLICE) for part in (n, b"x" * 100)))
        reading = hash_slices(state.store, "large")
        await anext(reading)
        await server.kill()
        await server.start()

        with pytest.raises(StateUnavailable, match="in the middle of a long reading"):
            [part async for part in reading]
