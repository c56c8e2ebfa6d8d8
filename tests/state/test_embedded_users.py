"""Processes that share the embedded server, end, and are killed."""

import asyncio
import fcntl
import os
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from room_server.errors import ConfigurationError
from room_server.state.redis.embedded import is_supervised, serve
from room_server.state.startup import State
from tests.core.builders import WEBINAR
from tests.state.acts import prepare
from tests.state.processes import beside, command, nothing_is_left, opened, servers, supervisors
from tests.support import eventually, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked up in /proc")


async def test_a_second_process_finds_it(data: Path) -> None:
    async with opened(data) as state:
        await prepare(state.store)
        status, output = await command("webinar", "list", "--data-dir", data)

        assert (status, WEBINAR in output) == (0, True)
        assert len(servers(data)) == 1


async def test_it_outlives_its_starter_as_long_as_another_uses_it(data: Path) -> None:
    async with beside("tests.state.writer", data, "first") as first:
        await first.has_said(1)
        async with beside("tests.state.writer", data, "second") as second:
            await second.has_said(1)
            before = servers(data)
            first.kill()
            await first.process.wait()
            await second.has_said(len(second.said) + 50)

            assert servers(data) == before != []


@pytest.mark.parametrize("end", ["leaves", "is killed"])
async def test_it_ends_with_its_last_user(data: Path, end: str) -> None:
    async with beside("tests.state.writer", data, "only") as user:
        await user.has_said(1)
        assert len(servers(data)) == 1
        if end == "leaves":
            assert user.process.stdin is not None
            user.process.stdin.close()
        else:
            user.kill()
        await user.process.wait()
        await nothing_is_left(data)

    assert not is_supervised(data)


async def test_of_many_starters_at_once_all_share_one_server(data: Path) -> None:
    async def use() -> list[int]:
        async with opened(data) as state:
            await state.store.call("PING")
            return servers(data)

    seen = await asyncio.gather(*(use() for _ in range(10)), command("webinar", "list", "--data-dir", data))

    assert {len(found) for found in seen[:-1] if isinstance(found, list)} == {1}
    assert seen[-1] == (0, "no webinars yet; make one with: room-server webinar create --help\n")


async def test_a_starter_waits_while_a_supervisor_stops_the_server(data: Path) -> None:
    data.mkdir(parents=True)
    with (data / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="does not stop"):
            async with serve(data, seconds=0.2):
                pass
        asyncio.get_running_loop().call_later(0.2, fcntl.flock, users, fcntl.LOCK_UN)
        async with serve(data) as url, Redis.from_url(url) as client:
            assert await client.ping() is True


async def test_a_server_that_does_not_start_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    (tmp_path / "keeper").mkdir()
    with pytest.raises(ConfigurationError, match=r"does not answer .* its log is .*server\.log"):
        async with serve(tmp_path, seconds=0.2):
            pass


async def test_its_data_survives_quick_restarts(data: Path) -> None:
    for _ in range(5):
        async with opened(data) as state:
            await state.store.call("INCR", "rs:{x}:done:counter")
            await state.store.call("EXPIRE", "rs:{x}:done:counter", 60)
            counted = await state.store.call("GET", "rs:{x}:done:counter")

    assert counted == b"5"


async def test_ctrl_c_does_not_reach_the_server(data: Path) -> None:
    async with beside("tests.state.writer", data, "user") as user, opened(data) as state:
        await user.has_said(1)
        before = servers(data) + supervisors(data)
        sessions = {os.getsid(pid) for pid in before}
        for pid in supervisors(data):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)

        assert await state.store.call("PING") is True
        assert servers(data) + supervisors(data) == before
        assert sessions & {os.getsid(0), os.getsid(user.process.pid)} == set()


async def test_a_supervisor_that_was_killed_is_replaced_and_so_is_its_server(data: Path) -> None:
    async with opened(data) as state:
        await prepare(state.store)
        before = supervisors(data)
        os.kill(before[0], signal.SIGKILL)
        await wait_until(lambda: set(supervisors(data)) - set(before), "there is another supervisor")

        assert await eventually(lambda: loads(state), "the server answers again")
        assert len(servers(data)) == 1


async def loads(state: State) -> bool:
    """Whether what was stored can be read."""
    try:
        return (await state.store.load(WEBINAR)).room is not None
    except Exception:
        return False
