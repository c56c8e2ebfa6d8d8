"""Redis -> hub over real servers: what is published is heard, and whatever is lost on the way is found again."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from room_server.channels.hub import Hub
from room_server.channels.listener import REREAD_SECONDS, Listener
from room_server.core.messages import Role
from room_server.core.room import Status
from room_server.state.keys import slot
from room_server.state.opening import State, open_state
from tests.channels.test_hub import Peer, fields, put
from tests.cluster import cluster, move, url_of
from tests.conftest import settings_for
from tests.outage import OwnRedis, own_redis
from tests.proxy import proxy_to
from tests.support import PATIENCE, room, wait_until

NEVER = 1000.0


class Ears:
    """A listening process without its sockets, and one peer in the room `w`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.hub = Hub(state.store)
        self.listener = Listener(state.client, state.store.keys, self.hub)
        self.listener.reread_seconds = NEVER
        self.peer = Peer(self.hub, Role.SPEAKER)

    async def hears(self, version: int) -> None:
        """The peer comes to have this version."""
        await wait_until(lambda: self.peer.version == version, f"version {version} is heard")


@asynccontextmanager
async def listening(url: str, **settings: object) -> AsyncIterator[Ears]:
    """Ears on the server at `url`; the slow clock stands still."""
    async with open_state(settings_for(url, **settings)) as state, asyncio.TaskGroup() as tasks:
        ears = Ears(state)
        await state.store.create(room("w", epoch="e"))
        work = (ears.listener.run(), ears.listener.refresh(), ears.hub.loader(), ears.hub.teller())
        running = [tasks.create_task(one) for one in work]
        await asyncio.wait_for(ears.listener.subscribed.wait(), PATIENCE)
        ears.peer.enter()
        await ears.hears(1)
        yield ears
        for task in running:
            task.cancel()


async def test_a_change_is_heard(redis_url: str) -> None:
    async with listening(redis_url) as ears, open_state(settings_for(redis_url)) as elsewhere:
        for _ in range(3):
            await elsewhere.store.renew("w")
        await ears.hears(4)
        assert [state.head.version for state in ears.peer.pushed][-1] == 4


async def test_the_channel_of_every_partition_is_heard(redis_url: str) -> None:
    async with listening(redis_url, partitions=16) as ears:
        peers = []
        for number in range(32):
            await ears.state.store.create(room(f"w{number}"))
            peers.append(Peer(ears.hub))
            peers[-1].enter(f"w{number}")
        await wait_until(lambda: all(peer.version == 1 for peer in peers), "everyone is in")
        for number in range(32):
            await ears.state.store.renew(f"w{number}")
        await wait_until(lambda: all(peer.version == 2 for peer in peers), "everyone heard")


async def test_a_change_that_is_published_while_the_line_is_cut_is_found(redis_url: str) -> None:
    async with listening(redis_url) as ears, Redis.from_url(redis_url) as raw:
        for number in range(2, 6):
            async with raw.pipeline(transaction=True) as both:
                both.client_kill_filter(_type="pubsub")
                both.hset(ears.state.store.keys.room("w"), mapping=fields(room("w", epoch="e", version=number)))
                await both.execute()
            await ears.hears(number)
            await asyncio.wait_for(ears.listener.subscribed.wait(), PATIENCE)
        await ears.state.store.renew("w")
        await ears.hears(6)


async def test_a_line_that_only_seems_to_stand_is_found_out(valkey_url: str) -> None:
    """A frozen server, or a network that swallows everything, signals nothing."""
    async with (
        proxy_to(valkey_url) as proxy,
        listening(proxy.url) as ears,
        open_state(settings_for(valkey_url)) as other,
    ):
        proxy.freeze()
        await other.store.renew("w")
        await wait_until(lambda: not ears.listener.subscribed.is_set(), "the listener is deaf, and knows it")
        proxy.thaw()
        await ears.hears(2)


@asynccontextmanager
async def owned() -> AsyncIterator[tuple[OwnRedis, Ears]]:
    """Ears on a server in the test's hands."""
    async with own_redis() as redis, listening(redis.url) as ears:
        yield redis, ears


