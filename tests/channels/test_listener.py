"""Redis -> hub over real servers: what is published is heard, and whatever is lost on the way is found again."""

import asyncio
import contextlib
import logging
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from room_server.channels.hub import Hub
from room_server.channels.listener import REREAD_SECONDS, Listener
from room_server.channels.reader import Reader
from room_server.core.messages import Role
from room_server.core.room import Room, Status, public_text
from room_server.errors import StateUnavailable
from room_server.state.keys import SLOTS, slot
from room_server.state.startup import State, open_state
from tests.channels.test_hub import Peer, fields, put
from tests.cluster import cluster, follow, form, move, processes, take_over, url_of
from tests.outage import OwnRedis, own_redis
from tests.proxy import proxy_to
from tests.support import PATIENCE, eventually, room, settings_for, wait_until

NEVER = 1000.0


class Ears:
    """A listening process without its sockets, and one peer in the room `w`."""

    def __init__(self, state: State, reread_seconds: float) -> None:
        self.state = state
        self.hub = Hub(state.store)
        self.reader = Reader(state.store, self.hub)
        self.listener = Listener(state.client, state.store.keys, self.hub, self.reader)
        self.listener.reread_seconds = reread_seconds
        self.peer = Peer(self.hub, Role.SPEAKER)

    async def hears(self, version: int) -> None:
        """The peer comes to have this version."""
        await wait_until(lambda: self.peer.version == version, f"version {version} is heard")


@asynccontextmanager
async def listening(url: str, reread_seconds: float = NEVER, **settings: object) -> AsyncIterator[Ears]:
    """Ears on the server at `url`; by itself the slow clock stands still."""
    async with open_state(settings_for(url, **settings)) as state, asyncio.TaskGroup() as tasks:
        ears = Ears(state, reread_seconds)
        await state.store.create(room("w", epoch="e"))
        work = (ears.listener.run(), ears.listener.refresh(), ears.reader.run(), ears.hub.broadcast_loop())
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
        ears.hub.publish(b'{"webinar_id":"w","epoch":"e","version":9,"status":"live"}')
        await ears.hears(9)
        await redis.kill()
        await redis.start()
        await wait_until(lambda: ears.peer.sent and ears.peer.sent.head.epoch != "e", "a new epoch is heard")
        assert (ears.peer.version, ears.peer.sent and ears.peer.sent.head.status) == (2, Status.SCHEDULED)


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


class Spread:
    """Ears on a Cluster of three primaries with eight partitions, and a peer in a room of each."""

    def __init__(self, ears: Ears, started: dict[int, subprocess.Popen[bytes]]) -> None:
        self.ears = ears
        self.started = started
        self.store = ears.state.store
        names = (f"w-{number}" for number in range(200))
        self.rooms = {self.store.keys.tag(name): name for name in names}
        self.peers = {tag: Peer(ears.hub) for tag in self.rooms}

    async def enter(self) -> None:
        """Everybody is in."""
        for tag, name in self.rooms.items():
            await self.store.create(room(name))
            self.peers[tag].enter(name)
        await wait_until(lambda: all(peer.version for peer in self.peers.values()), "everybody is in")

    def of(self, port: int) -> set[str]:
        """The partitions of a primary."""
        share = (SLOTS * list(self.started).index(port) // 3, SLOTS * (list(self.started).index(port) + 1) // 3)
        return {tag for tag in self.store.keys.tags if share[0] <= slot(tag) < share[1]}

    async def heard(self, tags: set[str]) -> None:
        """A change in each of these partitions comes to be heard, and nothing has to be read for that."""
        before = self.ears.hub.tally.healed
        for tag in tags:
            await eventually(partial(self._renewed, self.rooms[tag]), "the room is changed")
        told = {tag: (await self.store.load(self.rooms[tag])).room for tag in tags}
        await wait_until(lambda: all(self._has(tag, standing) for tag, standing in told.items()), "changes are heard")
        assert self.ears.hub.tally.healed == before

    async def _renewed(self, name: str) -> bool:
        with contextlib.suppress(StateUnavailable):
            await self.store.renew(name)
            return True
        return False

    def _has(self, tag: str, standing: Room | None) -> bool:
        has = self.peers[tag].sent
        return bool(has and standing and has.text == public_text(standing))


@asynccontextmanager
async def spread(servers: int, reread_seconds: float = NEVER) -> AsyncIterator[Spread]:
    """Such ears; of more than three servers the others are not in the Cluster yet."""
    with processes(servers) as started:
        ports = await asyncio.to_thread(form, list(started)[:3])
        async with listening(url_of(ports), reread_seconds, partitions=8) as ears:
            made = Spread(ears, started)
            await made.enter()
            yield made


async def test_a_primary_that_says_nothing_deafens_its_own_partitions_only() -> None:
    async with spread(3) as made:
        listener, silent = made.ears.listener, list(made.started)[2]
        others = set(made.store.keys.tags) - made.of(silent)
        assert listener.away() == []
        made.started[silent].send_signal(signal.SIGSTOP)
        await wait_until(lambda: set(listener.away()) == made.of(silent), "it is known which are away")
        await made.heard(others)
        await asyncio.wait_for(listener.begun(0.1), PATIENCE)  # as a process does that starts now
        assert (listener.lost, listener.subscribed.is_set()) == (1, False)

        made.started[silent].send_signal(signal.SIGCONT)
        await asyncio.wait_for(listener.subscribed.wait(), PATIENCE)
        await made.heard(set(made.store.keys.tags))
        assert (listener.lost, listener.away()) == (1, [])


async def test_rooms_are_read_again_while_another_partition_is_away() -> None:
    async with spread(3, reread_seconds=0.2) as made:
        silent = list(made.started)[2]
        made.started[silent].send_signal(signal.SIGSTOP)
        await wait_until(made.ears.listener.away, "it is known that some are away")
        tag = next(tag for tag in made.store.keys.tags if tag not in made.of(silent))
        standing = (await made.store.load(made.rooms[tag])).room
        assert standing is not None
        newer = replace(standing, version=standing.version + 1)
        await made.store.call("HSET", made.store.keys.room(made.rooms[tag]), *chain(*fields(newer).items()))
        await wait_until(lambda: made.peers[tag].version == newer.version, "what was never told is found")
        made.started[silent].send_signal(signal.SIGCONT)


async def test_the_replica_of_a_primary_that_died_is_listened_to() -> None:
    async with spread(4) as made:
        *ports, follower = made.started
        await asyncio.to_thread(follow, ports, follower, ports[0])
        made.started[ports[0]].kill()
        await wait_until(lambda: set(made.ears.listener.away()) == made.of(ports[0]), "it is known which are away")
        await made.heard(made.of(ports[1]) | made.of(ports[2]))
        await asyncio.to_thread(take_over, follower)
        await asyncio.wait_for(made.ears.listener.subscribed.wait(), PATIENCE)
        await made.heard(set(made.store.keys.tags))


async def test_rubbish_on_the_channel_is_logged(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(valkey_url) as ears, Redis.from_url(valkey_url) as raw:
        (tag,) = ears.state.store.keys.tags
        for rubbish in ("", "rubbish", "{}", b"\xff"):
            await raw.spublish(ears.state.store.keys.channel(tag), rubbish)
        await ears.state.store.renew("w")
        await ears.hears(2)
        assert ears.listener.subscribed.is_set()
    complaints = [record.levelno for record in caplog.records if record.levelno > logging.INFO]
    assert complaints == [logging.ERROR]  # once a minute
