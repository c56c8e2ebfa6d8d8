"""A Cluster: each command reaches its primary, and an outdated map is read again."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from room_server.channels.hub import Hub
from room_server.channels.listener import Listener
from room_server.channels.reader import Reader
from room_server.core.room import public_text
from room_server.errors import ConfigurationError, RedisAway, StateUnavailable
from room_server.state.keys import PREFIX, SLOTS, Keys, slot
from room_server.state.redis.cluster import ClusterPipeline, open_cluster_pipeline
from room_server.state.redis.connect import connected
from room_server.state.redis.embedded import find_binary
from room_server.state.redis.retry import DEADLINE
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.cluster import follow, form, free_ports, move, processes, take_over, url_of
from tests.conftest import CLUSTER_PARTITIONS, redis_server
from tests.core import builders
from tests.state.acts import servers
from tests.support import PATIENCE, SLACK, eventually, renew, settings_for, transactions, wait_until

WEBINARS = [f"w-{number}" for number in range(24)]


@pytest.fixture
async def spread(cluster_url: str) -> AsyncIterator[State]:
    """An open state on the shared Cluster, with webinars in every partition."""
    async with opened(cluster_url) as state:
        yield state


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[State]:
    """A state with webinars in every partition."""
    async with open_state(settings_for(url, partitions=CLUSTER_PARTITIONS)) as state:
        await asyncio.gather(*(transactions(state.store).create(builders.room(webinar_id=name)) for name in WEBINARS))
        yield state


def of(tag: str, keys: Keys) -> list[str]:
    """The webinars of a partition."""
    return [name for name in WEBINARS if keys.tag(name) == tag]


async def renewed(store: Store, name: str) -> bool:
    """Whether the webinar could be changed."""
    try:
        await renew(store, name)
    except StateUnavailable:
        return False
    return True


async def test_webinars_are_on_every_primary(spread: State) -> None:
    async with servers(spread) as clients:
        counts = [len([key async for key in client.scan_iter("*:room:*")]) for client in clients]

    assert sum(counts) == len(WEBINARS)
    assert min(counts) > 0


async def test_a_command_without_a_key_goes_anywhere(spread: State) -> None:
    assert await spread.store.call("PING") is True


@pytest.mark.parametrize(
    "command",
    [
        ("XGROUP", "CREATE", "{events}", "group", "0", "MKSTREAM"),
        ("XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "{events}", ">"),
        ("XINFO", "CONSUMERS", "{events}", "group"),
        ("XAUTOCLAIM", "{events}", "group", "me", "0", "0"),
    ],
    ids=lambda command: command[0],
)
async def test_the_key_of_any_command_is_found(spread: State, command: tuple[str, ...]) -> None:
    """Each partition's stream is on its own primary; elsewhere the answer would be MOVED."""
    for tag in spread.store.keys.tags:
        stream = spread.store.keys.events(tag)
        if command[1] != "CREATE":
            await spread.store.call("XGROUP", "CREATE", stream, "group", "0", "MKSTREAM")

        await spread.store.pipeline.call(*(part.format(events=stream) for part in command))


async def test_a_slot_that_moved_is_followed(cluster_ports: list[int], spread: State) -> None:
    tag = spread.store.keys.tags[0]
    for target in (cluster_ports[2], cluster_ports[0]):
        await asyncio.to_thread(move, slot(tag), cluster_ports, target)

        assert all([await renewed(spread.store, name) for name in of(tag, spread.store.keys)])


async def test_work_goes_on_while_a_slot_moves(cluster_ports: list[int], spread: State) -> None:
    """An acknowledged change is stored; any other may be repeated."""
    store, tag = spread.store, spread.store.keys.tags[0]
    moving = asyncio.create_task(asyncio.to_thread(move_and_return, slot(tag), cluster_ports))
    answered = dict.fromkeys(WEBINARS, 0)
    while not moving.done():
        for name in WEBINARS:
            answered[name] += await renewed(store, name)
    await moving
    versions = {name: room.version for name in WEBINARS if (room := (await store.load(name)).room)}

    assert min(answered.values()) > 0
    assert all(versions[name] >= builders.room().version + answered[name] for name in WEBINARS)


def move_and_return(number: int, ports: list[int]) -> None:
    """Move the slot to the last primary and back to the first, several times."""
    for target in (ports[2], ports[0]) * 5:
        move(number, ports, target)


@pytest.fixture(scope="module")
def fragile() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """A Cluster whose servers these tests freeze and kill: three primaries, and one server that is not in it yet."""
    with processes(4) as started:
        form(list(started)[:3])
        yield started


@asynccontextmanager
async def alive(started: dict[int, subprocess.Popen[bytes]]) -> AsyncIterator[State]:
    """A state on the servers that are still running, emptied, with webinars in every partition."""
    ports = [port for port, process in started.items() if process.poll() is None]
    for port in ports:
        with BlockingRedis(port=port) as client:
            client.flushall()
    async with opened(url_of(ports)) as state:
        yield state


