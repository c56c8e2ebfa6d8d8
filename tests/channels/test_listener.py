"""Redis -> hub over real servers: published changes arrive, and lost ones are found by a re-read."""

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
from tests.support import PATIENCE, eventually, renew, room, settings_for, transactions, wait_until

NEVER = 1000.0


class Listening:
    """A listening process without its sockets, and one peer in the room `w`."""

    def __init__(self, state: State, reread_seconds: float) -> None:
        self.state = state
        self.hub = Hub(state.store)
        self.reader = Reader(state.store, self.hub, transactions(state.store).renew)
        self.listener = Listener(state.client, state.store.keys, self.hub, self.reader)
        self.listener.reread_seconds = reread_seconds
        self.peer = Peer(self.hub, Role.SPEAKER)

    async def has(self, version: int) -> None:
        """Wait until the peer has this version."""
        await wait_until(lambda: self.peer.version == version, f"version {version} arrives")


@asynccontextmanager
async def listening(url: str, reread_seconds: float = NEVER, **settings: object) -> AsyncIterator[Listening]:
    """A listening process on the server at `url`; its periodic re-read is switched off."""
    async with open_state(settings_for(url, **settings)) as state, asyncio.TaskGroup() as tasks:
        process = Listening(state, reread_seconds)
        await transactions(state.store).create(room("w", epoch="e"))
        work = (process.listener.run(), process.listener.refresh(), process.reader.run(), process.hub.broadcast_loop())
        running = [tasks.create_task(one) for one in work]
        await asyncio.wait_for(process.listener.subscribed.wait(), PATIENCE)
        process.peer.enter()
        await process.has(1)
        yield process
        for task in running:
            task.cancel()


async def test_a_published_change_arrives(redis_url: str) -> None:
    async with listening(redis_url) as process, open_state(settings_for(redis_url)) as elsewhere:
        for _ in range(3):
            await renew(elsewhere.store, "w")
        await process.has(4)
        assert [state.head.version for state in process.peer.pushed][-1] == 4


async def test_changes_of_every_partition_arrive(redis_url: str) -> None:
    async with listening(redis_url, partitions=16) as process:
        peers = []
        for number in range(32):
            await transactions(process.state.store).create(room(f"w{number}"))
            peers.append(Peer(process.hub))
            peers[-1].enter(f"w{number}")
        await wait_until(lambda: all(peer.version == 1 for peer in peers), "everyone is in")
        for number in range(32):
            await renew(process.state.store, f"w{number}")
        await wait_until(lambda: all(peer.version == 2 for peer in peers), "everyone has the change")


async def test_a_change_that_is_published_while_the_connection_is_lost_is_found(redis_url: str) -> None:
    async with listening(redis_url) as process, Redis.from_url(redis_url) as raw:
        for number in range(2, 6):
            async with raw.pipeline(transaction=True) as both:
                both.client_kill_filter(_type="pubsub")
                both.hset(process.state.store.keys.room("w"), mapping=fields(room("w", epoch="e", version=number)))
                await both.execute()
            await process.has(number)
            await asyncio.wait_for(process.listener.subscribed.wait(), PATIENCE)
        await renew(process.state.store, "w")
        await process.has(6)


async def test_a_connection_that_hangs_is_given_up(valkey_url: str) -> None:
    """A frozen server, or a network that swallows everything, signals nothing."""
    async with (
        proxy_to(valkey_url) as proxy,
        listening(proxy.url) as process,
        open_state(settings_for(valkey_url)) as other,
    ):
        proxy.freeze()
        await renew(other.store, "w")
        await wait_until(lambda: not process.listener.subscribed.is_set(), "the subscription is known to be lost")
        proxy.thaw()
        await process.has(2)


@asynccontextmanager
async def owned() -> AsyncIterator[tuple[OwnRedis, Listening]]:
    """A listening process on a server that the test can kill and freeze."""
    async with own_redis() as redis, listening(redis.url) as process:
        yield redis, process


