"""The command line as tests run it: in this process on a real server, or as a process of its own."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import IO

import click
from click.testing import CliRunner, Result

from room_server.cli import main
from tests.support import PATIENCE, TOKEN_SECRET

COMMAND = [sys.executable, "-W", "error", "-m", "room_server"]
WAITS = "this process waits for Redis before it starts: ROOM_SERVER_REDIS_URL: no answer from"
"""What a process that stays says while Redis is away."""


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    for name, command in sorted(group.commands.items()):
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = list(commands(main))


def clean(**more: str) -> dict[str, str]:
    """The environment of this process without what would set the product or a `make` inside it, and with `more`."""
    sets = re.compile(r"ROOM_SERVER_|PORT$|MAKE(FLAGS|LEVEL)$|MFLAGS$")
    kept = {name: value for name, value in os.environ.items() if not sets.match(name)}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


class Terminal:
    """`room-server …` in this process, on the server at `url`."""

    def __init__(self, url: str) -> None:
        self.environment: dict[str, str | None] = dict.fromkeys(os.environ.keys() - clean().keys())
        self.environment |= {"ROOM_SERVER_REDIS_URL": url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}

    def run(self, *words: str, **environment: str) -> Result:
        """The outcome, whatever it is; anything but an exit is our fault."""
        result = CliRunner().invoke(main, words, env={**self.environment, **environment})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def asks(self, typed: str, *words: str) -> Result:
        """The outcome of a command that asks, and is answered so."""
        return CliRunner().invoke(main, words, input=typed, env=self.environment)

    def says(self, *words: str, **environment: str) -> str:
        """What a command that succeeds prints."""
        result = self.run(*words, **environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *words: str, **environment: str) -> str:
        """What the product answers when it will not."""
        return self._fails(1, words, environment)

    def misunderstands(self, *words: str, **environment: str) -> str:
        """What is said to wrong usage."""
        return self._fails(2, words, environment)

    def _fails(self, status: int, words: tuple[str, ...], environment: Mapping[str, str]) -> str:
        result = self.run(*words, **environment)
        assert result.exit_code == status, result.output
        assert result.stdout == ""
        return result.stderr


class Starting:
    """A process that is to serve, and does not say so yet."""

    def __init__(self, process: Process, complaints: IO[bytes]) -> None:
        self.process = process
        self._complaints = complaints
        """What it says on stderr: a file, since a pipe that nobody reads would make it wait."""

    def told(self) -> str:
        """What it has said on stderr until now."""
        size = os.fstat(self._complaints.fileno()).st_size
        return os.pread(self._complaints.fileno(), size, 0).decode()  # the process writes where this file stands

    async def end(self, sent: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status and what it said on stderr."""
        self.process.send_signal(sent)
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        """The same for one that ends by itself."""
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        return self.process.returncode or 0, self.told()

    async def ready(self) -> "Running":
        """What it is once it serves."""
        assert self.process.stdout is not None
        said: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith("ready "):
                    return Running(self.process, self._complaints, line.split()[1], said)
                said.append(line.rstrip("\n"))
            await self.process.communicate()
        raise AssertionError(f"it ended without being ready: {self.told()}")


class Running(Starting):
    """A process that serves."""

    def __init__(self, process: Process, complaints: IO[bytes], address: str, said: list[str]) -> None:
        super().__init__(process, complaints)
        self.address = address
        """`http://…`, as it said itself."""
        self.said = said
        """What it printed before."""


def starting(*words: str, **environment: str) -> contextlib.AbstractAsyncContextManager[Starting]:
    """A command that stays, from its first moment to the end of the block at the latest."""
    return launched(*COMMAND, *words, **environment)


@contextlib.asynccontextmanager
async def launched(*words: str, **environment: str) -> AsyncIterator[Starting]:
    """The same by any program that runs the product; the block ends all that it started."""
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *words, env=clean(**environment), stdout=PIPE, stderr=complaints, start_new_session=True
        )
        try:
            yield Starting(process, complaints)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


@contextlib.asynccontextmanager
async def running(*words: str, **environment: str) -> AsyncIterator[Running]:
    """The same, from its `ready` line."""
    async with starting(*words, **environment) as process:
        yield await process.ready()


async def finished(*words: str, **environment: str) -> tuple[int, str, str]:
    """A command in a process of its own: exit status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *words, env=clean(**environment), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE):
        out, complaints = await process.communicate()
    return process.returncode or 0, out.decode(), complaints.decode()
