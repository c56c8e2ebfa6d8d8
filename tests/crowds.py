"""Many clients of room sockets in one process: they read, answer pings, and come back when asked to, as a page does."""

import asyncio
import contextlib
import os
import random
import re
import resource
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from room_server.errors import StateUnavailable
from room_server.state.store import Store
from tests.support import PATIENCE, transactions

_STATE = re.compile(rb'"epoch":"(\w+)","version":(\d+)')
_AFTER = re.compile(rb'"after_ms":(\d+)')


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """As many as the system lets a process have: for this one and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors(pid: int) -> int:
    """How many a process holds."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def memory(pid: int) -> int:
    """Bytes that a process has for itself."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("RssAnon"))


class Line(asyncio.Protocol):
    """One socket of a client."""

    def __init__(self, client: "Client", request: bytes) -> None:
        self._client = client
        self._request = request
        self._inbox = b""
        self.transport: asyncio.Transport | None = None
        self.seen: dict[bytes, int] = {}
        """The version that came last, by epoch."""
        self.epoch = b""
        """The epoch that came last."""
        self.admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        if not self.admitted:
            head, found, rest = self._inbox.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.hang_up()
                return
            self.admitted, self._inbox = True, rest
            self._client.opened(self)
        while (frame := self._next()) is not None:
            self._heard(*frame)

    def _next(self) -> tuple[int, bytes] | None:
        """The next whole frame; the server sends none of less than four bytes to who sends no pings."""
        inbox = self._inbox
        if len(inbox) < 4:
            return None
        size, at = (inbox[1], 2) if inbox[1] < 126 else (int.from_bytes(inbox[2:4]), 4)
        if len(inbox) < at + size:
            return None
        self._inbox = inbox[at + size :]
        return inbox[0], inbox[at : at + size]

    def _heard(self, first: int, payload: bytes) -> None:
        assert self.transport is not None
        if first == 0x89:
            self.transport.write(bytes((0x8A, 0x80 + len(payload), 0, 0, 0, 0)) + payload)
        elif first == 0x88:
            self._client.codes[int.from_bytes(payload[:2])] += 1
            self.transport.write(bytes((0x88, 0x80 + len(payload), 0, 0, 0, 0)) + payload)
        elif (state := _STATE.search(payload)) is not None:
            self._client.told(self, state[1], int(state[2]))
            self._client.show(payload, state[1], int(state[2]))
        elif (after := _AFTER.search(payload)) is not None:
            self._client.asked_to_leave(self, int(after[1]) / 1000)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self)

    def hang_up(self) -> None:
        """Without a word."""
        if self.transport is not None:
            self.transport.abort()


class Client:
    """One page: the newest state that it has seen, by whichever of its sockets."""

    def __init__(self, audience: "Audience") -> None:
        self.audience = audience
        self.codes = audience.codes
        self.version = 0
        self.line: Line | None = None
        self.gone = False
        self.text = b""
        """The state that the page shows."""
        self.shown = (b"", 0)
        """Its epoch and version."""

    async def connect(self) -> None:
        """Open a socket where the next one belongs."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Line(self, self.audience.request()), "127.0.0.1", self.audience.port())
        except OSError:
            self._come_back()

    def opened(self, line: Line) -> None:
        """The new one is there: let go of the old one."""
        former, self.line = self.line, line
        self.audience.joined.append(time.monotonic())
        if former is not None:
            former.hang_up()

    def told(self, line: Line, epoch: bytes, version: int) -> None:
        """A state came."""
        self.audience.backwards += version <= line.seen.get(epoch, 0)
        self.audience.returned += epoch != line.epoch and epoch in line.seen
        self.audience.epochs.add(epoch)
        line.seen[epoch], line.epoch = version, epoch
        self.version = max(self.version, version)

    def show(self, text: bytes, epoch: bytes, version: int) -> None:
        """The highest version of an epoch stands, and any other epoch replaces."""
        if epoch != self.shown[0] or version > self.shown[1]:
            self.text, self.shown = text, (epoch, version)

    def asked_to_leave(self, line: Line, seconds: float) -> None:
        """The process goes away: open the new socket first, in its turn."""
        self.audience.asked += 1
        if line is self.line:
            asyncio.get_running_loop().call_later(seconds, self._connect_soon)

    def lost(self, line: Line) -> None:
        """A socket ended; if it was the one held, come back."""
        if line is self.line:
            self.line = None
            self.audience.without += not self.gone
        elif line.admitted:
            return  # it was let go
        if self.line is None:
            self._come_back()

    def _come_back(self) -> None:
        if not self.gone:
            asyncio.get_running_loop().call_later(random.uniform(0.1, 1), self._connect_soon)

    def _connect_soon(self) -> None:
        if not self.gone:
            self.audience.spawn(self.connect())


class Audience:
    """All clients; `ports` are the processes that a balancer would send them to, in turn."""

    def __init__(self, path: str, token: str, ports: list[int]) -> None:
        self.ports = ports
        self.clients: list[Client] = []
        self.codes: Counter[int] = Counter()
        self.joined: list[float] = []
        """When sockets were let in (monotonic)."""
        self.backwards = 0
        """States that were no newer than the one before, of the same epoch and on the same socket."""
        self.returned = 0
        """States of an epoch that another one had replaced on the same socket."""
        self.epochs: set[bytes] = set()
        """All that came to any socket."""
        self.asked = 0
        """Times that a client was asked to come back elsewhere."""
        self.without = 0
        """Times that a client had no socket at all."""
        self._path, self._token, self._turn = path, token, 0
        self._tasks: set[asyncio.Task[None]] = set()

    def port(self) -> int:
        """Where the next socket goes."""
        self._turn += 1
        return self.ports[self._turn % len(self.ports)]

    def request(self) -> bytes:
        """A handshake."""
        lines = [f"GET {self._path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Protocol: room.v1, room.bearer.{self._token}"]
        return "\r\n".join([*lines, "", ""]).encode()

    def spawn(self, work: Any) -> None:
        """Do this meanwhile."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def join(self, number: int) -> None:
        """So many more clients; returns when all have a state."""
        for start in range(0, number, 100):
            fresh = [Client(self) for _ in range(min(100, number - start))]
            self.clients += fresh
            await asyncio.gather(*(client.connect() for client in fresh))
            await self.has(1)

    async def has(self, version: int) -> float:
        """Wait until everyone has this state, or a newer one; the seconds that it took."""
        began = time.monotonic()
        behind = self.clients
        deadline = began + PATIENCE
        while behind := [client for client in behind if client.version < version]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(behind)} clients never had version {version}")
            await asyncio.sleep(0.002)
        return time.monotonic() - began

    async def leave(self) -> None:
        """All of them, without a word."""
        for client in self.clients:
            client.gone = True
            if client.line is not None:
                client.line.hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def change(store: Store, **fields: Any) -> int:
    """The version of a change of webinar `w`; made again when this busy process heard of its answer too late."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(StateUnavailable):
            return (
                await transactions(store).edit("w", lambda known: replace(known, version=known.version + 1, **fields))
            ).version
    raise TimeoutError("the change was never made")


def busiest_second(moments: list[float]) -> int:
    """The most of these moments within any one second."""
    moments = sorted(moments)
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