async def test_changes_arrive_again_when_a_killed_server_is_back() -> None:
    async with owned() as (redis, process):
        await redis.kill()
        await wait_until(lambda: not process.listener.subscribed.is_set(), "the subscription is known to be lost")
        await redis.start()
        await asyncio.wait_for(process.listener.subscribed.wait(), PATIENCE)
        await renew(process.state.store, "w")
        await process.has(2)


async def test_a_server_that_comes_back_without_its_last_changes_begins_a_new_epoch() -> None:
    async with owned() as (redis, process):
        process.hub.publish(b'{"webinar_id":"w","epoch":"e","version":9,"status":"live"}')
        await process.has(9)
        await redis.kill()
        await redis.start()
        await wait_until(lambda: process.peer.sent and process.peer.sent.head.epoch != "e", "a new epoch arrives")
        assert (process.peer.version, process.peer.sent and process.peer.sent.head.status) == (2, Status.SCHEDULED)


async def test_a_change_that_is_lost_without_a_sign_is_found_by_the_periodic_re_read(valkey_url: str) -> None:
    async with listening(valkey_url) as process, Redis.from_url(valkey_url) as raw:
        process.listener.reread_seconds = 0.2
        await renew(process.state.store, "w")
        await process.has(2)
        stored = (await process.state.store.load("w")).room
        assert stored is not None
        await raw.client_kill_filter(_type="pubsub")  # the new period is used from here on
        await asyncio.wait_for(process.listener.subscribed.wait(), PATIENCE)
        await put(raw, process.state.store, room("w", epoch=stored.epoch, version=5))
        await process.has(5)
        await put(raw, process.state.store, room("w", epoch=stored.epoch, version=6))
        await process.has(6)
    assert REREAD_SECONDS == 5.0


async def test_a_re_read_that_fails_is_tried_again() -> None:
    async with owned() as (redis, process), Redis.from_url(redis.url, socket_timeout=PATIENCE) as raw:
        process.listener.reread_seconds = 0.1
        await raw.client_kill_filter(_type="pubsub")  # the new period is used from here on
        await raw.ping()
        redis.freeze()
        written = asyncio.create_task(put(raw, process.state.store, room("w", epoch="e", version=3)))
        await wait_until(lambda: not process.listener.subscribed.is_set(), "the subscription is known to be lost")
        redis.thaw()
        await written
        await process.has(3)


async def test_changes_of_every_primary_arrive_also_when_a_slot_moves() -> None:
    with cluster() as ports:
        async with listening(url_of(ports), partitions=8) as process:
            peers = [Peer(process.hub) for _ in range(16)]
            for number, peer in enumerate(peers):
                await transactions(process.state.store).create(room(f"w{number}"))
                peer.enter(f"w{number}")
            await wait_until(lambda: {peer.version for peer in peers} == {1}, "everyone is in")
            for number in range(16):
                await renew(process.state.store, f"w{number}")
            await wait_until(lambda: {peer.version for peer in peers} == {2}, "everyone has the change")
            moved = slot(process.state.store.keys.room("w"))
            for port in ports:
                await asyncio.to_thread(move, moved, ports, port)
                before = process.peer.version
                await renew(process.state.store, "w")
                await process.has(before + 1)


