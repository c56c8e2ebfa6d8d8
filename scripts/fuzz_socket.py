"""Send random bytes to a real server process over real connections, and check that nothing is left of them.

`python scripts/fuzz_socket.py --minutes 10 --seed 1` starts a server on a folder of its own. Meanwhile a
reader must get each newest state, `/healthz` must answer, and afterwards the server must hold as many descriptors and
about as much memory as before, count nobody but the reader, and end in order. Needs Linux's /proc.
"""

import asyncio
import contextlib
import itertools
import os
import random
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import click
import httpx
import msgspec
from nonsense import Nonsense
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings

ROOM_SERVER = [sys.executable, "-m", "room_server"]
SETTINGS = Settings(token_secret=secrets.token_hex(32))
AT_ONCE = 48
"""Connections that send random bytes at the same time."""
PATIENCE = 10.0
"""Seconds within which well-behaved requests must be answered."""
POOL = 4
"""Descriptors that may have been opened since the warm-up: connections to Redis, when several were needed at once."""
GROWTH = 12_000_000
"""Bytes that the process may have grown by since the warm-up: it searches seldom for garbage that refers to itself."""


def token(role: str, subject: str) -> str:
    """A token for the room."""
    return auth.issue(SETTINGS, {"sub": subject, "role": role, "webinar_id": "w"}, 86_400)


ATTENDEE = token("attendee", "7")


class Fuzz:
    """The load on one server process, and the checks beside it."""

    def __init__(self, pid: int, port: int, seed: int) -> None:
        self.pid = pid
        self.port = port
        self.totals: Counter[str] = Counter()
        self.slowest = {"healthz": 0.0, "state": 0.0}
        self._seed = seed
        self._changes = itertools.count(1)
        self._numbers = itertools.count(1)
        self._published: asyncio.Queue[tuple[int, float]]
        self._http = self._client()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    async def run(self, seconds: float) -> None:
        """Send for so long, with the checks beside it; seed and number of a connection decide what it sends."""
        self._published = asyncio.Queue()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            checks = [tasks.create_task(work) for work in (self._probe(), self._change(), self._read())]
            async with asyncio.TaskGroup() as sending:
                for _ in range(AT_ONCE):
                    sending.create_task(self._send_until(until))
            for task in checks:
                task.cancel()

    async def _send_until(self, until: float) -> None:
        while time.monotonic() < until:
            number = next(self._numbers)
            chance = random.Random(f"{self._seed}/{number}")  # noqa: S311 - repeatable on purpose
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._connection(Nonsense(chance, ATTENDEE))
            self.totals["connections"] += 1

    async def _connection(self, nonsense: Nonsense) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        chance = nonsense.chance
        try:
            data_to_send = [nonsense.handshake(), *(nonsense.frames() for _ in range(chance.randrange(4)))]
            if chance.random() < 0.3:
                data_to_send = [b"".join(data_to_send)]
            for chunk in (chunk for data in data_to_send for chunk in nonsense.chunks(data)):
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), PATIENCE)
                self.totals["bytes sent"] += len(chunk)
                if chance.random() < 0.05:
                    await asyncio.sleep(chance.random() / 20)
            if chance.random() < 0.8:
                if chance.random() < 0.5:
                    writer.write_eof()
                self._note(await self._received(reader, chance.random() / 4))
        finally:
            self._hang_up(writer, with_reset=chance.random() < 0.5)

    @staticmethod
    def _hang_up(writer: asyncio.StreamWriter, with_reset: bool) -> None:
        """With a reset, or in order."""
        if with_reset:
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort() if with_reset else writer.close()

    @staticmethod
    async def _received(reader: asyncio.StreamReader, seconds: float) -> bytes:
        """What comes within so many seconds, or until the end."""
        received = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while chunk := await reader.read(65536):
                    received += chunk
        return received

    def _note(self, received: bytes) -> None:
        head, _, frames = received.partition(b"\r\n\r\n")
        self.totals[f"answer {head[9:12].decode('latin-1') or 'none'}"] += 1
        while head.startswith(b"HTTP/1.1 101") and len(frames) >= 4:
            size, at = (frames[1], 2) if frames[1] < 126 else (int.from_bytes(frames[2:4]), 4)
            if frames[0] == 0x88:
                self.totals[f"close {int.from_bytes(frames[2:4]) if size else 'without a code'}"] += 1
            frames = frames[at + size :]

    async def _probe(self) -> None:
        while True:
            began = time.monotonic()
            (await self._http.get("/healthz")).raise_for_status()
            self.slowest["healthz"] = max(self.slowest["healthz"], time.monotonic() - began)
            self.totals["healthz answered"] += 1
            await asyncio.sleep(0.1)  # the pace of the probes

    async def _change(self) -> None:
        bearer = {"Authorization": f"Bearer {token('speaker', 's')}"}
        while True:
            began, body = time.monotonic(), {"webinar_id": "w", "visible": next(self._changes) % 2 == 1}
            answer = await self._http.post("/hooks/core_webinar_set_cta_visibility", json=body, headers=bearer)
            self._published.put_nowait((answer.raise_for_status().json()["version"], began))
            await asyncio.sleep(0.2)

    async def _read(self) -> None:
        """Check that each version that a hook was answered with arrives in time."""
        protocols = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token('speaker', 'r')}")]
        async with connect(f"ws://127.0.0.1:{self.port}/rooms/w/socket", subprotocols=protocols) as reader:
            has = 0
            while True:
                version, began = await self._published.get()
                async with asyncio.timeout(PATIENCE):
                    while has < version:
                        has = msgspec.json.decode(await reader.recv())["version"]
                self.slowest["state"] = max(self.slowest["state"], time.monotonic() - began)
                self.totals["states read"] += 1

    async def settled(self) -> tuple[int, int]:
        """Descriptors and bytes of the server once no client is connected and they no longer change."""
        claims = {"sub": "m", "role": "monitor", "webinar_id": "*"}
        bearer = {"Authorization": f"Bearer {auth.issue(SETTINGS, claims, 600)}"}
        async with asyncio.timeout(3 * PATIENCE):
            total = -1
            while total != 0:
                await asyncio.sleep(0.5)
                total = (await self._http.get("/monitor/counts", headers=bearer)).json()["total"]
            await self._http.aclose()
            self._http = self._client()
            steady = [0]
            while steady != [steady[0]] * 4:
                await asyncio.sleep(0.3)
                steady = [*steady, descriptors(self.pid)][-4:]
        return steady[0], resident(self.pid)

    async def start(self) -> None:
        """Start the webinar."""
        bearer = {"Authorization": f"Bearer {token('speaker', 's')}"}
        body = {"webinar_id": "w", "status": "start"}
        (await self._http.post("/hooks/core_webinar_set_status", json=body, headers=bearer)).raise_for_status()


