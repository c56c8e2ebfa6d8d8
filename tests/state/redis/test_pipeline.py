"""Commands of one turn are sent together, and each caller gets the reply to its own command only."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from room_server.state.redis.connect import connect
from room_server.state.redis.embedded import find_binary
from room_server.state.redis.pipeline import (
    BATCH,
    IN_FLIGHT,
    NodePipeline,
    Script,
    open_node_pipeline,
    pairs,
    reraise_swallowed_cancellation,
)
from room_server.state.startup import State
from room_server.telemetry.histogram import Histogram
from tests.conftest import redis_server
from tests.proxy import Proxy, proxy_to
from tests.support import PATIENCE, sigterm

KEY = "rs:{p}:done:{}"
"""Keys of these tests; the fixture wants a time to live."""


@asynccontextmanager
async def pipeline_to(url: str) -> AsyncIterator[NodePipeline]:
    """A pipeline with a client of its own."""
    client = connect(url)
    assert isinstance(client, Redis)
    async with client, open_node_pipeline(client) as pipeline:
        yield pipeline


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """A proxy to each kind of server."""
    async with proxy_to(redis_url) as opened:
        yield opened


@pytest.fixture
async def pipeline(proxy: Proxy) -> AsyncIterator[NodePipeline]:
    """A pipeline through the proxy, all its tasks connected."""
    async with pipeline_to(proxy.url) as opened:
        await asyncio.gather(*(opened.call("PING") for _ in range(IN_FLIGHT * BATCH)))
        yield opened


async def test_each_caller_gets_its_own_reply(any_state: State) -> None:
    pipeline = any_state.store.pipeline
    written = await asyncio.gather(*(pipeline.call("SET", f"rs:{n}", n, "EX", 60, "GET") for n in range(BATCH + 100)))
    read = await asyncio.gather(*(pipeline.call("GET", f"rs:{n}") for n in range(BATCH + 100)))

    assert written == [None] * len(written)
    assert read == [str(n).encode() for n in range(BATCH + 100)]


async def test_several_commands_are_answered_in_their_order(any_state: State) -> None:
    commands = [("INCRBY", f"rs:{n}", n) for n in range(50)] + [("EXPIRE", f"rs:{n}", 60) for n in range(50)]

    assert await any_state.store.pipeline.call_all(commands) == [*range(50), *[1] * 50]


async def test_the_commands_of_one_turn_are_sent_together(pipeline: NodePipeline, proxy: Proxy) -> None:
    before = proxy.turns
    await asyncio.gather(*(pipeline.call("SET", f"rs:{n}", n, "EX", 60) for n in range(BATCH)))

    assert proxy.turns - before == 1


async def test_commands_that_come_while_batches_are_in_flight_share_the_next(
    pipeline: NodePipeline, proxy: Proxy
) -> None:
    """Callers that each send the next command after a reply need far fewer round trips than commands."""

    async def send_often(caller: int) -> None:
        for n in range(20):
            await pipeline.call("SET", f"rs:{caller}", n, "EX", 60)

    before = proxy.turns
    await asyncio.gather(*(send_often(caller) for caller in range(100)))

    assert proxy.turns - before <= 2000 / 20


async def test_more_commands_than_fit_are_all_answered(pipeline: NodePipeline) -> None:
    replies = await asyncio.gather(*(pipeline.call("ECHO", str(n)) for n in range(5 * BATCH + 1)))

    assert replies == [str(n).encode() for n in range(5 * BATCH + 1)]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("LPUSH", "rs:text", "x"), ResponseError),
        (("NOSUCHCOMMAND",), ResponseError),
        (("SET", "rs:text", object()), TypeError),
        (("SET", "rs:text", "\ud800"), UnicodeEncodeError),
        (("COMMAND", "INFO", "nosuchcommand"), TypeError),
    ],
    ids=["wrong type", "unknown", "cannot be packed", "no character", "the reply cannot be read"],
)
async def test_a_failing_command_fails_only_its_caller(
    pipeline: NodePipeline, command: tuple[object, ...], error: type[Exception]
) -> None:
    await pipeline.call("SET", "rs:text", "text", "EX", 60)
    before = [pipeline.call("ECHO", f"before {n}") for n in range(50)]
    after = [pipeline.call("ECHO", f"after {n}") for n in range(50)]
    replies = await asyncio.gather(*before, pipeline.call(*command), *after, return_exceptions=True)

    assert isinstance(replies.pop(50), error)
    assert replies == [f"{when} {n}".encode() for when in ("before", "after") for n in range(50)]
    assert [await pipeline.call("ECHO", str(n)) for n in range(10)] == [str(n).encode() for n in range(10)]


async def test_a_script_is_sent_whole_where_the_server_does_not_know_it(any_state: State) -> None:
    script = Script(b"return {KEYS[1], ARGV[1], ARGV[2]}", "0" * 40)

    assert await any_state.store.pipeline.run(script, ["rs:k"], [1, b"two"]) == [b"rs:k", b"1", b"two"]


def test_a_script_holds_what_it_includes() -> None:
    script = Script.read("pace")

    assert b"local function steady(clock)" in script.text
    assert b"-- include steady.lua\n" not in script.text
    assert script.sha == hashlib.sha1(script.text, usedforsecurity=False).hexdigest()


async def test_a_script_runs_by_its_hash(pipeline: NodePipeline) -> None:
    script = Script.read("load")
    await pipeline.call("SCRIPT LOAD", script.text)

    assert await pipeline.call("EVALSHA", script.sha, 4, "rs:a", "rs:b", "rs:c", "rs:d", "1") == [None] * 5


async def test_a_broken_connection_fails_the_commands_in_flight_and_no_later_one(
    pipeline: NodePipeline, proxy: Proxy
) -> None:
    proxy.lose_reply_to(b"lost")
    replies = await asyncio.gather(*(pipeline.call("ECHO", f"lost {n}") for n in range(3)), return_exceptions=True)

    assert [type(reply) for reply in replies] == [RedisConnectionError] * 3
    assert await pipeline.call("ECHO", "next") == b"next"


async def test_a_server_that_does_not_reply_is_a_timeout(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, pipeline_to(proxy.url) as pipeline:
        await pipeline.call("PING")
        proxy.freeze()
        with pytest.raises(RedisTimeoutError):
            await pipeline.call("PING")
        proxy.thaw()

        assert await pipeline.call("PING") is True


async def test_a_cancelled_command_is_never_sent(pipeline: NodePipeline, proxy: Proxy) -> None:
    """A command that waits for a frozen server must not be executed when the server goes on."""
    proxy.freeze()
    in_flight = [asyncio.create_task(pipeline.call("PING")) for _ in range(IN_FLIGHT)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(pipeline.call("SET", "rs:late", "1", "EX", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    proxy.thaw()
    await asyncio.gather(*in_flight)

    assert await pipeline.call("GET", "rs:late") is None


async def test_a_waiting_command_fails_when_the_pipeline_is_closed(proxy: Proxy) -> None:
    proxy.freeze()
    async with pipeline_to(proxy.url) as pipeline:
        waiting = [asyncio.create_task(pipeline.call("PING")) for _ in range(2 * IN_FLIGHT * BATCH)]
        await asyncio.sleep(0)
    replies = await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(reply) for reply in replies} == {RedisConnectionError}


@pytest.mark.parametrize("turns", range(12))
async def test_a_pipeline_closes_at_any_moment_of_a_batch(valkey_url: str, turns: int) -> None:
    """One of these moments is the one in which redis-py loses the cancellation."""
    async with asyncio.timeout(PATIENCE):
        async with pipeline_to(valkey_url) as pipeline:
            await pipeline.call("PING")
            reply = pipeline.submit(("PING",))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.gather(reply, return_exceptions=True)

    assert reply.done()


async def test_a_server_that_became_a_replica_is_left_for_the_new_primary_at_its_address() -> None:
    with redis_server(find_binary()) as old, redis_server(find_binary()) as new:
        async with proxy_to(old) as proxy, pipeline_to(proxy.url) as pipeline, Redis.from_url(old) as demoted:
            await pipeline.call("SET", "rs:k", "1")
            await demoted.replicaof("127.0.0.1", "1")
            proxy.target = new.removeprefix("unix://")

            with pytest.raises(ReadOnlyError):
                await pipeline.call("SET", "rs:k", "2")
            assert await pipeline.call("SET", "rs:k", "3") is True


class Stubborn(ConnectionPool):
    """Connections that cannot be closed in order, as over TLS when the server is frozen."""

    failure: BaseException

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and raise."""
        await super().disconnect(inuse_connections)
        if not inuse_connections:
            raise self.failure


