"""Opening the state: what is needed is there, or the operator is told what is not."""

import asyncio
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis

from room_server.config import Settings
from room_server.errors import ConfigurationError
from room_server.state import catalogue, roster
from room_server.state.embedded import find_binary
from room_server.state.keys import PARTITIONS
from room_server.state.opening import open_state
from tests.conftest import redis_server, settings_for
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.proxy import proxy_to
from tests.state.acts import answer, prepare


async def stored_after_opening(url: str, partitions: int | None) -> tuple[int, bytes | None]:
    """How many partitions the state has, and what the server has kept of it."""
    async with open_state(settings_for(url, partitions=partitions)) as state:
        return len(state.store.keys.tags), await state.store.ask("GET", PARTITIONS)


async def test_the_first_start_stores_the_number_of_partitions(any_url: str) -> None:
    assert await stored_after_opening(any_url, 4) == (4, b"4")


async def test_every_later_start_reads_it(any_url: str) -> None:
    await stored_after_opening(any_url, 4)

    assert await stored_after_opening(any_url, None) == (4, b"4")
    assert await stored_after_opening(any_url, 4) == (4, b"4")


async def test_without_a_word_there_is_one_partition(any_url: str) -> None:
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
        await roster.adopt(state.store, WEBINAR, [builders.entry()], replace=False)
        listed = [room.webinar_id for room in await catalogue.latest(state.store)]
        leads = [entry async for entry in roster.entries(state.store, WEBINAR)]

        assert (listed, leads) == ([WEBINAR], [builders.entry()])
        assert await answer(state.store, builders.evaluate()) == "ok"
        assert await catalogue.classified(state.store, WEBINAR) == (1, 1)
        assert sum((await catalogue.fates(state.store)).values()) > 0


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "redis://user:secret@127.0.0.1:1?db=0", "unix:///nowhere/socket"]
)
async def test_a_redis_that_is_not_there_is_said_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL: no answer from") as refused:
        await stored_after_opening(url, None)

    assert "secret" not in str(refused.value)


async def test_a_redis_that_says_nothing_is_said(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy:
        proxy.freeze()
        with pytest.raises(ConfigurationError, match="no answer from"):
            await stored_after_opening(proxy.url, None)


async def test_a_server_without_sharded_publishing_is_too_old() -> None:
    """Redis 6 lacks SPUBLISH; a commit would break off in the middle."""
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
