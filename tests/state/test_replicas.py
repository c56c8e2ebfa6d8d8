"""REPLICAS: what was answered is on so many replicas, whatever happens to the primary; without them nothing is."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ReadOnlyError

from room_server.core.room import Status
from room_server.errors import StateUnavailable
from room_server.state.connect import connected
from room_server.state.keys import slot
from room_server.state.opening import open_state
from room_server.state.patience import DEADLINE
from room_server.state.pipeline import CONFIRM_MS, Unconfirmed, open_line
from room_server.state.store import Store
from tests.cluster import follow, form, free_ports, processes, url_of
from tests.conftest import settings_for
from tests.core import builders
from tests.outage import OwnRedis, own_redis
from tests.state.acts import answer
from tests.state.conftest import PARTITIONS
from tests.support import eventually, room, serving

MANY = 300
"""Answered creations before the primary is killed."""
WEBINARS = [f"w-{number}" for number in range(24)]


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """The way from a primary to its replica: what the primary says comes `delay` seconds late; never, once it tore."""

    def __init__(self) -> None:
        self.port = 0
        """Where the replica finds its primary."""
        self.delay = 0.0
        self.torn = False

    async def carry(self, ends: Sequence[End], late: bool) -> None:
        """What one end says, to the other."""
        (reader, _), (_, writer) = ends
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(self.delay if late else 0)
                if not self.torn:
                    writer.write(data)
        writer.close()


@asynccontextmanager
async def link_to(port: int) -> AsyncIterator[Link]:
    """A link to the primary at this port; its lines end with the block."""
    link, serving = Link(), set[asyncio.Task[None]]()

    async def serve(*replica: Any) -> None:
        with contextlib.suppress(OSError), contextlib.closing(replica[1]):
            primary = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(primary[1]):
                await asyncio.gather(link.carry((replica, primary), False), link.carry((primary, replica), True))

    def connected(*replica: Any) -> None:
        serving.add(asyncio.create_task(serve(*replica)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


class Pair(NamedTuple):
    """A primary and its replica, each in the test's hands, and what lies between them."""

    primary: OwnRedis
    replica: OwnRedis
    link: Link


async def is_linked(replica: OwnRedis) -> bool:
    """Whether the replica has all that its primary has."""
    async with Redis.from_url(replica.url) as client:
        told = await client.info("replication")
        return bool(told.get("master_link_status") == "up")


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """The replica follows at once."""
    (port,) = free_ports(1)
    reached = ("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(own_redis(*reached))
        link = await stack.enter_async_context(link_to(port))
        replica = await stack.enter_async_context(own_redis("--replicaof", "127.0.0.1", str(link.port)))
        await eventually(lambda: is_linked(replica), "the replica follows")
        yield Pair(primary, replica, link)
        replica.thaw()


@asynccontextmanager
async def promoted(replica: OwnRedis) -> AsyncIterator[Store]:
    """The store of whoever finds the replica in its primary's place."""
    async with Redis.from_url(replica.url) as client:
        await client.replicaof("NO", "ONE")
    async with open_state(settings_for(replica.url)) as state:
        yield state.store


async def create_until_it_is_gone(store: Store, servers: Pair) -> set[str]:
    """The webinars whose creation was answered, with many on their way when the primary was killed."""
    confirmed: set[str] = set()

    async def create(prefix: str) -> None:
        for number in count():
            await store.create(room(f"{prefix}-{number}"))
            confirmed.add(f"{prefix}-{number}")
            if len(confirmed) == MANY:
                servers.link.torn = True
                await servers.primary.kill()

    ended = await asyncio.gather(*(create(f"w-{number}") for number in range(50)), return_exceptions=True)
    assert {type(result) for result in ended} == {StateUnavailable}
    return confirmed


async def test_what_was_answered_survives_the_primary() -> None:
    """What was on its way to the replica is lost, and was not answered."""
    async with pair() as servers:
        servers.link.delay = 0.02
        async with open_state(settings_for(servers.primary.url, replicas=1)) as state:
            confirmed = await create_until_it_is_gone(state.store, servers)
        async with promoted(servers.replica) as store:
            lost = {name for name in confirmed if (await store.load(name)).room is None}

    assert lost == set()
    assert len(confirmed) >= MANY


async def test_without_its_replica_a_hook_is_refused_in_time_and_a_reading_is_not() -> None:
    async with pair() as servers, serving(settings_for(servers.primary.url, replicas=1)) as site:
        await site.store.create(room())
        servers.replica.freeze()
        began = time.monotonic()
        refused, read = await asyncio.gather(site.status("start"), site.state())
        took = time.monotonic() - began
        repeated = await site.status("start")
        servers.replica.thaw()
        healed = await site.status("start")

    assert (refused.status_code, refused.json()["code"]) == (503, "state_unavailable")
    assert (read.status_code, read.elapsed.total_seconds() < CONFIRM_MS / 1000) == (200, True)
    assert took < 2
    assert (repeated.status_code, repeated.json()["code"]) == (503, "state_unavailable"), "nor is it a repeat yet"
    assert (healed.status_code, healed.json()["duplicate"], healed.json()["status"]) == (200, True, "live")


async def test_a_replica_that_is_late_is_waited_for() -> None:
    async with pair() as servers, open_state(settings_for(servers.primary.url, replicas=1)) as state:
        servers.replica.freeze()
        creation = asyncio.create_task(state.store.create(room()))
        asyncio.get_running_loop().call_later(DEADLINE / 2, servers.replica.thaw)

        assert (await creation).status is Status.SCHEDULED
        assert (await state.store.load("w")).room == await creation


async def test_it_is_told_when_replicas_are_missing_and_when_they_are_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "room_server.state.pipeline")
    async with pair() as servers, open_state(settings_for(servers.primary.url, replicas=1)) as state:
        servers.replica.freeze()
        with pytest.raises(StateUnavailable):
            await state.store.create(room())
        servers.replica.thaw()
        await state.store.create(room("other"))

    assert caplog.messages == [
        "0 replicas have what was written, 1 are asked for",
        "1 replicas have what was written, 1 are asked for",
    ]