async def test_a_server_that_was_killed_is_heard_again_when_it_is_back() -> None:
    async with owned() as (redis, ears):
        await redis.kill()
        await wait_until(lambda: not ears.listener.subscribed.is_set(), "the listener is deaf, and knows it")
        await redis.start()
        await asyncio.wait_for(ears.listener.subscribed.wait(), PATIENCE)
        await ears.state.store.renew("w")
        await ears.hears(2)


async def test_a_server_that_comes_back_without_its_last_changes_begins_a_new_epoch() -> None:
    async with owned() as (redis, ears):
        ears.hub.tell(b'{"webinar_id":"w","epoch":"e","version":9,"status":"live"}')
        await ears.hears(9)
        await redis.kill()
        await redis.start()
        await wait_until(lambda: ears.peer.has and ears.peer.has.head.epoch != "e", "a new epoch is heard")
        assert (ears.peer.version, ears.peer.has and ears.peer.has.head.status) == (2, Status.SCHEDULED)


async def test_what_is_lost_without_any_sign_is_found_by_the_slow_clock(valkey_url: str) -> None:
    async with listening(valkey_url) as ears, Redis.from_url(valkey_url) as raw:
        ears.listener.reread_seconds = 0.2
        await ears.state.store.renew("w")
        await ears.hears(2)
        stored = (await ears.state.store.load("w")).room
        assert stored is not None
        await raw.client_kill_filter(_type="pubsub")  # from here on the new clock is used
        await asyncio.wait_for(ears.listener.subscribed.wait(), PATIENCE)
        await put(raw, ears.state.store, room("w", epoch=stored.epoch, version=5))
        await ears.hears(5)
        await put(raw, ears.state.store, room("w", epoch=stored.epoch, version=6))
        await ears.hears(6)
    assert REREAD_SECONDS == 5.0


async def test_a_re_read_that_fails_is_tried_again() -> None:
    async with owned() as (redis, ears), Redis.from_url(redis.url, socket_timeout=PATIENCE) as raw:
        ears.listener.reread_seconds = 0.1
        await raw.client_kill_filter(_type="pubsub")  # from here on the new clock is used
        await raw.ping()
        redis.freeze()
        written = asyncio.create_task(put(raw, ears.state.store, room("w", epoch="e", version=3)))
        await wait_until(lambda: not ears.listener.subscribed.is_set(), "the listener is deaf, and knows it")
        redis.thaw()
        await written
        await ears.hears(3)


async def test_every_primary_of_a_cluster_is_heard_also_when_a_slot_moves() -> None:
    with cluster() as ports:
        async with listening(url_of(ports), partitions=8) as ears:
            peers = [Peer(ears.hub) for _ in range(16)]
            for number, peer in enumerate(peers):
                await ears.state.store.create(room(f"w{number}"))
                peer.enter(f"w{number}")
            await wait_until(lambda: {peer.version for peer in peers} == {1}, "everyone is in")
            for number in range(16):
                await ears.state.store.renew(f"w{number}")
            await wait_until(lambda: {peer.version for peer in peers} == {2}, "everyone heard")
            moved = slot(ears.state.store.keys.room("w"))
            for port in ports:
                await asyncio.to_thread(move, moved, ports, port)
                before = ears.peer.version
                await ears.state.store.renew("w")
                await ears.hears(before + 1)


async def test_rubbish_on_the_channel_is_logged(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(valkey_url) as ears, Redis.from_url(valkey_url) as raw:
        (tag,) = ears.state.store.keys.tags
        for rubbish in ("", "rubbish", "{}", b"\xff"):
            await raw.spublish(ears.state.store.keys.channel(tag), rubbish)
        await ears.state.store.renew("w")
        await ears.hears(2)
        assert ears.listener.subscribed.is_set()
    complaints = [record.levelno for record in caplog.records if record.levelno > logging.INFO]
    assert complaints == [logging.ERROR] * 4
