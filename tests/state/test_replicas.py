"""REPLICAS: what was answered is on so many replicas, whatever happens to the primary; without them nothing is."""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ReadOnlyError

from room_server.core.room import RosterEntry, Status
from room_server.errors import Conflict, StateUnavailable
from room_server.jobs.erasure import Forgotten, forget
from room_server.state import idempotency, roster
from room_server.state.idempotency import StoredAnswer
from room_server.state.keys import slot
from room_server.state.redis import embedded
from room_server.state.redis.confirmation import CONFIRM_MS, NotReplicated
from room_server.state.redis.connect import connected
from room_server.state.redis.pipeline import open_node_pipeline
from room_server.state.redis.retry import DEADLINE
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.cluster import follow, form, processes, url_of
from tests.conftest import CLUSTER_PARTITIONS, KINDS
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.outage import OwnRedis
from tests.replicas import Pair, healed, pair
from tests.state.acts import answer, wish
from tests.state.processes import command
from tests.support import renew, room, serving, settings_for, transactions

MANY = 300
"""Answered creations before the primary is killed."""
WEBINARS = [f"w-{number}" for number in range(24)]


@pytest.fixture(params=KINDS)
def program(request: pytest.FixtureRequest) -> str:
    """Each kind of server: they differ in what WAIT says where nothing was written."""
    return embedded.find_binary() if request.param == "valkey" else str(shutil.which("redis-server"))


@asynccontextmanager
async def process_on(server: OwnRedis) -> AsyncIterator[Store]:
    """The store of a process that has asked nothing yet, so that its lines have written nothing either."""
    async with open_state(settings_for(server.url, replicas=1)) as state:
        yield state.store


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
            await transactions(store).create(room(f"{prefix}-{number}"))
            confirmed.add(f"{prefix}-{number}")
            if len(confirmed) == MANY:
                servers.link.torn = True
                await servers.primary.kill()

    ended = await asyncio.gather(*(create(f"w-{number}") for number in range(50)), return_exceptions=True)
    assert {type(result) for result in ended} == {StateUnavailable}
    return confirmed


async def test_what_was_answered_survives_the_primary(program: str) -> None:
    """What was on its way to the replica is lost, and was not answered."""
    async with pair(program) as servers:
        servers.link.delay = 0.02
        async with open_state(settings_for(servers.primary.url, replicas=1)) as state:
            confirmed = await create_until_it_is_gone(state.store, servers)
        async with promoted(servers.replica) as store:
            lost = {name for name in confirmed if (await store.load(name)).room is None}

    assert lost == set()
    assert len(confirmed) >= MANY


async def test_without_its_replica_a_hook_is_refused_in_time_and_a_reading_is_not() -> None:
    async with pair() as servers, serving(settings_for(servers.primary.url, replicas=1)) as site:
        await site.transactions.create(room())
        await site.hook(
            "core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True}
        )  # it knows the room now
        servers.replica.freeze()
        began = time.monotonic()
        refused, read = await asyncio.gather(site.status("start"), site.state())
        took = time.monotonic() - began
        repeated = await site.status("start")
        servers.replica.thaw()
        await healed(lambda: site.transactions.edit("w", lambda known: known))
        back = await site.status("start")

    assert (refused.status_code, refused.json()["code"]) == (503, "state_unavailable")
    assert (read.status_code, read.elapsed.total_seconds() < CONFIRM_MS / 1000) == (200, True)
    assert took < 2
    assert (repeated.status_code, repeated.json()["code"]) == (503, "state_unavailable"), "nor is it a repeat yet"
    assert (back.status_code, back.json()["duplicate"], back.json()["status"]) == (200, True, "live")


async def start_without_a_replica(store: Store) -> None:
    """A start that is done, and that no replica has."""
    assert await answer(store, builders.start()) == "state_unavailable"
    room = (await store.load(WEBINAR)).room
    assert room is not None
    assert room.status is Status.LIVE