async def test_a_flight_is_confirmed_as_a_whole() -> None:
    async with pair() as servers, connected(servers.primary.url) as client:
        assert isinstance(client, Redis)
        async with open_line(client, 2) as line:
            replies = await asyncio.gather(line.call("PING"), line.call("NONSENSE"), return_exceptions=True)

    assert [type(reply).__name__ for reply in replies] == ["Unconfirmed", "ResponseError"]
    assert isinstance(replies[0], Unconfirmed)
    assert str(replies[0]) == "1 of 2 replicas have it"


async def test_a_server_that_became_a_replica_confirms_nothing() -> None:
    async with pair() as servers, connected(servers.replica.url) as client:
        assert isinstance(client, Redis)
        async with open_line(client, 1) as line:
            with pytest.raises(ReadOnlyError):
                await line.call("GET", "rs:partitions")


async def test_who_may_not_wait_is_told() -> None:
    async with pair() as servers, Redis.from_url(servers.primary.url) as client_of_all:
        admin: Any = client_of_all  # redis-py leaves parts of it untyped
        await admin.execute_command("ACL", "SETUSER", "default", "-wait")
        async with connected(servers.primary.url) as client:
            assert isinstance(client, Redis)
            async with open_line(client, 1) as line:
                with pytest.raises(NoPermissionError, match="wait"):
                    await line.call("GET", "rs:partitions")


async def test_on_a_cluster_the_primary_of_the_slot_is_asked() -> None:
    """Only the first primary has a replica: its partitions are confirmed, and no others."""
    with processes(4) as started:
        *ports, follower = started
        form(ports)
        await asyncio.to_thread(follow, ports, follower, ports[0])
        made = settings_for(url_of(ports), partitions=PARTITIONS, replicas=1)
        async with open_state(made) as state:
            keys = state.store.keys
            creations = [state.store.create(builders.room(webinar_id=name)) for name in WEBINARS]
            created = await asyncio.gather(*creations, return_exceptions=True)
            confirmed = {
                name for name, result in zip(WEBINARS, created, strict=True) if not isinstance(result, Exception)
            }

            assert confirmed == {name for name in WEBINARS if slot(keys.tag(name)) < 16384 // 3}
            assert 0 < len(confirmed) < len(WEBINARS)
            assert {type(result) for result in created if isinstance(result, Exception)} == {StateUnavailable}


async def test_without_replicas_nothing_is_waited_for(valkey_url: str) -> None:
    async with open_state(settings_for(valkey_url)) as state:
        await state.store.create(builders.room())

        assert state.store.confirmed is state.store.pipeline
        assert await answer(state.store, builders.cta()) == "ok"