class Spread:
    """A listening process on a Cluster of three primaries with eight partitions, and a peer in a room of each."""

    def __init__(self, process: Listening, started: dict[int, subprocess.Popen[bytes]]) -> None:
        self.process = process
        self.started = started
        self.store = process.state.store
        names = (f"w-{number}" for number in range(200))
        self.rooms = {self.store.keys.tag(name): name for name in names}
        self.peers = {tag: Peer(process.hub) for tag in self.rooms}

    async def enter(self) -> None:
        """Create the rooms and admit the peers."""
        for tag, name in self.rooms.items():
            await transactions(self.store).create(room(name))
            self.peers[tag].enter(name)
        await wait_until(lambda: all(peer.version for peer in self.peers.values()), "all peers are admitted")

    def of(self, port: int) -> set[str]:
        """The partitions of a primary."""
        share = (SLOTS * list(self.started).index(port) // 3, SLOTS * (list(self.started).index(port) + 1) // 3)
        return {tag for tag in self.store.keys.tags if share[0] <= slot(tag) < share[1]}

    async def arrive(self, tags: set[str]) -> None:
        """A change in each of these partitions arrives, and without a re-read."""
        before = self.process.hub.tally.healed
        for tag in tags:
            await eventually(partial(self._renewed, self.rooms[tag]), "the room is changed")
        changed = {tag: (await self.store.load(self.rooms[tag])).room for tag in tags}
        await wait_until(lambda: all(self._has(tag, stored) for tag, stored in changed.items()), "the changes arrive")
        assert self.process.hub.tally.healed == before

    async def _renewed(self, name: str) -> bool:
        with contextlib.suppress(StateUnavailable):
            await renew(self.store, name)
            return True
        return False

    def _has(self, tag: str, stored: Room | None) -> bool:
        state = self.peers[tag].sent
        return bool(state and stored and state.text == public_text(stored))


@asynccontextmanager
async def spread(servers: int, reread_seconds: float = NEVER) -> AsyncIterator[Spread]:
    """Such a process; of more than three servers the others are not in the Cluster yet."""
    with processes(servers) as started:
        ports = await asyncio.to_thread(form, list(started)[:3])
        async with listening(url_of(ports), reread_seconds, partitions=8) as process:
            made = Spread(process, started)
            await made.enter()
            yield made


async def test_a_primary_that_hangs_costs_its_own_partitions_only() -> None:
    async with spread(3) as made:
        listener, hanging = made.process.listener, list(made.started)[2]
        others = set(made.store.keys.tags) - made.of(hanging)
        assert listener.away() == []
        made.started[hanging].send_signal(signal.SIGSTOP)
        await wait_until(lambda: set(listener.away()) == made.of(hanging), "it is known which are away")
        await made.arrive(others)
        await asyncio.wait_for(listener.begun(0.1), PATIENCE)  # as a process does that starts now
        assert (listener.lost, listener.subscribed.is_set()) == (1, False)

        made.started[hanging].send_signal(signal.SIGCONT)
        await asyncio.wait_for(listener.subscribed.wait(), PATIENCE)
        await made.arrive(set(made.store.keys.tags))
        assert (listener.lost, listener.away()) == (1, [])


async def test_rooms_are_read_again_while_another_partition_is_away() -> None:
    async with spread(3, reread_seconds=0.2) as made:
        hanging = list(made.started)[2]
        made.started[hanging].send_signal(signal.SIGSTOP)
        await wait_until(made.process.listener.away, "it is known that some are away")
        tag = next(tag for tag in made.store.keys.tags if tag not in made.of(hanging))
        stored = (await made.store.load(made.rooms[tag])).room
        assert stored is not None
        newer = replace(stored, version=stored.version + 1)
        await made.store.call("HSET", made.store.keys.room(made.rooms[tag]), *chain(*fields(newer).items()))
        await wait_until(lambda: made.peers[tag].version == newer.version, "the change that was not published is found")
        made.started[hanging].send_signal(signal.SIGCONT)


async def test_the_replica_of_a_primary_that_died_is_subscribed() -> None:
    async with spread(4) as made:
        *ports, follower = made.started
        await asyncio.to_thread(follow, ports, follower, ports[0])
        made.started[ports[0]].kill()
        await wait_until(lambda: set(made.process.listener.away()) == made.of(ports[0]), "it is known which are away")
        await made.arrive(made.of(ports[1]) | made.of(ports[2]))
        await asyncio.to_thread(take_over, follower)
        await asyncio.wait_for(made.process.listener.subscribed.wait(), PATIENCE)
        await made.arrive(set(made.store.keys.tags))


async def test_rubbish_on_the_channel_is_logged(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(valkey_url) as process, Redis.from_url(valkey_url) as raw:
        (tag,) = process.state.store.keys.tags
        for rubbish in ("", "rubbish", "{}", b"\xff"):
            await raw.spublish(process.state.store.keys.channel(tag), rubbish)
        await renew(process.state.store, "w")
        await process.has(2)
        assert process.listener.subscribed.is_set()
    complaints = [record.levelno for record in caplog.records if record.levelno > logging.INFO]
    assert complaints == [logging.ERROR]  # once a minute
