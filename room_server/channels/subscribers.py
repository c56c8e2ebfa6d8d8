"""Groups of sockets that get the same states, and what this process counts about them."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from room_server.channels.air_time import AirTime
from room_server.channels.frames import RoomState
from room_server.channels.writer import Peer
from room_server.core.messages import Actor
from room_server.core.receipt_stats import ReceiptCounts, bucket, no_answers
from room_server.errors import CloseCode, Refusal
from room_server.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

PAST_EPOCHS = 8
"""Replaced epochs that a group remembers: a room gets a new one only after Redis has lost changes."""
_COUNTS = "counts:"
"""Prefix of the groups that get counts instead of a room's states; no webinar id has a colon."""


def counts_group(scope: str) -> str:
    """The name of the group of monitors whose tokens are for this webinar id or `*`."""
    return _COUNTS + scope


def counts_scope(name: str) -> str | None:
    """The webinar id or `*` whose counts a group of this name gets; None for a room's group."""
    return name.removeprefix(_COUNTS) if name.startswith(_COUNTS) else None


class Subscriber(Peer, Protocol):
    """A socket, as the hub sees it. `descriptor` is -1 while only `push` and `write_rest` may write to it."""

    actor: Actor
    sent: RoomState | None
    """The state that was written last."""
    requested: RoomState | None
    """The state whose receipt is outstanding. No other is requested meanwhile."""

    @property
    def heard_at(self) -> float:
        """When the peer was heard last, or admitted, in seconds of the loop's clock."""

    def push(self, state: RoomState) -> None:
        """Write the state now or, to a peer that is behind in reading, the newest one as soon as it has caught up."""

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to reconnect in `seconds`; close `closed_after` seconds later."""

    def admit(self, group: "SubscriberGroup") -> None:
        """Answer the handshake: the group has a state now."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with a refusal."""

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake."""


class Receipts:
    """The receipts of one change of one room in this process."""

    __slots__ = ("buckets", "epoch", "of", "published_at", "received_at", "version", "written_after")

    def __init__(self, state: RoomState, of: int, published_at: float) -> None:
        self.epoch = state.head.epoch
        self.version = state.head.version
        self.of = of
        """Sockets that the change is written to."""
        self.published_at = published_at
        """When the hub got the change (the loop's clock): receipts are timed from here."""
        self.received_at = time.perf_counter()  # the same moment on a finer clock: uvloop's has milliseconds
        self.written_after: float | None = None
        """Seconds until the change was written to the last socket."""
        self.buckets = no_answers()

    def counts(self) -> ReceiptCounts:
        """The receipts so far."""
        return ReceiptCounts(epoch=self.epoch, version=self.version, of=self.of, buckets=list(self.buckets))


class BroadcastStats:
    """What this process has sent since it began, for the metrics."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames with states, one per socket and broadcast."""
        self.healed = 0
        """Rooms for which a re-read found a newer state than was published here."""
        self.writing = Histogram()
        """Seconds from getting a change to the write to its last socket."""
        self._past = no_answers()

    def add_past(self, receipts: Receipts | None) -> None:
        """Keep the receipts of a change that is replaced, or whose last socket is gone."""
        if receipts is not None:
            self._past = [sum(both) for both in zip(self._past, receipts.buckets, strict=True)]

    def answers(self, newest: Iterable[Receipts | None]) -> list[int]:
        """The receipts of all changes so far, `newest` included, by the buckets of core.receipt_stats."""
        return [sum(column) for column in zip(self._past, *(one.buckets for one in newest if one), strict=True)]

    def record_broadcast(self, webinar_id: str, receipts: Receipts) -> None:
        """Record once that a change was written to its last socket.

        The log line has the epoch and version by which it is joined to the commit's line and its request id.
        """
        if receipts.written_after is not None:
            return
        receipts.written_after = time.perf_counter() - receipts.received_at
        self.writing.observe(receipts.written_after)
        facts = {"webinar": webinar_id, "epoch": receipts.epoch, "version": receipts.version, "sockets": receipts.of}
        logger.info("room told", extra={"facts": {**facts, "ms": round(receipts.written_after * 1000, 1)}})


class SubscriberGroup:
    """The sockets of one room in this process, or those that get the counts of one scope."""

    __slots__ = ("air", "name", "past_epochs", "receipts", "roles", "state", "subscribers", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        """A webinar id, or `counts_group` of a scope."""
        self.state: RoomState | None = None
        """The newest state, changed by `set_state` only; None before the first read."""
        self.past_epochs: tuple[str, ...] = ()
        """The epochs that were replaced, the latest last."""
        self.subscribers: dict[Subscriber, float] = {}
        """Each open socket, and until when its lead is known to have been there (see `Hub.see`)."""
        self.waiting: set[Subscriber] = set()
        """Sockets whose handshake waits for the first state."""
        self.roles: Counter[str] = Counter()
        self.receipts: Receipts | None = None
        """Of the newest change that was broadcast."""
        self.air = AirTime()
        """When the room was on air."""

    def set_state(self, state: RoomState) -> None:
        """Take a newer state and remember the epoch that it replaces."""
        if self.state is not None and self.state.head.epoch != state.head.epoch:
            self.past_epochs = (*self.past_epochs, self.state.head.epoch)[-PAST_EPOCHS:]
        self.state = state

    def count_receipt(self, state: RoomState, now: float) -> None:
        """Count one socket's receipt, if it is for the newest change."""
        if self.receipts is not None and state is self.state:
            self.receipts.buckets[bucket(now - self.receipts.published_at)] += 1


class ReadQueue:
    """The rooms of one partition that are to be read, each once however often it was requested."""

    def __init__(self) -> None:
        self._webinar_ids: dict[str, None] = {}
        self._requested = asyncio.Event()

    def request(self, webinar_id: str) -> None:
        """Have this room read."""
        self._webinar_ids[webinar_id] = None
        self._requested.set()

    async def take_all(self) -> list[str]:
        """Wait for requests and take all of them."""
        await self._requested.wait()
        self._requested.clear()
        webinar_ids, self._webinar_ids = list(self._webinar_ids), {}
        return webinar_ids
