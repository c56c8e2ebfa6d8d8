"""Large hashes are read in slices; reads of all partitions go on while one is unavailable."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from room_server.errors import StateUnavailable
from room_server.state import queue_stats, webinars
from room_server.state.bulk_reads import SLICE, ask_each, hash_fields, hash_slices
from room_server.state.heartbeat import Report, announce, living, partitions_of
from room_server.state.keys import PARTITIONS as NUMBER
from room_server.state.keys import SLOTS, slot
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.cluster import form, processes, url_of
from tests.conftest import CLUSTER_PARTITIONS
from tests.core import builders
from tests.outage import own_redis
from tests.support import eventually, settings_for, transactions

WEBINARS = [f"w-{number}" for number in range(24)]


async def test_a_large_hash_is_read_whole_and_in_slices(store: Store, redis_url: str) -> None:
    written = {str(number).encode(): b"x" * 100 for number in range(3 * SLICE)}  # too large for a compact encoding
    async with Redis.from_url(redis_url) as raw:
        await raw.hset("large", items=[part for pair in written.items() for part in pair])
        await raw.expire("large", 60)
    read = [part async for part in hash_slices(store, "large")]
    assert len(read) > 1
    assert {field: value for part in read for field, value in part.items()} == written
    names = [part async for part in hash_fields(store, "large")]
    assert len(names) > 1
    assert {name for part in names for name in part} == written.keys()


async def test_a_missing_hash_has_no_slices(store: Store) -> None:
    assert [part async for part in hash_slices(store, "none")] == []
    assert [part async for part in hash_fields(store, "none")] == []


async def test_a_read_that_a_restart_interrupts_is_an_error() -> None:
    """After a restart the fields are in another order: the cursor would skip some of them."""
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await state.store.call("HSET", "large", *(part for n in range(3 * SLICE) for part in (n, b"x" * 100)))
        reading = hash_slices(state.store, "large")
        await anext(reading)
        await server.kill()
        await server.start()

        with pytest.raises(StateUnavailable, match="in the middle of a long reading"):
            [part async for part in reading]


@pytest.fixture(scope="module")
def primaries() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """A Cluster whose servers these tests freeze."""
    with processes(3) as started:
        form(list(started))
        yield started


@pytest.fixture
async def spread(primaries: dict[int, subprocess.Popen[bytes]]) -> AsyncIterator[Store]:
    """An emptied store with a webinar in every partition."""
    for port in primaries:
        with BlockingRedis(port=port) as client:
            client.flushall()
    async with open_state(settings_for(url_of(list(primaries)), partitions=CLUSTER_PARTITIONS)) as state:
        await asyncio.gather(*(transactions(state.store).create(builders.room(webinar_id=name)) for name in WEBINARS))
        yield state.store


@asynccontextmanager
async def frozen(*servers: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """Freeze these servers for as long as the block runs."""
    for server in servers:
        server.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            server.send_signal(signal.SIGCONT)


def of(store: Store, number: int = 2) -> set[str]:
    """The partitions of one of the primaries; the last one by default."""
    return {tag for tag in store.keys.tags if slot(tag) * 3 // SLOTS == number}


async def listed(store: Store) -> set[str]:
    return {room.webinar_id for room in await webinars.latest(store)}


async def test_an_unavailable_partition_is_left_out_until_it_answers_again(
    spread: Store, primaries: dict[int, subprocess.Popen[bytes]]
) -> None:
    commands = {
        tag: [("ZCARD", spread.keys.webinars(tag)), ("EXISTS", spread.keys.fates(tag))] for tag in spread.keys.tags
    }
    async with frozen(list(primaries.values())[2]):
        for _ in range(2):
            assert (await ask_each(spread, commands)).keys() == set(spread.keys.tags) - of(spread)
            assert spread.unavailable == of(spread)

    async def whole() -> bool:
        return len(await ask_each(spread, commands)) == CLUSTER_PARTITIONS

    await eventually(whole, "all of them answer")
    assert spread.unavailable == set()
    assert sum(reply[0] for reply in (await ask_each(spread, commands)).values()) == len(WEBINARS)


async def test_it_is_an_error_when_all_partitions_are_unavailable(
    spread: Store, primaries: dict[int, subprocess.Popen[bytes]]
) -> None:
    async with frozen(*primaries.values()):
        for read in (webinars.latest, webinars.delivery_counts, living, queue_stats.read):
            with pytest.raises(StateUnavailable):
                await read(spread)
    await eventually(lambda: all_answer(spread), "all of them answer")


async def all_answer(store: Store) -> bool:
    try:
        return len(await listed(store)) == len(WEBINARS)
    except StateUnavailable:
        return False


async def test_without_commands_there_are_no_replies_and_no_error() -> None:
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await server.kill()

        assert await ask_each(state.store, {}) == {}


@pytest.mark.parametrize("number", [0, slot(NUMBER) * 3 // SLOTS], ids=["a primary", "the one that is asked first"])
async def test_lists_and_sums_are_of_the_available_partitions(
    spread: Store, primaries: dict[int, subprocess.Popen[bytes]], number: int
) -> None:
    lost = of(spread, number)
    for tag in spread.keys.tags:
        await spread.call("HSET", spread.keys.fates(tag), "sent", 1)
    there = {name for name in WEBINARS if spread.keys.tag(name) not in lost}
    async with frozen(list(primaries.values())[number]):
        read = await queue_stats.read(spread)
        assert (read.partitions_away, read.webinars["live"]) == (len(lost), len(there))
        assert await listed(spread) == there
        assert await webinars.delivery_counts(spread) == {"sent": CLUSTER_PARTITIONS - len(lost)}
    await eventually(lambda: all_answer(spread), "all of them answer")


async def test_a_process_whose_partition_is_unavailable_reports_to_another(
    spread: Store, primaries: dict[int, subprocess.Popen[bytes]]
) -> None:
    reports = [Report(node=f"n-{number}", kind="web", total=number) for number in range(32)]
    at_home = {report.node for report in reports if partitions_of(spread, report.node)[0] in of(spread)}
    await asyncio.gather(*(announce(spread, report) for report in reports))
    async with frozen(list(primaries.values())[2]):
        seen = {node.node for node in await living(spread)}
        await asyncio.gather(*(announce(spread, report) for report in reports))

        assert (len(at_home) > 0, seen & at_home) == (True, set())
        assert {node.node for node in await living(spread)} == {report.node for report in reports}
    await eventually(lambda: all_answer(spread), "all of them answer")
    await asyncio.gather(*(announce(spread, report) for report in reports))
    assert len(await living(spread)) == len(reports)
