"""Receipts: a ping after a state carries its version, and the pong proves that the browser has the state.

At most one such ping is outstanding per socket; a peer may answer the latest only (RFC 6455, 5.5.3), so every ping of
ours is one of these.
"""

import logging
import struct
import time
from binascii import crc32
from collections.abc import Iterable

from room_server.core.receipt_stats import ReceiptCounts, bucket, no_answers
from room_server.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

_PAYLOAD = struct.Struct("!II")
PONG_SIZE = 2 + 4 + _PAYLOAD.size
"""Bytes of a client's pong to one of our pings: head, mask, payload."""
_PONG_HEAD = bytes((0x8A, 0x80 + _PAYLOAD.size))


def payload(epoch: str, version: int) -> bytes:
    """What a ping carries for a version."""
    return _PAYLOAD.pack(crc32(epoch.encode()), version & 0xFFFFFFFF)


def ping(epoch: str, version: int) -> bytes:
    """The ping frame for a version."""
    return bytes((0x89, _PAYLOAD.size)) + payload(epoch, version)


def pong(data: bytes) -> bytes | None:
    """The payload of a pong that has the shape of ours and comes alone; None for anything else."""
    if len(data) != PONG_SIZE or data[:2] != _PONG_HEAD:
        return None
    mask = int.from_bytes(data[2:6]) * 0x1_0000_0001
    return (int.from_bytes(data[6:]) ^ mask).to_bytes(_PAYLOAD.size)


class Receipts:
    """The answers to one change of one room in this process."""

    __slots__ = ("buckets", "epoch", "heard_at", "of", "started", "version", "written_after")

    def __init__(self, epoch: str, version: int, of: int, started: float) -> None:
        self.epoch = epoch
        self.version = version
        self.of = of
        self.started = started
        self.buckets = no_answers()
        self.heard_at = time.perf_counter()  # finer than the loop's clock, which uvloop keeps in milliseconds
        self.written_after: float | None = None
        """Seconds until the change was written to the last socket."""

    def count(self, seconds: float) -> None:
        """One socket answered, so long after the change was heard."""
        self.buckets[bucket(seconds)] += 1

    def told(self) -> ReceiptCounts:
        """The count as it stands."""
        return ReceiptCounts(epoch=self.epoch, version=self.version, of=self.of, buckets=list(self.buckets))


class BroadcastStats:
    """What this process has told its sockets since it began, for the metrics."""

    def __init__(self) -> None:
        self.frames = 0
        """State frames that changes meant for sockets."""
        self.healed = 0
        """Rooms whose newer state a re-read found before, or instead of, its message."""
        self.writing = Histogram()
        """From hearing of a change to the write to its last socket."""
        self._past = no_answers()

    def keep(self, receipts: Receipts | None) -> None:
        """Another change takes the place of this one, or nobody is left to answer."""
        if receipts is not None:
            self._past = [sum(both) for both in zip(self._past, receipts.buckets, strict=True)]

    def answers(self, newest: Iterable[Receipts | None]) -> list[int]:
        """The answers to all changes so far, by core.reach's buckets."""
        return [sum(column) for column in zip(self._past, *(one.buckets for one in newest if one), strict=True)]

    def note(self, webinar_id: str, told: Receipts | None) -> None:
        """A change was written to its last socket; epoch and version join this line to the commit's with its id."""
        if told is None or told.written_after is not None:
            return
        told.written_after = time.perf_counter() - told.heard_at
        self.writing.observe(told.written_after)
        facts = {"webinar": webinar_id, "epoch": told.epoch, "version": told.version, "sockets": told.of}
        logger.info("room told", extra={"facts": {**facts, "ms": round(told.written_after * 1000, 1)}})
