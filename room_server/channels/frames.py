"""WebSocket frames of the server (RFC 6455, 5), each built once and written to every socket that needs it.

A receipt is the pong to one of our pings. Each ping carries the version of the state that was sent before it, so its
pong proves that the browser has that state. A peer may answer only the latest of several pings (5.5.3), so at most one
is outstanding per socket.
"""

import struct
from binascii import crc32
from typing import NamedTuple

import msgspec
from websockets.frames import Frame, Opcode

from room_server.core.room import Status
from room_server.core.wire import ROOM_VERSION, Reconnect, RoomVersion

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which websockets has no C extension
    from websockets.utils import apply_mask

_PING_PAYLOAD = struct.Struct("!II")
_PONG_HEADER = bytes((0x80 | Opcode.PONG, 0x80 | _PING_PAYLOAD.size))
"""Of a client's pong to one of our pings; masking key and payload follow."""


class RoomState(NamedTuple):
    """A room's public text as Redis published it, and the frames made from it."""

    head: RoomVersion
    text: bytes
    frame: bytes
    ping: bytes
    """The ping whose pong is the receipt for this state."""
    frame_and_ping: bytes

    def replaces(self, other: "RoomState | None") -> bool:
        """Whether a receiver of both keeps this one: the higher version, or any other epoch."""
        return other is None or self.head.epoch != other.head.epoch or self.head.version > other.head.version

    def went_back(self, before: "RoomState") -> bool:
        """Whether Redis, read later, has lost `before`: a lower version, or another text under the same version."""
        same_epoch = self.head.epoch == before.head.epoch
        return same_epoch and self.head.version <= before.head.version and self.text != before.text


def room_state(text: bytes) -> RoomState:
    """The state in a room's public text. Raises msgspec.MsgspecError."""
    head = ROOM_VERSION.decode(text)
    return _state(head, text)


def counts(scope: str, number: int, text: bytes) -> RoomState:
    """The counts of a scope as a state whose version is `number`, so that a slow monitor skips to the newest too."""
    return _state(RoomVersion(scope, "", number, Status.LIVE), text)


def _state(head: RoomVersion, text: bytes) -> RoomState:
    frame, its_ping = text_frame(text), ping(head.epoch, head.version)
    return RoomState(head, text, frame, its_ping, frame + its_ping)


def text_frame(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def ping(epoch: str, version: int) -> bytes:
    """The ping frame whose payload stands for a version."""
    return Frame(Opcode.PING, ping_payload(epoch, version)).serialize(mask=False)


def ping_payload(epoch: str, version: int) -> bytes:
    """Eight bytes: the epoch's CRC32 and the version."""
    return _PING_PAYLOAD.pack(crc32(epoch.encode()), version & 0xFFFFFFFF)


def pong_payload(data: bytes) -> bytes | None:
    """The unmasked payload (RFC 6455, 5.3) of `data` if it is exactly one pong as long as ours; else None.

    Every receipt comes through here. A ServerProtocol for each would halve the speed.
    """
    if len(data) != 2 + 4 + _PING_PAYLOAD.size or data[:2] != _PONG_HEADER:
        return None
    return apply_mask(data[6:], data[2:6])


def reconnect(seconds: float) -> bytes:
    """The frame that asks a peer to reconnect in so many seconds."""
    return text_frame(msgspec.json.encode(Reconnect(round(seconds * 1000))))