async def test_a_primary_that_is_frozen_costs_only_its_own_partitions(
    fragile: dict[int, subprocess.Popen[bytes]],
) -> None:
    async with alive(fragile) as state:
        keys, silent = state.store.keys, list(fragile.values())[2]
        silent.send_signal(signal.SIGSTOP)
        tried = await asyncio.gather(*(renewed(state.store, name) for name in WEBINARS))
        silent.send_signal(signal.SIGCONT)
        lost = {name for name, could in zip(WEBINARS, tried, strict=True) if not could}

        assert lost == {name for name in WEBINARS if slot(keys.tag(name)) >= SLOTS * 2 // 3}
        for name in lost:
            assert await eventually(partial(renewed, state.store, name), "changes are stored again")
        assert await heals_after_silence_of_all(state.store, list(fragile.values()))


async def heals_after_silence_of_all(store: Store, started: list[subprocess.Popen[bytes]]) -> bool:
    """Whether every change is refused in time while all servers are frozen; every change works afterwards."""
    for process in started:
        process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(DEADLINE + SLACK):
        could = await asyncio.gather(*(renewed(store, name) for name in WEBINARS))
    for process in started:
        process.send_signal(signal.SIGCONT)
    for name in WEBINARS:
        await eventually(partial(renewed, store, name), "changes are stored again")
    return not any(could)


async def test_before_the_map_is_read_no_server_is_connected(cluster_url: str) -> None:
    async with connected(cluster_url) as client:
        assert isinstance(client, RedisCluster)
        pipeline = ClusterPipeline(client)
        with pytest.raises(RedisConnectionError, match="there is no connection"):
            await pipeline.call("PING")
        await pipeline.refresh()

        assert await pipeline.call("PING") is True
        await pipeline.close()


async def test_a_replica_that_took_over_is_found(fragile: dict[int, subprocess.Popen[bytes]]) -> None:
    *ports, follower = fragile
    async with alive(fragile) as state:
        await asyncio.to_thread(follow, ports, follower, ports[0])
        fragile[ports[0]].kill()
        await asyncio.to_thread(take_over, follower)
        for name in WEBINARS:
            assert await eventually(partial(renewed, state.store, name), "the replica serves")


async def test_the_map_is_read_again_whatever_went_wrong(cluster_url: str, caplog: pytest.LogCaptureFixture) -> None:
    read: list[tuple[str, int]] = []
    failures: list[Exception] = []

    def remap(address: tuple[str, int]) -> tuple[str, int]:
        if failures:
            raise failures.pop()
        read.append(address)
        return address

    async with connected(cluster_url, address_remap=remap) as client:
        assert isinstance(client, RedisCluster)
        async with open_cluster_pipeline(client) as pipeline:
            failures.append(RuntimeError("nobody expects this"))
            elsewhere = next(key for key in "abc" if slot(key) * 3 // SLOTS != slot(PREFIX) * 3 // SLOTS)
            with pytest.raises(MovedError):
                await pipeline.call("GET", elsewhere)
            await wait_until(lambda: not failures, "the map was read")
            read.clear()
            await wait_until(lambda: read, "it is read again")

    assert "the Cluster's map cannot be read: nobody expects this" in caplog.messages


async def test_a_cluster_that_does_not_answer_is_a_clear_error() -> None:
    (port,) = free_ports(1)
    with pytest.raises(RedisAway, match=r"no answer from .*127"):
        async with open_state(settings_for(f"redis+cluster://127.0.0.1:{port}")):
            pass


async def test_a_server_that_is_no_cluster_is_a_clear_error() -> None:
    (port,) = free_ports(1)
    refused = pytest.raises(ConfigurationError, match=r"does not take us.*not enabled")
    with redis_server(find_binary(), "--port", str(port)), refused:
        async with open_state(settings_for(f"redis+cluster://127.0.0.1:{port}")):
            pass


class RecordingHub(Hub):
    """A hub that also keeps every published text."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.texts: list[bytes] = []

    def publish(self, text: bytes) -> None:
        """Keep the text, and publish it."""
        self.texts.append(text)
        super().publish(text)


def listener_for(state: State, hub: RecordingHub) -> Listener:
    """A listener that publishes to this hub."""
    return Listener(state.client, state.store.keys, hub, Reader(state.store, hub, transactions(state.store).renew))


@asynccontextmanager
async def listening(state: State) -> AsyncIterator[RecordingHub]:
    """A hub that gets the changes of every partition."""
    hub = RecordingHub(state.store)
    listener = listener_for(state, hub)
    running = asyncio.create_task(listener.run())
    try:
        await wait_until(listener.subscribed.is_set, "every channel is subscribed")
        yield hub
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_every_change_on_every_primary_is_published(spread: State) -> None:
    async with listening(spread) as hub:
        rooms = await asyncio.gather(*(renew(spread.store, name) for name in WEBINARS))
        await wait_until(lambda: len(hub.texts) >= len(WEBINARS), "every text is published")

    assert sorted(hub.texts) == sorted(public_text(room) for room in rooms)


async def test_changes_are_published_after_a_slot_moved(cluster_ports: list[int], spread: State) -> None:
    tag = spread.store.keys.tags[0]
    name = of(tag, spread.store.keys)[0]

    async def is_published(hub: RecordingHub) -> bool:
        text = public_text(await renew(spread.store, name))
        return text in hub.texts

    async with listening(spread) as hub:
        for target in (cluster_ports[2], cluster_ports[0]):
            await asyncio.to_thread(move, slot(tag), cluster_ports, target)

            assert await eventually(lambda: is_published(hub), "changes are published again")


async def test_a_listener_ends_at_any_moment(spread: State) -> None:
    """One of these moments is the one in which redis-py loses the cancellation."""
    async with asyncio.timeout(PATIENCE):
        for turns in range(80):
            running = asyncio.create_task(listener_for(spread, RecordingHub(spread.store)).run())
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

            assert running.done()