async def test_nobody_is_answered_from_what_no_replica_has(program: str) -> None:
    """Neither a repeat nor a refusal, whoever asks, and wherever: each rests on a reading that wrote nothing."""
    async with pair(program) as servers, process_on(servers.primary) as one, process_on(servers.primary) as other:
        await one.create(builders.room("scheduled"))
        servers.replica.freeze()
        await start_without_a_replica(one)
        doubted = await asyncio.gather(
            *(answer(store, hook) for store in (one, other) for hook in (builders.start(), builders.complete()))
        )
        servers.replica.thaw()
        repeated = await healed(lambda: other.apply(wish(builders.start())))
        with pytest.raises(Conflict) as refused:
            await healed(lambda: other.apply(wish(builders.complete())))

    assert doubted == ["state_unavailable"] * 4
    assert (repeated.duplicate, refused.value.code) == (True, "webinar_not_finished")


async def test_what_was_answered_to_others_survives_the_primary(program: str) -> None:
    """A second process's click on what the first one's did, cut off from the replica: neither was promised anything."""
    async with pair(program) as servers:
        async with process_on(servers.primary) as one, process_on(servers.primary) as other:
            await one.create(builders.room("scheduled"))
            servers.link.torn = True
            await start_without_a_replica(one)
            answered = await answer(other, builders.start())
            await servers.primary.kill()
        async with promoted(servers.replica) as store:
            standing = (await store.load(WEBINAR)).room

    assert standing is not None
    assert (answered, standing.status) == ("state_unavailable", Status.SCHEDULED)


async def test_a_commit_that_finds_itself_done_is_not_answered_before_a_replica_has_it(program: str) -> None:
    """The same commit again, on a connection of its own, as after a reply that was lost."""
    async with pair(program) as servers, process_on(servers.primary) as one, process_on(servers.primary) as other:
        servers.replica.freeze()
        key = one.keys.done(WEBINAR, "id")
        replies = [
            await asyncio.gather(store.replicated.call("SET", key, "1", "EX", 60, "NX"), return_exceptions=True)
            for store in (one, other)
        ]

        assert [type(reply) for (reply,) in replies] == [NotReplicated, NotReplicated]


async def test_an_answer_is_remembered_where_a_replica_has_it() -> None:
    asked = idempotency.digest("core_webinar_set_status", b"{}")
    given = StoredAnswer(asked, b"answer")
    async with pair() as servers, process_on(servers.primary) as one, process_on(servers.primary) as other:
        servers.replica.freeze()
        assert await idempotency.recall(other, "id", asked) is None, "what is new waits for no replica"
        with pytest.raises(StateUnavailable):
            await idempotency.remember(one, "id", given)
        with pytest.raises(StateUnavailable):
            await idempotency.recall(other, "id", asked)
        servers.replica.thaw()

        assert await healed(lambda: idempotency.recall(other, "id", asked)) == b"answer"


async def test_a_person_is_forgotten_when_replicas_have_forgotten_it() -> None:
    """Also by a second try, which finds nothing left."""
    async with pair() as servers, open_state(settings_for(servers.primary.url, replicas=1)) as state:
        await transactions(state.store).create(builders.room("scheduled"))
        await roster.import_roster(state.store, WEBINAR, [RosterEntry(lead_id=1)], replace=False)
        servers.replica.freeze()
        with pytest.raises(StateUnavailable):
            await forget(state.store, 1)
        async with open_state(settings_for(servers.primary.url, replicas=1)) as again:
            with pytest.raises(StateUnavailable):
                await forget(again.store, 1)
        servers.replica.thaw()

        assert await healed(lambda: forget(state.store, 1)) == Forgotten()


async def test_messages_are_discarded_when_replicas_have_it() -> None:
    async with pair() as servers, process_on(servers.primary) as store:
        await transactions(store).create(builders.room("finished"))
        at = {"ROOM_SERVER_REDIS_URL": servers.primary.url, "ROOM_SERVER_REPLICAS": "1"}
        servers.replica.freeze()
        status, said = await command("outbox", "discard", WEBINAR, **at)
        servers.replica.thaw()
        await healed(lambda: transactions(store).edit(WEBINAR, lambda known: known))

        assert (status != 0, "messages changed" in said) == (True, False)
        assert await command("outbox", "discard", WEBINAR, **at) == (0, "0 messages changed, 0 left as they are\n")


