"""Signs of life: once a second each process announces that it lives and what it counts, for a few seconds.

The sum over the living processes is what the monitor shows; one that was killed is out of the sum when its report
expires. Reports are spread over the partitions. A process whose partition is away reports in another one. Reading
costs two keys a partition and one value a process, however many sockets there are.
"""

import asyncio
import binascii
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from room_server.core.receipt_stats import ReceiptCounts
from room_server.errors import StateUnavailable
from room_server.state.bulk_reads import answer, ask_each
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.store import Store

BEAT_SECONDS = 1.0
ALIVE_SECONDS = 6
"""How long a report holds: several beats, and less than the ten seconds in which counts must heal."""


class Report(Struct, frozen=True, kw_only=True):
    """What one process says: its sockets by room and role, and the hooks it answered by code."""

    node: str
    kind: Literal["web", "worker"]
    total: int
    rooms: dict[str, dict[str, int]] = {}
    hooks: dict[str, int] = {}
    reach: dict[str, ReceiptCounts] = {}


class Node(Report, frozen=True, kw_only=True):
    """A living process: its last word, and when that was heard by Redis' clock."""

    seen_at: datetime


_REPORT = msgspec.json.Decoder(Report)


async def announce(store: Store, report: Report) -> None:
    """Announce that the process lives, and what it counts. Raises StateUnavailable."""
    script, arguments = Script.read("announce"), [report.node, msgspec.json.encode(report), ALIVE_SECONDS * 1000]
    for tag in homes(store, report.node):
        ask = partial(store.run, script, [store.keys.nodes(tag), store.keys.reports(tag)], arguments)
        if await answer(store, tag, ask) is not None:
            return
    raise StateUnavailable


async def withdraw(store: Store, node: str) -> None:
    """Announce that the process ends. Raises StateUnavailable."""
    keys = store.keys
    asked = {tag: [("ZREM", keys.nodes(tag), node), ("HDEL", keys.reports(tag), node)] for tag in homes(store, node)}
    await ask_each(store, asked)


async def living(store: Store) -> list[Node]:
    """The processes whose report holds and can be read, by name. Raises StateUnavailable.

    Those that speak in a partition that is away are missing until they speak in the one across.
    """
    keys = store.keys
    asked = {
        tag: [("HGETALL", keys.reports(tag)), ("ZRANGE", keys.nodes(tag), 0, -1, "WITHSCORES")] for tag in keys.tags
    }
    latest: dict[str, Node] = {}
    for reports, scores in (await ask_each(store, asked)).values():
        stored = dict(pairs(reports))
        for name, score in pairs(scores):
            report = store.records.readable(_REPORT, stored.get(name, b""), "the report of a process")
            at = datetime.fromtimestamp(float(score) / 1000, UTC)
            if report is not None and (report.node not in latest or latest[report.node].seen_at < at):
                latest[report.node] = Node(**asdict(report), seen_at=at)
    return sorted(latest.values(), key=lambda node: node.node)


def homes(store: Store, node: str) -> list[str]:
    """The partition in which a process speaks, and the one across, on another server of a Cluster: for want of it."""
    tags = store.keys.tags
    first = binascii.crc32(node.encode())
    return list(dict.fromkeys(tags[(first + ahead) % len(tags)] for ahead in (0, len(tags) // 2)))


def node_name() -> str:
    """Unique to this process, and telling where it runs."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


class Heartbeat:
    """`counted` gives what the process counts now: fields of Report."""

    def __init__(self, store: Store, name: str, counted: Callable[[], dict[str, Any]]) -> None:
        self._store = store
        self.name = name
        self._counted = counted
        self.announced_at = time.monotonic()
        """When Redis last took this process's word; monotonic."""

    async def beat(self) -> None:
        """Beat for ever; the process is withdrawn when this is cancelled."""
        try:
            while True:
                with suppress(StateUnavailable):  # the listener tells of it, and the word expires
                    await announce(self._store, Report(node=self.name, **self._counted()))
                    self.announced_at = time.monotonic()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            with suppress(StateUnavailable):
                await withdraw(self._store, self.name)
