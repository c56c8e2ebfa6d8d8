"""Questions to all partitions of a Cluster, one of whose primaries is away: the others answer."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis as BlockingRedis

from room_server.errors import StateUnavailable
from room_server.state import queue_stats, webinars
from room_server.state.keys import PARTITIONS as NUMBER
from room_server.state.keys import SLOTS, slot
from room_server.state.partitions import ask_each
from room_server.state.presence import Word, announce, homes, living
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.cluster import form, processes, url_of
from tests.conftest import CLUSTER_PARTITIONS
from tests.core import builders
from tests.outage import own_redis
from tests.support import eventually, settings_for, transactions

WEBINARS = [f"w-{number}" for number in range(24)]


@pytest.fixture(scope="module")
def primaries() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """A Cluster whose servers these tests freeze."""
    with processes(3) as started:
        form(list(started))
        yield started


@pytest.fixture
async def store(primaries: dict[int, subprocess.Popen[bytes]]) -> AsyncIterator[Store]:
    """An emptied store with a webinar in every partition."""
    for port in primaries:
        with BlockingRedis(port=port) as client:
            client.flushall()
    async with open_state(settings_for(url_of(list(primaries)), partitions=CLUSTER_PARTITIONS)) as state:
        await asyncio.gather(*(transactions(state.store).create(builders.room(webinar_id=name)) for name in WEBINARS))
        yield state.store


@asynccontextmanager
async def frozen(*servers: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """These say nothing for as long as the block runs."""
    for server in servers:
        server.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            server.send_signal(signal.SIGCONT)


def of(store: Store, number: int = 2) -> set[str]:
    """The partitions of one of the primaries; of the last one, unless told otherwise."""
    return {tag for tag in store.keys.tags if slot(tag) * 3 // SLOTS == number}


async def listed(store: Store) -> set[str]:
    return {room.webinar_id for room in await webinars.latest(store)}


async def test_a_partition_that_is_away_is_left_out_and_comes_back(
    store: Store, primaries: dict[int, subprocess.Popen[bytes]]
) -> None:
    asked = {tag: [("ZCARD", store.keys.webinars(tag)), ("EXISTS", store.keys.fates(tag))] for tag in store.keys.tags}
    async with frozen(list(primaries.values())[2]):
        for _ in range(2):
            assert (await ask_each(store, asked)).keys() == set(store.keys.tags) - of(store)
            assert store.away == of(store)

    async def whole() -> bool:
        return len(await ask_each(store, asked)) == CLUSTER_PARTITIONS

    await eventually(whole, "all of them answer")
    assert store.away == set()
    assert sum(reply[0] for reply in (await ask_each(store, asked)).values()) == len(WEBINARS)


async def test_when_all_are_away_that_is_said(store: Store, primaries: dict[int, subprocess.Popen[bytes]]) -> None:
    async with frozen(*primaries.values()):
        for read in (webinars.latest, webinars.delivery_counts, living, queue_stats.read):
            with pytest.raises(StateUnavailable):
                await read(store)
    await eventually(lambda: all_are_there(store), "all of them answer")


async def all_are_there(store: Store) -> bool:
    try:
        return len(await listed(store)) == len(WEBINARS)
    except StateUnavailable:
        return False


async def test_nothing_that_is_asked_is_answered_by_nothing() -> None:
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await server.kill()

        assert await ask_each(state.store, {}) == {}


@pytest.mark.parametrize("number", [0, slot(NUMBER) * 3 // SLOTS], ids=["a primary", "the one that is asked first"])
async def test_lists_and_sums_are_of_those_that_are_there(
    store: Store, primaries: dict[int, subprocess.Popen[bytes]], number: int
) -> None:
    lost = of(store, number)
    for tag in store.keys.tags:
        await store.call("HSET", store.keys.fates(tag), "sent", 1)
    there = {name for name in WEBINARS if store.keys.tag(name) not in lost}
    async with frozen(list(primaries.values())[number]):
        read = await queue_stats.read(store)
        assert (read.partitions_away, read.webinars["live"]) == (len(lost), len(there))
        assert await listed(store) == there
        assert await webinars.delivery_counts(store) == {"sent": CLUSTER_PARTITIONS - len(lost)}
    await eventually(lambda: all_are_there(store), "all of them answer")


async def test_a_process_whose_partition_is_away_speaks_across(
    store: Store, primaries: dict[int, subprocess.Popen[bytes]]
) -> None:
    words = [Word(node=f"n-{number}", kind="web", total=number) for number in range(32)]
    at_home = {word.node for word in words if homes(store, word.node)[0] in of(store)}
    await asyncio.gather(*(announce(store, word) for word in words))
    async with frozen(list(primaries.values())[2]):
        seen = {node.node for node in await living(store)}
        await asyncio.gather(*(announce(store, word) for word in words))

        assert (len(at_home) > 0, seen & at_home) == (True, set())
        assert {node.node for node in await living(store)} == {word.node for word in words}
    await eventually(lambda: all_are_there(store), "all of them answer")
    await asyncio.gather(*(announce(store, word) for word in words))
    assert len(await living(store)) == len(words)
