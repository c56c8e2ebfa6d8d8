"""The command line as tests run it: in this process on a real server, or as a process of its own."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import IO, NamedTuple

import click
from click.testing import CliRunner, Result

from room_server.cli import main
from tests.support import PATIENCE, TOKEN_SECRET

COMMAND = [sys.executable, "-W", "error", "-m", "room_server"]


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    for name, command in sorted(group.commands.items()):
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = list(commands(main))


def clean(**more: str) -> dict[str, str]:
    """The environment of this process without what would set the product, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_SERVER_") and name != "PORT"}
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


class Running(NamedTuple):
    """A process that serves."""

    process: Process
    address: str
    """`http://…`, as it said itself."""
    said: list[str]
    """What it printed before."""
    complaints: IO[bytes]
    """What it says on stderr: a file, since a pipe that nobody reads would make it wait."""

    async def end(self, sent: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status and what it said on stderr."""
        self.process.send_signal(sent)
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        return self.process.returncode or 0, self.told()

    def told(self) -> str:
        """What it has said on stderr, once it has ended."""
        return _text(self.complaints)


@contextlib.asynccontextmanager
async def running(*words: str, **environment: str) -> AsyncIterator[Running]:
    """A command that stays, from its `ready` line to the end of the block at the latest."""
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *words, env=clean(**environment), stdout=PIPE, stderr=complaints, start_new_session=True
        )
        try:
            yield await _ready(process, complaints)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


def _text(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read().decode()


async def _ready(process: Process, complaints: IO[bytes]) -> Running:
    assert process.stdout is not None
    said: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while line := (await process.stdout.readline()).decode():
            if line.startswith("ready "):
                return Running(process, line.split()[1], said, complaints)
            said.append(line.rstrip("\n"))
        await process.communicate()
    raise AssertionError(f"it ended without being ready: {_text(complaints)}")


async def finished(*words: str, **environment: str) -> tuple[int, str, str]:
    """A command in a process of its own: exit status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *words, env=clean(**environment), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE):
        out, complaints = await process.communicate()
    return process.returncode or 0, out.decode(), complaints.decode()