@pytest.mark.parametrize(
    "failure", [RedisTimeoutError("closing took too long"), RuntimeError("broken"), asyncio.CancelledError()]
)
async def test_batches_go_on_when_connections_do_not_close(failure: BaseException) -> None:
    """Each task disconnects more than once: from a server that became a replica, and after an unreadable reply."""
    with redis_server(find_binary(), "--replicaof", "127.0.0.1", "1") as replica:
        pool = Stubborn(connection_class=UnixDomainSocketConnection, path=replica.removeprefix("unix://"))
        pool.failure = failure
        async with Redis.from_pool(pool) as client, open_node_pipeline(client) as pipeline, asyncio.timeout(PATIENCE):
            for _ in range(2 * IN_FLIGHT):
                with pytest.raises(ReadOnlyError):
                    await pipeline.call("SET", "rs:k", "1")
                with pytest.raises(TypeError):
                    await pipeline.call("COMMAND", "INFO", "nosuchcommand")

            assert await pipeline.call("PING") is True


async def test_a_cancellation_inside_of_the_client_is_a_connection_error() -> None:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()

    with pytest.raises(RedisConnectionError):
        await reraise_swallowed_cancellation(inner)


async def test_a_connection_that_breaks_as_it_is_used_is_a_connection_error(valkey_url: str) -> None:
    """The RuntimeError of uvloop, as redis-py passes it on; any other RuntimeError is a defect of ours."""
    _, writer = await asyncio.open_unix_connection(valkey_url.removeprefix("unix://"))
    writer.transport.abort()
    await asyncio.sleep(0)  # the turn of the loop in which it closes

    async def use() -> None:
        writer.writelines([b"PING"])

    async def blunder() -> None:
        raise RuntimeError("something else")

    with pytest.raises(RedisConnectionError, match="handler is closed"):
        await reraise_swallowed_cancellation(use())
    with pytest.raises(RuntimeError, match="something else"):
        await reraise_swallowed_cancellation(blunder())


class Broken(Histogram):
    """A histogram whose use raises an error that nothing expects."""

    def observe(self, seconds: float) -> None:
        """Fail."""
        raise RuntimeError(f"broken after {seconds}")


async def test_a_task_that_fails_ends_the_process(valkey_url: str) -> None:
    with sigterm() as asked:
        async with pipeline_to(valkey_url) as pipeline, asyncio.timeout(PATIENCE):
            pipeline.round_trips = Broken()
            pipeline.submit(("PING",))
            await asked.wait()


def test_pairs_are_read_from_a_flat_list_a_map_or_rows() -> None:
    wanted = [(b"a", b"1"), (b"b", b"2")]

    assert list(pairs([b"a", b"1", b"b", b"2"])) == wanted
    assert list(pairs({b"a": b"1", b"b": b"2"})) == wanted
    assert list(pairs([[b"a", b"1"], [b"b", b"2"]])) == wanted
    assert list(pairs([])) == list(pairs({})) == []