async def test_a_new_epoch_waits_for_no_replica() -> None:
    """A primary that was promoted has none yet, and sockets must learn meanwhile that it lost what they show."""
    async with pair() as servers, process_on(servers.primary) as store:
        await transactions(store).create(room(epoch="old"))
        servers.replica.freeze()

        assert (await renew(store, "w")).epoch != "old"
        assert (await store.load("w")).room == await renew(store, "w", ("old", 1)), "somebody else was first"


async def test_a_replica_that_is_late_is_waited_for() -> None:
    async with pair() as servers, open_state(settings_for(servers.primary.url, replicas=1)) as state:
        servers.replica.freeze()
        creation = asyncio.create_task(transactions(state.store).create(room()))
        asyncio.get_running_loop().call_later(DEADLINE / 2, servers.replica.thaw)

        assert (await creation).status is Status.SCHEDULED
        assert (await state.store.load("w")).room == await creation


async def test_it_is_told_when_replicas_are_missing_and_when_they_are_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "room_server.state.redis.confirmation")
    async with pair() as servers, open_state(settings_for(servers.primary.url, replicas=1)) as state:
        servers.replica.freeze()
        with pytest.raises(StateUnavailable):
            await transactions(state.store).create(room())
        servers.replica.thaw()
        await transactions(state.store).create(room("other"))

    assert caplog.messages == [
        "0 replicas have what was written, 1 are asked for",
        "1 replicas have what was written, 1 are asked for",
    ]


async def test_a_flight_is_confirmed_as_a_whole() -> None:
    async with pair() as servers, connected(servers.primary.url) as client:
        assert isinstance(client, Redis)
        async with open_node_pipeline(client, 2) as line:
            replies = await asyncio.gather(line.call("PING"), line.call("NONSENSE"), return_exceptions=True)

    assert [type(reply).__name__ for reply in replies] == ["NotReplicated", "ResponseError"]
    assert isinstance(replies[0], NotReplicated)
    assert str(replies[0]) == "1 of 2 replicas have it"


async def test_a_server_that_became_a_replica_confirms_nothing() -> None:
    async with pair() as servers, connected(servers.replica.url) as client:
        assert isinstance(client, Redis)
        async with open_node_pipeline(client, 1) as line:
            with pytest.raises(ReadOnlyError):
                await line.call("GET", "rs:partitions")


async def test_who_may_not_wait_is_told() -> None:
    async with pair() as servers, Redis.from_url(servers.primary.url) as client_of_all:
        admin: Any = client_of_all  # redis-py leaves parts of it untyped
        await admin.execute_command("ACL", "SETUSER", "default", "-wait")
        async with connected(servers.primary.url) as client:
            assert isinstance(client, Redis)
            async with open_node_pipeline(client, 1) as line:
                with pytest.raises(NoPermissionError, match="wait"):
                    await line.call("GET", "rs:partitions")


async def test_on_a_cluster_the_primary_of_the_slot_is_asked() -> None:
    """Only the first primary has a replica: its partitions are confirmed, and no others."""
    with processes(4) as started:
        *ports, follower = started
        form(ports)
        await asyncio.to_thread(follow, ports, follower, ports[0])
        made = settings_for(url_of(ports), partitions=CLUSTER_PARTITIONS, replicas=1)
        async with open_state(made) as state:
            keys = state.store.keys
            creations = [transactions(state.store).create(builders.room(webinar_id=name)) for name in WEBINARS]
            created = await asyncio.gather(*creations, return_exceptions=True)
            confirmed = {
                name for name, result in zip(WEBINARS, created, strict=True) if not isinstance(result, Exception)
            }

            assert confirmed == {name for name in WEBINARS if slot(keys.tag(name)) < 16384 // 3}
            assert 0 < len(confirmed) < len(WEBINARS)
            assert {type(result) for result in created if isinstance(result, Exception)} == {StateUnavailable}


async def test_without_replicas_nothing_is_waited_for(valkey_url: str) -> None:
    async with open_state(settings_for(valkey_url)) as state:
        await transactions(state.store).create(builders.room())

        assert state.store.replicated is state.store.pipeline
        assert await answer(state.store, builders.cta()) == "ok"
