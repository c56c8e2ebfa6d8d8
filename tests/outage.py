"""A Redis of a test's own, to be frozen, killed and brought back."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from room_server.state.redis import embedded
from tests.support import eventually

ALWAYS = ["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]


async def answers(url: str) -> bool:
    """Whether a server is there."""
    async with Redis.from_url(url) as client:
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False


class OwnRedis:
    """A server whose process is in the test's hands."""

    def __init__(self, folder: str, *arguments: str, program: str | None = None) -> None:
        self._folder = folder
        self._program = program or embedded.find_binary()
        self._arguments = arguments
        self._socket = Path(folder) / "s"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Run it, on whatever it had stored, until it answers."""
        self._process = subprocess.Popen(
            [
                *(self._program, *ALWAYS, "--unixsocket", str(self._socket), "--dir", self._folder),
                *self._arguments,
            ],
            stdout=subprocess.DEVNULL,
        )
        await eventually(self._answers, "the server answers")

    async def _answers(self) -> bool:
        return await answers(self.url)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def freeze(self) -> None:
        """It keeps its connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """It is gone at once."""
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        self._socket.unlink(missing_ok=True)


@asynccontextmanager
async def own_redis(*arguments: str, program: str | None = None) -> AsyncIterator[OwnRedis]:
    """A running server that ends with the block, in whatever state it was left; `arguments` go before what is usual.

    `program` is another one than the embedded server's.
    """
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        server = OwnRedis(folder, *arguments, program=program)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()
