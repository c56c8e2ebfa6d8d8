"""RFC 6455 frames that the server sends, built once for everyone."""

import struct
from typing import NamedTuple

import msgspec
from msgspec import Struct

from room_server.core.room import Status

TEXT = 0x81
CLOSE = 0x88
PING = b"\x89\x00"


class Head(Struct, frozen=True):
    """What the hub needs to know of a room state."""

    webinar_id: str
    epoch: str
    version: int
    status: Status


class RoomState(NamedTuple):
    """A room state as it goes out: the published bytes and the frame around them."""

    head: Head
    text: bytes
    frame: bytes

    def replaces(self, other: "RoomState | None") -> bool:
        """The highest version stands; another epoch always replaces."""
        return other is None or self.head.epoch != other.head.epoch or self.head.version > other.head.version


_HEAD = msgspec.json.Decoder(Head)


def room_state(text: bytes) -> RoomState:
    """The state that a public text says. Raises msgspec.ValidationError."""
    return RoomState(_HEAD.decode(text), text, text_frame(text))


def text_frame(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return bytes((TEXT, size)) + text
    if size < 1 << 16:
        return struct.pack("!BBH", TEXT, 126, size) + text
    return struct.pack("!BBQ", TEXT, 127, size) + text


def close_frame(code: int, reason: str) -> bytes:
    """A close frame; the reason is a short word of ours (RFC 6455, 5.5.1)."""
    payload = struct.pack("!H", code) + reason.encode()[:123]
    return bytes((CLOSE, len(payload))) + payload
