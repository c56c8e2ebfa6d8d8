"""Warnings about a Redis that could lose acknowledged changes; none about what it does not show."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio.cluster import RedisCluster

from room_server.config import Settings
from room_server.state.keys import PARTITIONS, slot
from room_server.state.redis.embedded import find_binary
from room_server.state.startup import State, log_server_problems, open_state, server_problems
from tests.cluster import form, processes, url_of
from tests.conftest import redis_server
from tests.outage import own_redis
from tests.support import settings_for
from tests.terminal import running

NO_FILE = "Redis keeps no append-only file, so answered changes are lost when it restarts; set appendonly yes"


@asynccontextmanager
async def opened(*arguments: str) -> AsyncIterator[State]:
    """A state on a server with these settings."""
    with redis_server(find_binary(), *arguments) as url:
        async with open_state(settings_for(url)) as state:
            yield state


async def warnings_of(state: State, caplog: pytest.LogCaptureFixture, replicas: int = 0) -> list[str]:
    caplog.clear()
    await log_server_problems(state, replicas)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_good_server_causes_no_warning(state: State, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings_of(state, caplog) == []


async def test_the_embedded_server_causes_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_state(Settings(data_dir=str(tmp_path))) as state:
        assert await warnings_of(state, caplog) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--appendonly", "no"], NO_FILE),
        (["--appendfsync", "everysec"], "Redis writes to its disk once a second (appendfsync everysec), so"),
        (["--appendfsync", "no"], "Redis leaves it to its system when to write to the disk (appendfsync no), so"),
        (["--maxmemory-policy", "allkeys-lru"], "Redis throws records away when memory is full"),
        (["--maxmemory-policy", "volatile-ttl"], "(maxmemory-policy volatile-ttl); set maxmemory-policy noeviction"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
async def test_each_problem_is_a_warning(arguments: list[str], expected: str, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(*arguments) as state:
        (warning,) = await warnings_of(state, caplog)

    assert expected in warning


async def test_several_problems_are_several_warnings(caplog: pytest.LogCaptureFixture) -> None:
    async with opened("--appendonly", "no", "--maxmemory-policy", "allkeys-random") as state:
        warnings = await warnings_of(state, caplog, replicas=2)

    assert [warning.split()[1] for warning in warnings] == ["keeps", "throws", "has"]
    assert "has 0 connected replicas and ROOM_SERVER_REPLICAS asks for 2" in warnings[2]


async def test_where_config_is_forbidden_info_is_checked(caplog: pytest.LogCaptureFixture) -> None:
    forbidden = ("--rename-command", "CONFIG", "")
    async with opened(*forbidden, "--maxmemory-policy", "allkeys-lfu", "--appendfsync", "everysec") as state:
        (warning,) = await warnings_of(state, caplog)
    async with opened(*forbidden, "--appendonly", "no") as state:
        assert await warnings_of(state, caplog) == [NO_FILE]

    assert "maxmemory-policy allkeys-lfu" in warning


async def test_without_the_right_to_ask_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(find_binary(), "--appendonly", "no") as url:
        async with open_state(settings_for(url)) as state:
            with BlockingRedis.from_url(url) as admin:
                admin.acl_setuser("default", enabled=True, nopass=True, commands=["-config", "-info"])
            assert await warnings_of(state, caplog, replicas=1) == []


async def test_each_primary_of_a_cluster_is_checked(cluster_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The Cluster of these tests has no append-only file."""
    async with open_state(settings_for(cluster_url)) as state:
        warnings = await warnings_of(state, caplog)

    places = cluster_url.removeprefix("redis+cluster://").split(",")
    assert sorted(warnings) == sorted(NO_FILE.replace("Redis", f"Redis at {place}") for place in places)


async def test_a_server_that_does_not_answer_stops_no_start(caplog: pytest.LogCaptureFixture) -> None:
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        server.freeze()
        (warning,) = await warnings_of(state, caplog)
        server.thaw()

    assert warning.startswith("Redis could not be looked at: ")


@pytest.mark.parametrize(
    ("enabled", "setting", "problems"), [(1, "yes", 1), (1, "no", 0), (0, "yes", 0)], ids=["yes", "no", "no Cluster"]
)
def test_a_cluster_that_requires_full_coverage_is_a_problem(enabled: int, setting: str, problems: int) -> None:
    found = [*server_problems({"cluster_enabled": enabled}, {"cluster-require-full-coverage": setting}, 0)]

    assert len(found) == problems
    assert all(problem.startswith("refuses all webinars while any primary") for problem in found)


async def test_a_primary_that_does_not_answer_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    with processes(3, **{"cluster-require-full-coverage": "yes"}) as started:
        ports = await asyncio.to_thread(form, list(started))
        async with open_state(settings_for(url_of(ports))) as state:
            silent = (set(ports) - {holder(state)}).pop()
            started[silent].send_signal(signal.SIGSTOP)
            warnings = await warnings_of(state, caplog)
            started[silent].send_signal(signal.SIGCONT)

    assert sum("could not be looked at" in warning for warning in warnings) == 1
    assert sum("cluster-require-full-coverage no" in warning for warning in warnings) == 2


def holder(state: State) -> int:
    """The port of the primary that holds the number of partitions."""
    assert isinstance(state.client, RedisCluster)
    return int(state.client.nodes_manager.get_node_from_slot(slot(PARTITIONS)).port)


def test_a_file_that_cannot_be_written_is_a_problem() -> None:
    (problem,) = server_problems({"aof_enabled": 1, "aof_last_write_status": "err"}, {"appendfsync": "always"}, 0)

    assert problem.startswith("cannot write its append-only file")


def test_without_info_config_is_checked() -> None:
    found = [*server_problems({}, {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}, 0)]

    assert [problem.split()[0] for problem in found] == ["keeps", "throws"]


@pytest.mark.parametrize("words", [("web", "--port", "0"), ("worker",)], ids=" ".join)
async def test_a_process_logs_it_at_its_start(words: tuple[str, ...]) -> None:
    with redis_server(find_binary(), "--appendonly", "no") as url:
        async with running(*words, ROOM_SERVER_REDIS_URL=url, ROOM_SERVER_TOKEN_SECRET="x" * 32) as process:
            status, complaints = await process.end()

    assert (status, complaints.count(NO_FILE)) == (0, 1), complaints
