"""What is asked together travels together, and each caller hears of its own command only."""

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
    FLIGHTS,
    NodePipeline,
    Script,
    flat,
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
async def line_to(url: str) -> AsyncIterator[NodePipeline]:
    """A line of its own, and its client."""
    client = connect(url)
    assert isinstance(client, Redis)
    async with client, open_node_pipeline(client) as line:
        yield line


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """A proxy to each kind of server."""
    async with proxy_to(redis_url) as opened:
        yield opened


@pytest.fixture
async def line(proxy: Proxy) -> AsyncIterator[NodePipeline]:
    """A line through the proxy, all its flights connected."""
    async with line_to(proxy.url) as opened:
        await asyncio.gather(*(opened.call("PING") for _ in range(FLIGHTS * BATCH)))
        yield opened


async def test_each_caller_gets_its_own_reply(any_state: State) -> None:
    pipeline = any_state.store.pipeline
    replies = await asyncio.gather(
        *(pipeline.call("SET", f"rs:{n}", n, "EX", 60, "GET") for n in range(300)),
        *(pipeline.call("GET", f"rs:{n}") for n in range(300)),
    )

    assert replies == [None] * 300 + [str(n).encode() for n in range(300)]


async def test_several_commands_are_answered_in_their_order(any_state: State) -> None:
    commands = [("INCRBY", f"rs:{n}", n) for n in range(50)] + [("EXPIRE", f"rs:{n}", 60) for n in range(50)]

    assert await any_state.store.pipeline.call_all(commands) == [*range(50), *[1] * 50]


async def test_the_commands_of_one_turn_travel_together(line: NodePipeline, proxy: Proxy) -> None:
    before = proxy.turns
    await asyncio.gather(*(line.call("SET", f"rs:{n}", n, "EX", 60) for n in range(BATCH)))

    assert proxy.turns - before == 1


async def test_commands_that_come_during_a_flight_share_the_next(line: NodePipeline, proxy: Proxy) -> None:
    """Callers that each ask as soon as they are answered need fewer round trips than commands by far."""

    async def ask_often(caller: int) -> None:
        for n in range(20):
            await line.call("SET", f"rs:{caller}", n, "EX", 60)

    before = proxy.turns
    await asyncio.gather(*(ask_often(caller) for caller in range(100)))

    assert proxy.turns - before <= 2000 / 20


async def test_more_commands_than_fit_are_all_answered(line: NodePipeline) -> None:
    replies = await asyncio.gather(*(line.call("ECHO", str(n)) for n in range(5 * BATCH + 1)))

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
    line: NodePipeline, command: tuple[object, ...], error: type[Exception]
) -> None:
    await line.call("SET", "rs:text", "text", "EX", 60)
    before = [line.call("ECHO", f"before {n}") for n in range(50)]
    after = [line.call("ECHO", f"after {n}") for n in range(50)]
    replies = await asyncio.gather(*before, line.call(*command), *after, return_exceptions=True)

    assert isinstance(replies.pop(50), error)
    assert replies == [f"{when} {n}".encode() for when in ("before", "after") for n in range(50)]
    assert [await line.call("ECHO", str(n)) for n in range(10)] == [str(n).encode() for n in range(10)]


async def test_a_script_is_sent_whole_where_the_server_does_not_know_it(any_state: State) -> None:
    script = Script(b"return {KEYS[1], ARGV[1], ARGV[2]}", "0" * 40)

    assert await any_state.store.pipeline.run(script, ["rs:k"], [1, b"two"]) == [b"rs:k", b"1", b"two"]


def test_a_script_holds_what_it_includes() -> None:
    script = Script.read("pace")

    assert b"local function steady(clock)" in script.text
    assert b"-- include steady.lua\n" not in script.text
    assert script.sha == hashlib.sha1(script.text, usedforsecurity=False).hexdigest()


async def test_a_script_runs_by_its_hash(line: NodePipeline) -> None:
    script = Script.read("load")
    await line.call("SCRIPT LOAD", script.text)

    assert await line.call("EVALSHA", script.sha, 3, "rs:a", "rs:b", "rs:c", "1") == [None, None, None, None]


async def test_a_cut_line_fails_those_in_flight_and_carries_the_next(line: NodePipeline, proxy: Proxy) -> None:
    proxy.lose_reply_to(b"lost")
    replies = await asyncio.gather(*(line.call("ECHO", f"lost {n}") for n in range(3)), return_exceptions=True)

    assert [type(reply) for reply in replies] == [RedisConnectionError] * 3
    assert await line.call("ECHO", "next") == b"next"


