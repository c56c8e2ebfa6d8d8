"""The processes of a data folder, as the kernel shows them, and the ones that tests start beside it."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from room_server.config import Settings
from room_server.state.startup import State, open_state
from tests.support import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
SERVERS = {"valkey-server", "redis-server", "redis-check-rdb"}


def servers(data: Path) -> list[int]:
    """Servers that work in the folder: one changes into it when it starts."""
    return [pid for pid in _pids() if _link(pid, "cwd") == str(data) and Path(_link(pid, "exe")).name in SERVERS]


def supervisors(data: Path) -> list[int]:
    """Supervisors of the folder."""
    return [
        pid for pid in _pids() if b"room_server.state.redis.supervisor\0" + os.fsencode(data) + b"\0" in _words(pid)
    ]


def kill(pids: list[int]) -> None:
    """`kill -9`."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def nothing_is_left(data: Path) -> None:
    """Return when nobody keeps or serves the folder any more."""
    await wait_until(lambda: not servers(data) and not supervisors(data), "the server ended with its last user")


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _link(pid: int, name: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/{name}").readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Beside:
    """A process that a test runs beside itself; what it prints is kept."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def listen(self) -> None:
        """Keep each line, until there are no more."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode().strip())

    async def has_said(self, count: int) -> None:
        """Return once it has printed so many lines, or has ended."""
        await wait_until(
            lambda: len(self.said) >= count or self.process.returncode is not None, f"{count} lines", PATIENCE
        )

    def kill(self) -> None:
        """`kill -9`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


@asynccontextmanager
async def beside(module: str, *arguments: object, **environment: str) -> AsyncIterator[Beside]:
    """`python -m module arguments…` for as long as the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, arguments)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    one = Beside(process)
    listening = asyncio.create_task(one.listen())
    try:
        yield one
    finally:
        one.kill()
        await process.wait()
        await listening


async def command(*arguments: object, **environment: str) -> tuple[int, str]:
    """Exit status and output of `room-server arguments…`, run to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "room_server", *map(str, arguments)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[State]:
    """An open state on the folder's own server."""
    async with open_state(Settings(data_dir=str(data))) as state:
        yield state
