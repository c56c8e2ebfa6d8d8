"""The state is opened, or the error says what is wrong."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from room_server.config import Settings
from room_server.core.decision_types import Facts
from room_server.errors import ConfigurationError, RedisAway
from room_server.state import roster, webinars
from room_server.state.keys import PARTITIONS, SLOTS, slot
from room_server.state.redis.embedded import find_binary
from room_server.state.startup import open_state, wait_for_state
from tests.cluster import follow, form, processes, take_over, url_of
from tests.conftest import redis_server
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.outage import own_redis
from tests.proxy import proxy_to
from tests.state.acts import answer, prepare
from tests.support import PATIENCE, settings_for, wait_until


async def stored_after_opening(url: str, partitions: int | None) -> tuple[int, bytes | None]:
    """The number of partitions of the state, and the stored one."""
    async with open_state(settings_for(url, partitions=partitions)) as state:
        return len(state.store.keys.tags), await state.store.call("GET", PARTITIONS)


async def test_the_first_start_stores_the_number_of_partitions(any_url: str) -> None:
    assert await stored_after_opening(any_url, 4) == (4, b"4")


async def test_every_later_start_reads_it(any_url: str) -> None:
    await stored_after_opening(any_url, 4)

    assert await stored_after_opening(any_url, None) == (4, b"4")
    assert await stored_after_opening(any_url, 4) == (4, b"4")


async def test_by_default_there_is_one_partition(any_url: str) -> None:
    assert await stored_after_opening(any_url, None) == (1, b"1")


async def test_another_number_is_an_error(any_url: str) -> None:
    await stored_after_opening(any_url, 4)
    with pytest.raises(ConfigurationError, match="PARTITIONS is 8, but this Redis was first started with 4"):
        await stored_after_opening(any_url, 8)

    assert await stored_after_opening(any_url, None) == (4, b"4")


async def test_of_simultaneous_first_starts_one_decides(redis_url: str) -> None:
    results = await asyncio.gather(
        *(stored_after_opening(redis_url, number) for number in range(1, 6)), return_exceptions=True
    )
    opened = [result for result in results if not isinstance(result, BaseException)]

    assert len(opened) == 1
    assert sum(isinstance(result, ConfigurationError) for result in results) == 4


@pytest.mark.parametrize("protocol", [2, 3])
async def test_either_protocol_will_do(any_url: str, protocol: int) -> None:
    """RESP2 gives maps flat and scores as text."""
    async with open_state(settings_for(f"{any_url}?protocol={protocol}")) as state:
        await prepare(state.store, "finished")
        await roster.import_roster(state.store, WEBINAR, [builders.entry()], replace=False)
        listed = [room.webinar_id for room in await webinars.latest(state.store)]
        leads = [entry async for entry in roster.entries(state.store, WEBINAR)]

        assert (listed, leads) == ([WEBINAR], [builders.entry()])
        assert await answer(state.store, builders.evaluate()) == "ok"
        assert await webinars.evaluation_progress(state.store, WEBINAR) == (1, 1)
        assert sum((await webinars.delivery_counts(state.store)).values()) > 0


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "redis://user:secret@127.0.0.1:1?db=0", "unix:///nowhere/socket"]
)
async def test_the_error_for_an_unavailable_redis_hides_its_password(url: str) -> None:
    with pytest.raises(RedisAway, match="REDIS_URL: no answer from") as refused:
        await stored_after_opening(url, None)

    assert "secret" not in str(refused.value)


async def test_a_redis_that_does_not_answer_is_an_error(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy:
        proxy.freeze()
        with pytest.raises(RedisAway, match="no answer from"):
            await stored_after_opening(proxy.url, None)


class Answering:
    """A server that gives every command the same reply; without a reply it closes the connection."""

    def __init__(self, answer: bytes = b"") -> None:
        self.tries = 0
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.tries += 1
        while self._answer and await reader.read(65536):
            writer.write(self._answer * 8)  # at least as many as were asked for
        writer.close()


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that gives this reply."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        server = await asyncio.start_unix_server(Answering(answer), f"{folder}/s")
        try:
            yield f"unix://{folder}/s"
        finally:
            server.close()


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "READONLY You can't write against a read only replica.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "ERR max number of clients reached",
    ],
)
async def test_a_temporary_error_of_a_server_is_waited_for(answer: str) -> None:
    async with answering(f"-{answer}\r\n".encode()) as url:
        with pytest.raises(RedisAway, match="REDIS_URL: no answer from"):
            await stored_after_opening(url, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"-NOAUTH Authentication required.\r\n",
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        b"-NOPERM this user has no permissions to run the 'set' command\r\n",
        b"-ERR DB index is out of range\r\n",
        b"-ERR unknown command 'HELLO'\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_final_error_is_raised_at_once(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(ConfigurationError, match=r"REDIS_URL: .* does not take us: ") as refused:
            async with asyncio.timeout(PATIENCE), wait_for_state(settings_for(url)):
                pass

    assert not isinstance(refused.value, RedisAway)
    assert len(str(refused.value).splitlines()) == 1


async def test_a_wrong_password_of_a_real_server_is_an_error_at_once_and_tried_once() -> None:
    async with own_redis() as server:
        async with Redis.from_url(server.url) as client:
            await client.config_set("requirepass", "right")
        for url in (server.url, server.url.replace("unix://", "unix://:wrong@")):
            with pytest.raises(ConfigurationError, match="does not take us") as refused:
                async with asyncio.timeout(PATIENCE), wait_for_state(settings_for(url)):
                    pass
            assert "wrong" not in str(refused.value)
        async with wait_for_state(settings_for(server.url.replace("unix://", "unix://:right@"))):
            pass


async def loaded(url: str) -> Facts:
    """The facts that a waiting process reads when the state is open."""
    async with wait_for_state(settings_for(url)) as state:
        return await state.store.load(WEBINAR)


async def test_a_process_waits_while_redis_is_unavailable_and_logs_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with own_redis() as server:
        await server.kill()
        hangs_up = Answering()
        instead = await asyncio.start_unix_server(hangs_up, server.url.removeprefix("unix://"))
        waiting = asyncio.create_task(loaded(server.url))
        await wait_until(lambda: hangs_up.tries >= 4, "it has tried again and again")
        instead.close()
        Path(server.url.removeprefix("unix://")).unlink(missing_ok=True)
        assert not waiting.done()
        await server.start()
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).room is None

    first, last = caplog.messages
    assert first.startswith("this process waits for Redis before it starts: ROOM_SERVER_REDIS_URL: no answer from")
    assert last == "Redis is there: this process starts"


async def test_a_redis_that_is_frozen_is_waited_for(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with proxy_to(valkey_url) as proxy:
        proxy.freeze()
        waiting = asyncio.create_task(loaded(proxy.url))
        await wait_until(lambda: "this process waits" in caplog.text, "it waits")
        proxy.thaw()
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).room is None


async def test_a_server_without_sharded_publishing_is_too_old() -> None:
    """Redis 6 lacks SPUBLISH, so a commit would fail after its writes."""
    with redis_server(find_binary(), "--rename-command", "SPUBLISH", "") as url:
        with pytest.raises(ConfigurationError, match="Redis >= 7 or Valkey >= 8"):
            await stored_after_opening(url, None)
        with BlockingRedis.from_url(url) as client:
            assert client.keys() == []


async def test_the_embedded_server_is_opened_without_an_address(tmp_path: Path) -> None:
    async with open_state(Settings(data_dir=str(tmp_path))) as state:
        await prepare(state.store)
        stored = await state.store.load(WEBINAR)
    async with open_state(Settings(data_dir=str(tmp_path))) as state:
        assert await state.store.load(WEBINAR) == stored


async def test_a_process_that_starts_in_the_middle_of_a_fail_over_waits_for_its_end() -> None:
    with processes(4) as started:
        *ports, follower = started
        await asyncio.to_thread(form, ports)
        made = settings_for(url_of(ports), partitions=8)
        async with open_state(made):
            pass
        asked_first = ports[slot(PARTITIONS) * 3 // SLOTS]
        await asyncio.to_thread(follow, ports, follower, asked_first)
        started[asked_first].kill()
        with pytest.raises(RedisAway):
            async with open_state(made):
                pass
        starting = asyncio.create_task(opened_by_waiting(made))
        await asyncio.to_thread(take_over, follower)

        assert await asyncio.wait_for(starting, PATIENCE) == 8


async def opened_by_waiting(made: Settings) -> int:
    """How many partitions the state has."""
    async with wait_for_state(made) as state:
        return len(state.store.keys.tags)