async def test_a_server_that_says_nothing_is_given_up(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, line_to(proxy.url) as line:
        await line.call("PING")
        proxy.freeze()
        with pytest.raises(RedisTimeoutError):
            await line.call("PING")
        proxy.thaw()

        assert await line.call("PING") is True


async def test_a_command_whose_caller_has_gone_is_never_sent(line: NodePipeline, proxy: Proxy) -> None:
    """What waits behind a server that does not answer must not come true when it does."""
    proxy.freeze()
    in_the_air = [asyncio.create_task(line.call("PING")) for _ in range(FLIGHTS)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(line.call("SET", "rs:late", "1", "EX", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    proxy.thaw()
    await asyncio.gather(*in_the_air)

    assert await line.call("GET", "rs:late") is None


async def test_whoever_waits_hears_that_the_line_is_closed(proxy: Proxy) -> None:
    proxy.freeze()
    async with line_to(proxy.url) as line:
        waiting = [asyncio.create_task(line.call("PING")) for _ in range(2 * FLIGHTS * BATCH)]
        await asyncio.sleep(0)
    replies = await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(reply) for reply in replies} == {RedisConnectionError}


@pytest.mark.parametrize("turns", range(12))
async def test_a_line_closes_whatever_its_flights_are_just_doing(valkey_url: str, turns: int) -> None:
    """One of these moments is the one in which redis-py loses the cancellation."""
    async with asyncio.timeout(PATIENCE):
        async with line_to(valkey_url) as line:
            await line.call("PING")
            asked = line.ask(("PING",))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.gather(asked, return_exceptions=True)

    assert asked.done()


async def test_a_server_that_became_a_replica_is_left_for_what_its_address_leads_to() -> None:
    with redis_server(find_binary()) as old, redis_server(find_binary()) as new:
        async with proxy_to(old) as proxy, line_to(proxy.url) as line, Redis.from_url(old) as demoted:
            await line.call("SET", "rs:k", "1")
            await demoted.replicaof("127.0.0.1", "1")
            proxy.target = new.removeprefix("unix://")

            with pytest.raises(ReadOnlyError):
                await line.call("SET", "rs:k", "2")
            assert await line.call("SET", "rs:k", "3") is True


class Stubborn(ConnectionPool):
    """Connections that cannot be closed in order, as over TLS when the other end says nothing any more."""

    failure: BaseException

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close those that are idle, and fail all the same."""
        await super().disconnect(inuse_connections)
        if not inuse_connections:
            raise self.failure


@pytest.mark.parametrize(
    "failure", [RedisTimeoutError("closing took too long"), RuntimeError("broken"), asyncio.CancelledError()]
)
async def test_a_flight_goes_on_whatever_befalls_its_connections(failure: BaseException) -> None:
    """Each flight hangs up more than once: on a server that became a replica, and after a reply it cannot read."""
    with redis_server(find_binary(), "--replicaof", "127.0.0.1", "1") as replica:
        pool = Stubborn(connection_class=UnixDomainSocketConnection, path=replica.removeprefix("unix://"))
        pool.failure = failure
        async with Redis.from_pool(pool) as client, open_node_pipeline(client) as line, asyncio.timeout(PATIENCE):
            for _ in range(2 * FLIGHTS):
                with pytest.raises(ReadOnlyError):
                    await line.call("SET", "rs:k", "1")
                with pytest.raises(TypeError):
                    await line.call("COMMAND", "INFO", "nosuchcommand")

            assert await line.call("PING") is True


async def test_what_is_cancelled_inside_of_the_client_is_a_failure_like_others() -> None:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()

    with pytest.raises(RedisConnectionError):
        await reraise_swallowed_cancellation(inner)


async def test_a_connection_that_breaks_as_it_is_used_is_lost_like_others(valkey_url: str) -> None:
    """The loop of the product says RuntimeError, which redis-py passes on; any other one is a mistake of ours."""
    _, writer = await asyncio.open_unix_connection(valkey_url.removeprefix("unix://"))
    writer.transport.abort()
    await asyncio.sleep(0)  # the loop's turn in which it ends

    async def use() -> None:
        writer.writelines([b"PING"])

    async def blunder() -> None:
        raise RuntimeError("something else")

    with pytest.raises(RedisConnectionError, match="handler is closed"):
        await reraise_swallowed_cancellation(use())
    with pytest.raises(RuntimeError, match="something else"):
        await reraise_swallowed_cancellation(blunder())


class Broken(Histogram):
    """What no flight reckons with."""

    def observe(self, seconds: float) -> None:
        """Fail."""
        raise RuntimeError(f"broken after {seconds}")


async def test_a_flight_that_ends_all_the_same_takes_the_process_along(valkey_url: str) -> None:
    with sigterm() as asked:
        async with line_to(valkey_url) as line, asyncio.timeout(PATIENCE):
            line.round_trips = Broken()
            line.ask(("PING",))
            await asked.wait()


def test_a_map_is_read_flat_or_as_a_map_or_row_by_row() -> None:
    wanted = [(b"a", b"1"), (b"b", b"2")]

    assert list(pairs([b"a", b"1", b"b", b"2"])) == wanted
    assert list(pairs({b"a": b"1", b"b": b"2"})) == wanted
    assert list(pairs([[b"a", b"1"], [b"b", b"2"]])) == wanted
    assert list(pairs([])) == list(pairs({})) == []


def test_rows_are_their_number_and_their_columns() -> None:
    assert flat([("a", 1), ("b", 2)]) == [2, "a", 1, "b", 2]
