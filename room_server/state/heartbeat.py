"""The processes that are running: each reports once a second what it counts, and a report expires after a few seconds.

The counts of the product are sums over the reports that have not expired. Reports are spread over the partitions; a
process whose partition is unavailable reports to another one. Reading costs two keys a partition and one value a
process, however many sockets there are.
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
"""Time to live of a report: several beats, and less than the ten seconds in which counts must be right again."""


TelegramStatus = Literal["ok", "no_updates", "no_answer", "dry_run", "proxy_unusable", "token_refused"]
"""What a worker knows of Telegram: it takes the token; does, and the bot's updates do not come; has not answered yet;
is not used, since there is no token; cannot be asked, since a variable names no proxy; refuses the token. Each is worse
than those before it."""


class Report(Struct, frozen=True, kw_only=True):
    """What one process counts; stored as JSON."""

    node: str
    """The process (see `node_name`)."""
    kind: Literal["web", "worker"]
    total: int
    """Its sockets."""
    rooms: dict[str, dict[str, int]] = {}
    """Its sockets by room and role."""
    hooks: dict[str, int] = {}
    """Hooks that it answered, by code."""
    reach: dict[str, ReceiptCounts] = {}
    telegram: TelegramStatus | None = None
    """Of a worker."""


class Node(Report, frozen=True, kw_only=True):
    """A process that is running: its latest report, and when Redis got that, by Redis' clock."""

    seen_at: datetime


_REPORT = msgspec.json.Decoder(Report)


async def announce(store: Store, report: Report) -> None:
    """Store the report of a process. Raises StateUnavailable."""
    script, arguments = Script.read("heartbeat"), [report.node, msgspec.json.encode(report), ALIVE_SECONDS * 1000]
    for tag in partitions_of(store, report.node):
        run = partial(store.run, script, [store.keys.nodes(tag), store.keys.reports(tag)], arguments)
        if await answer(store, tag, run) is not None:
            return
    raise StateUnavailable


async def withdraw(store: Store, node: str) -> None:
    """Delete the report of a process that ends. Raises StateUnavailable."""
    keys = store.keys
    tags = partitions_of(store, node)
    await ask_each(store, {tag: [("ZREM", keys.nodes(tag), node), ("HDEL", keys.reports(tag), node)] for tag in tags})


async def living(store: Store) -> list[Node]:
    """The processes whose report has not expired and can be read, by name. Raises StateUnavailable.

    A process that reports to a partition that becomes unavailable is missing until its next report.
    """
    keys = store.keys
    commands = {
        tag: [("HGETALL", keys.reports(tag)), ("ZRANGE", keys.nodes(tag), 0, -1, "WITHSCORES")] for tag in keys.tags
    }
    latest: dict[str, Node] = {}
    for reports, scores in (await ask_each(store, commands)).values():
        stored = dict(pairs(reports))
        for name, score in pairs(scores):
            report = store.records.readable(_REPORT, stored.get(name, b""), "the report of a process")
            at = datetime.fromtimestamp(float(score) / 1000, UTC)
            if report is not None and (report.node not in latest or latest[report.node].seen_at < at):
                latest[report.node] = Node(**asdict(report), seen_at=at)
    return sorted(latest.values(), key=lambda node: node.node)


def partitions_of(store: Store, node: str) -> list[str]:
    """The partition that a process reports to, and the one to use while the first is unavailable.

    On a Cluster they are on different servers.
    """
    tags = store.keys.tags
    first = binascii.crc32(node.encode())
    return list(dict.fromkeys(tags[(first + ahead) % len(tags)] for ahead in (0, len(tags) // 2)))


def node_name() -> str:
    """A name for this process that no other has: host, process id and a random suffix."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


class Heartbeat:
    """Reports for one process; `counts` gives the fields of Report except `node`."""

    def __init__(self, store: Store, name: str, counts: Callable[[], dict[str, Any]]) -> None:
        self._store = store
        self.name = name
        self._counts = counts
        self.announced_at = time.monotonic()
        """When Redis last stored a report; monotonic."""

    async def beat(self) -> None:
        """Report once a second, for ever; the report is deleted when this is cancelled."""
        try:
            while True:
                with suppress(StateUnavailable):  # the listener logs that, and the report expires
                    await announce(self._store, Report(node=self.name, **self._counts()))
                    self.announced_at = time.monotonic()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            with suppress(StateUnavailable):
                await withdraw(self._store, self.name)
