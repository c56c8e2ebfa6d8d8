"""Receipts: a ping after a state carries its version, and the pong proves that the browser has the state.

At most one such ping is outstanding per socket; a peer may answer the latest only (RFC 6455, 5.5.3), so every ping of
ours is one of these.
"""

import struct
from binascii import crc32

from room_server.core.reach import Reached, bucket, no_answers

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

    __slots__ = ("buckets", "epoch", "of", "started", "version")

    def __init__(self, epoch: str, version: int, of: int, started: float) -> None:
        self.epoch = epoch
        self.version = version
        self.of = of
        self.started = started
        self.buckets = no_answers()

    def count(self, seconds: float) -> None:
        """One socket answered, so long after the change was heard."""
        self.buckets[bucket(seconds)] += 1

    def told(self) -> Reached:
        """The count as it stands."""
        return Reached(epoch=self.epoch, version=self.version, of=self.of, buckets=list(self.buckets))
