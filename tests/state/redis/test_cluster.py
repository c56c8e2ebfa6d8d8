"""A Cluster: each command finds its primary, and a map that is out of date is read anew."""

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
async def test_a_key_is_found_wherever_it_stands(spread: State, command: tuple[str, ...]) -> None:
    """Each partition's stream is on its own primary; elsewhere the answer would be MOVED."""
    for tag in spread.store.keys.tags:
        stream = spread.store.keys.events(tag)
        if command[1] != "CREATE":
            await spread.store.call("XGROUP", "CREATE", stream, "group", "0", "MKSTREAM")

        await spread.store.pipeline.call(*(word.format(events=stream) for word in command))


async def test_a_slot_that_moved_is_followed(cluster_ports: list[int], spread: State) -> None:
    tag = spread.store.keys.tags[0]
    for target in (cluster_ports[2], cluster_ports[0]):
        await asyncio.to_thread(move, slot(tag), cluster_ports, target)

        assert all([await renewed(spread.store, name) for name in of(tag, spread.store.keys)])


async def test_work_goes_on_while_a_slot_moves(cluster_ports: list[int], spread: State) -> None:
    """What was answered is there; what was not may be repeated."""
    store, tag = spread.store, spread.store.keys.tags[0]
    moving = asyncio.create_task(asyncio.to_thread(there_and_back, slot(tag), cluster_ports))
    answered = dict.fromkeys(WEBINARS, 0)
    while not moving.done():
        for name in WEBINARS:
            answered[name] += await renewed(store, name)
    await moving
    versions = {name: room.version for name in WEBINARS if (room := (await store.load(name)).room)}

    assert min(answered.values()) > 0
    assert all(versions[name] >= builders.room().version + answered[name] for name in WEBINARS)


def there_and_back(number: int, ports: list[int]) -> None:
    """The slot moves to the last primary and back to the first, several times."""
    for target in (ports[2], ports[0]) * 5:
        move(number, ports, target)


@pytest.fixture(scope="module")
def mortal() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """A Cluster whose servers these tests freeze and kill: three primaries, and one server that is not in it yet."""
    with processes(4) as started:
        form(list(started)[:3])
        yield started


@asynccontextmanager
async def alive(started: dict[int, subprocess.Popen[bytes]]) -> AsyncIterator[State]:
    """A state on an empty Cluster of those that are still there, with webinars in every partition."""
    ports = [port for port, process in started.items() if process.poll() is None]
    for port in ports:
        with BlockingRedis(port=port) as client:
            client.flushall()
    async with opened(url_of(ports)) as state:
        yield state


