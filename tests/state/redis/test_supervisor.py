"""The supervisor runs one server at a time, as long as anybody locks `users`."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis as BlockingRedis

from room_server.state.redis import supervisor
from room_server.state.redis.embedded import find_binary, is_supervised, start_supervisor
from tests.conftest import KINDS, answering
from tests.state.processes import ROOT, kill, nothing_is_left, servers, supervisors
from tests.support import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked up in /proc")


@pytest.fixture
async def data(tmp_path: Path) -> AsyncIterator[Path]:
    """An empty folder; after the test nothing runs on it."""
    yield tmp_path
    await nothing_is_left(tmp_path)


@contextlib.contextmanager
def user(data: Path) -> Iterator[None]:
    """Lock the folder as a user does."""
    with (data / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield


def supervised(data: Path, binary: str | None = None) -> str:
    """Start a supervisor; the server's address."""
    start_supervisor(data, data / "s", binary or find_binary())
    return f"unix://{data / 's'}"


def program(path: Path, text: str) -> str:
    """A shell script in the server's place."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_the_server_listens_on_its_socket_alone_and_syncs_before_it_answers(tmp_path: Path) -> None:
    words = supervisor.command(tmp_path, tmp_path / "s", "binary")
    settings = dict(zip(words[1::2], words[2::2], strict=True))

    assert words[0] == "binary"
    assert settings["--port"] == "0"
    assert settings["--unixsocket"] == str(tmp_path / "s")
    assert settings["--dir"] == str(tmp_path)
    assert (settings["--appendonly"], settings["--appendfsync"]) == ("yes", "always")
    assert settings["--maxmemory-policy"] == "noeviction"


async def test_the_server_runs_as_long_as_there_is_a_user(data: Path) -> None:
    with user(data):
        answering(supervised(data))
        with user(data):
            pass

        assert len(servers(data)) == len(supervisors(data)) == 1
    await nothing_is_left(data)
    assert not (data / "s").exists()
    assert not is_supervised(data)


async def test_a_supervisor_is_no_child_of_its_starter(data: Path) -> None:
    """The process that started it need not wait for it."""
    with user(data):
        answering(supervised(data))
        (pid,) = supervisors(data)

        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


async def test_a_second_supervisor_exits_at_once(data: Path) -> None:
    with user(data):
        answering(supervised(data))
        before = supervisors(data), servers(data)
        supervised(data)
        await asyncio.gather(*(asyncio.to_thread(supervised, data) for _ in range(5)))

        assert (supervisors(data), servers(data)) == before


async def test_without_a_user_a_supervisor_stops_its_server_again(data: Path) -> None:
    (data / "users").touch()
    supervised(data)
    await nothing_is_left(data)

    assert not is_supervised(data)


@pytest.mark.parametrize("kind", KINDS)
async def test_either_kind_of_server_runs_in_a_folder_of_any_name(tmp_path: Path, kind: str) -> None:
    binary = find_binary() if kind == "valkey" else str(shutil.which("redis-server"))
    data = tmp_path / "a b'c\"d #?%41 é"
    data.mkdir()
    with user(data):
        supervised(data, binary)
        url = f"unix://{quote(str(data / 's'))}"
        answering(url)
        with BlockingRedis.from_url(url) as client:
            assert client.config_get("appendfsync") == {"appendfsync": "always"}
            assert client.config_get("dir") == {"dir": str(data)}
    await nothing_is_left(data)


async def test_an_incomplete_write_at_the_end_of_the_file_costs_nothing_else(data: Path) -> None:
    """As after a power failure in the middle of a write that was not acknowledged."""
    with user(data):
        url = supervised(data)
        answering(url)
        with BlockingRedis.from_url(url) as client:
            client.set("acknowledged", "1")
    await nothing_is_left(data)
    (file,) = data.glob("appendonlydir/*.incr.aof")
    with file.open("ab") as broken:
        broken.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    with user(data):
        answering(supervised(data))
        with BlockingRedis.from_url(url) as client:
            assert client.keys() == [b"acknowledged"]


async def test_a_server_that_was_killed_is_started_again_with_all_it_had(data: Path) -> None:
    with user(data):
        url = supervised(data)
        answering(url)
        with BlockingRedis.from_url(url) as client:
            client.set("acknowledged", "1")
        before = servers(data)
        kill(before)
        await wait_until(lambda: set(servers(data)) - set(before), "there is another server")
        answering(url)
        with BlockingRedis.from_url(url) as client:
            assert client.get("acknowledged") == b"1"


async def test_a_server_ends_with_its_supervisor(data: Path) -> None:
    with user(data):
        answering(supervised(data))
        kill(supervisors(data))
        await nothing_is_left(data)

        assert not is_supervised(data)


async def test_two_servers_never_work_on_one_file(data: Path) -> None:
    """The supervisor was killed and its server does not end: the next one waits for it."""
    with user(data):
        url = supervised(data)
        answering(url)
        (old,) = servers(data)
        os.kill(old, signal.SIGSTOP)
        kill(supervisors(data))
        await wait_until(lambda: not is_supervised(data), "the supervisor is gone")
        supervised(data)
        most = await most_servers(data, seconds=0.5)
        os.kill(old, signal.SIGCONT)
        await wait_until(lambda: old not in servers(data), "the old server ended")
        answering(url)

        assert most == 1
        assert len(servers(data)) == 1


async def most_servers(data: Path, seconds: float) -> int:
    """The most servers that were seen at once."""
    seen, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = max(seen, len(servers(data)))
        await asyncio.sleep(0.02)
    return seen


async def test_a_server_that_fails_at_once_is_restarted_slowly(data: Path) -> None:
    binary = program(data / "broken", f'date +%s.%N >> "{data}/starts"; exit 1')
    with user(data):
        supervised(data, binary)
        await wait_until(lambda: len(starts(data)) >= 4, "it was started again and again")

    first, *_, last = starts(data)[:4]
    assert last - first >= 3 * supervisor.TICK


def starts(data: Path) -> list[float]:
    """When the server was started."""
    path = data / "starts"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


async def test_a_server_that_does_not_stop_is_killed(data: Path) -> None:
    """Here by hand: the supervisor gives it STOP_SECONDS."""
    binary = program(data / "stubborn", f"trap '' TERM; touch '{data}/ready'; while :; do sleep 0.1; done")
    with (data / "server").open("a+") as lock:
        server = supervisor.start(data, data / "s", binary, lock)
        await wait_until((data / "ready").exists, "it ignores SIGTERM by now")
        started = time.monotonic()
        await asyncio.to_thread(supervisor.stop, server, 0.5)

    assert server.returncode == -signal.SIGKILL
    assert 0.5 <= time.monotonic() - started < supervisor.STOP_SECONDS


async def test_an_error_is_in_the_servers_log(data: Path) -> None:
    with user(data):
        supervised(data, str(data / "no such program"))
        log = data / "server.log"

        assert await wait_until(lambda: "no such program" in log.read_text(), "the log says what was wrong")


def test_it_needs_the_standard_library_alone() -> None:
    """It must start fast, and with any set of installed packages."""
    script = ROOT / "room_server" / "state" / "redis" / "supervisor.py"
    code = f"import runpy, sys; runpy.run_path({str(script)!r}); print(*sorted(set(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert {name.partition(".")[0] for name in done.stdout.split()} - {"__main__"} <= sys.stdlib_module_names