def descriptors(pid: int) -> int:
    """How many a process holds."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("RssAnon"))


@contextlib.asynccontextmanager
async def server(complaints: Path) -> AsyncIterator[tuple[int, int]]:
    """Process id and port of a server with one webinar; its standard error goes to a file."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_SERVER_")}
        settings = {"TOKEN_SECRET": SETTINGS.token_secret, "DATA_DIR": folder, "MAX_SOCKETS_PER_PERSON": "0",
                "MAX_HOOKS_PER_PERSON": "0", "STALL_SECONDS": "2", "MAX_SOCKETS": "5000"}  # fmt: skip
        environment = kept | {f"ROOM_SERVER_{name}": value for name, value in settings.items()}
        create = ["webinar", "create", "w", "--title", "W", "--at", utc_now().isoformat(),
                 "--cta-label", "Join", "--cta-url", "https://example.org/join"]  # fmt: skip
        subprocess.run([*ROOM_SERVER, *create], env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, ASYNC221
        with complaints.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *ROOM_SERVER, "web", "--port", "0", env=environment, stdout=asyncio.subprocess.PIPE, stderr=stderr
            )
            try:
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                async with asyncio.timeout(3 * PATIENCE):
                    ready = (await process.stdout.readline()).decode()
                yield process.pid, int(ready.rpartition(":")[2])
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(PATIENCE):
                    if await process.wait():
                        raise click.ClickException(f"the server ended with {process.returncode}")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def fuzz(seconds: float, seed: int) -> None:
    """Warm up for a tenth of the time, measure, go on for the rest, measure again."""
    with tempfile.TemporaryDirectory() as folder:
        complaints = Path(folder) / "stderr"
        async with server(complaints) as (pid, port):
            fuzzing = Fuzz(pid, port, seed)
            await fuzzing.start()
            await fuzzing.run(seconds / 10)
            before = await fuzzing.settled()
            await fuzzing.run(seconds * 9 / 10)
            after = await fuzzing.settled()
        report(fuzzing, before, after, complaints.read_text())


def report(fuzzing: Fuzz, before: tuple[int, int], after: tuple[int, int], complaints: str) -> None:
    """Print totals and times. Raises ClickException for anything that is left behind."""
    for what, number in sorted(fuzzing.totals.items()):
        click.echo(f"{what:24}{number:>14,}")
    for what, seconds in fuzzing.slowest.items():
        click.echo(f"{f'slowest {what}':24}{seconds * 1000:>11,.0f} ms")
    click.echo(f"{'descriptors':24}{before[0]:>14,} -> {after[0]:,}")
    click.echo(f"{'memory, KB':24}{before[1] // 1000:>14,} -> {after[1] // 1000:,}")
    faults = [f"{after[0] - before[0]} descriptors are left"] if after[0] - before[0] > POOL else []
    faults += [f"{after[1] - before[1]:,} bytes are left"] if after[1] - before[1] > GROWTH else []
    faults += [line for line in complaints.splitlines() if " INFO " not in line]
    if faults:
        raise click.ClickException("\n".join(faults))
    click.echo("nothing is left behind")


@click.command()
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def main(minutes: float, seed: int) -> None:
    """Send random bytes to a room server for so long, and check that nothing is left of them."""
    asyncio.run(fuzz(minutes * 60, seed))


if __name__ == "__main__":
    main()