async def test_a_primary_that_says_nothing_costs_only_its_own_partitions(
    mortal: dict[int, subprocess.Popen[bytes]],
) -> None:
    async with alive(mortal) as state:
        keys, silent = state.store.keys, list(mortal.values())[2]
        silent.send_signal(signal.SIGSTOP)
        tried = await asyncio.gather(*(renewed(state.store, name) for name in WEBINARS))
        silent.send_signal(signal.SIGCONT)
        lost = {name for name, could in zip(WEBINARS, tried, strict=True) if not could}

        assert lost == {name for name in WEBINARS if slot(keys.tag(name)) >= SLOTS * 2 // 3}
        for name in lost:
            assert await eventually(partial(renewed, state.store, name), "it heals")
        assert await heals_after_silence_of_all(state.store, list(mortal.values()))


async def heals_after_silence_of_all(store: Store, started: list[subprocess.Popen[bytes]]) -> bool:
    """Nothing can be done meanwhile, as is said in time, and everything afterwards."""
    for process in started:
        process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(DEADLINE + SLACK):
        could = await asyncio.gather(*(renewed(store, name) for name in WEBINARS))
    for process in started:
        process.send_signal(signal.SIGCONT)
    for name in WEBINARS:
        await eventually(partial(renewed, store, name), "it heals")
    return not any(could)


async def test_before_the_map_is_read_no_line_leads_anywhere(cluster_url: str) -> None:
    async with connected(cluster_url) as client:
        assert isinstance(client, RedisCluster)
        lines = ClusterPipeline(client)
        with pytest.raises(RedisConnectionError, match="no line leads"):
            await lines.call("PING")
        await lines.refresh()

        assert await lines.call("PING") is True
        await lines.close()


async def test_a_replica_that_took_over_is_found(mortal: dict[int, subprocess.Popen[bytes]]) -> None:
    *ports, follower = mortal
    async with alive(mortal) as state:
        await asyncio.to_thread(follow, ports, follower, ports[0])
        mortal[ports[0]].kill()
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
        async with open_cluster_pipeline(client) as lines:
            failures.append(RuntimeError("nobody reckons with this"))
            elsewhere = next(key for key in "abc" if slot(key) * 3 // SLOTS != slot(PREFIX) * 3 // SLOTS)
            with pytest.raises(MovedError):
                await lines.call("GET", elsewhere)
            await wait_until(lambda: not failures, "the map was looked at")
            read.clear()
            await wait_until(lambda: read, "it is read again")

    assert "the Cluster's map cannot be read: nobody reckons with this" in caplog.messages


async def test_a_cluster_that_is_not_there_is_said() -> None:
    (port,) = free_ports(1)
    with pytest.raises(RedisAway, match=r"no answer from .*127"):
        async with open_state(settings_for(f"redis+cluster://127.0.0.1:{port}")):
            pass


async def test_a_server_that_is_no_cluster_is_said() -> None:
    (port,) = free_ports(1)
    refused = pytest.raises(ConfigurationError, match=r"does not take us.*not enabled")
    with redis_server(find_binary(), "--port", str(port)), refused:
        async with open_state(settings_for(f"redis+cluster://127.0.0.1:{port}")):
            pass


class Ears(Hub):
    """A hub that also keeps what it is told."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.told: list[bytes] = []

    def publish(self, text: bytes) -> None:
        """Keep it, and go on as ever."""
        self.told.append(text)
        super().publish(text)


def listener_for(state: State, ears: Ears) -> Listener:
    """What tells these ears."""
    return Listener(state.client, state.store.keys, ears, Reader(state.store, ears, transactions(state.store).renew))


@asynccontextmanager
async def listening(state: State) -> AsyncIterator[Ears]:
    """Ears whose subscriptions are confirmed."""
    ears = Ears(state.store)
    listener = listener_for(state, ears)
    running = asyncio.create_task(listener.run())
    try:
        await wait_until(listener.subscribed.is_set, "every channel is subscribed")
        yield ears
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_every_change_is_heard_from_every_primary(spread: State) -> None:
    async with listening(spread) as ears:
        rooms = await asyncio.gather(*(renew(spread.store, name) for name in WEBINARS))
        await wait_until(lambda: len(ears.told) >= len(WEBINARS), "everything is heard")

    assert sorted(ears.told) == sorted(public_text(room) for room in rooms)


async def test_changes_are_heard_from_where_a_slot_moved_to(cluster_ports: list[int], spread: State) -> None:
    tag = spread.store.keys.tags[0]
    name = of(tag, spread.store.keys)[0]

    async def heard(ears: Ears) -> bool:
        text = public_text(await renew(spread.store, name))
        return text in ears.told

    async with listening(spread) as ears:
        for target in (cluster_ports[2], cluster_ports[0]):
            await asyncio.to_thread(move, slot(tag), cluster_ports, target)

            assert await eventually(lambda: heard(ears), "changes are heard again")


async def test_the_ears_close_whatever_they_are_just_doing(spread: State) -> None:
    """One of these moments is the one in which redis-py loses the cancellation."""
    async with asyncio.timeout(PATIENCE):
        for turns in range(80):
            running = asyncio.create_task(listener_for(spread, Ears(spread.store)).run())
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

            assert running.done()
