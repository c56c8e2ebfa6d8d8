"""RFC 6455 frames: those that the server sends, built once for everyone, and the few that a client may send."""

import struct
from typing import NamedTuple

import msgspec

from room_server.channels import receipts
from room_server.core.room import Status
from room_server.core.wire import ROOM_VERSION, Reconnect, RoomVersion
from room_server.errors import CloseCode

TEXT, CLOSE, CLIENT_PING, CLIENT_PONG = 0x81, 0x88, 0x89, 0x8A
"""First bytes of whole frames: final, no reserved bits."""
DATA = frozenset({0x0, 0x1, 0x2})
"""Opcodes of data frames: continuation, text, binary."""
MOST_CONTROLS = 20
"""Pings and pongs that a client may send at once, those that answer our pings not counted."""
MAX_CONTROL = 2 + 4 + 125
"""Bytes of the longest control frame that a client may send (RFC 6455, 5.5)."""


class RoomState(NamedTuple):
    """A room state as it goes out: the published bytes and the frame around them."""

    head: RoomVersion
    text: bytes
    frame: bytes
    ping: bytes
    """The ping whose pong is the receipt for this state."""

    def replaces(self, other: "RoomState | None") -> bool:
        """The highest version stands; another epoch always replaces."""
        return other is None or self.head.epoch != other.head.epoch or self.head.version > other.head.version

    def went_back(self, before: "RoomState") -> bool:
        """Whether Redis, read later, knows less than `before`: a lower version, or another room under the same one."""
        same_epoch = self.head.epoch == before.head.epoch
        return same_epoch and self.head.version <= before.head.version and self.text != before.text


def room_state(text: bytes) -> RoomState:
    """The state that a public text says. Raises msgspec.ValidationError."""
    head, frame = ROOM_VERSION.decode(text), text_frame(text)
    return RoomState(head, text, frame, receipts.ping(head.epoch, head.version))


def counts(scope: str, number: int, text: bytes) -> RoomState:
    """The counts as they go to the monitors of a scope: numbered, since the newest stands here too."""
    head = RoomVersion(scope, "", number, Status.LIVE)
    return RoomState(head, text, text_frame(text), receipts.ping("", number))


def text_frame(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return bytes((TEXT, size)) + text
    if size < 1 << 16:
        return struct.pack("!BBH", TEXT, 126, size) + text
    return struct.pack("!BBQ", TEXT, 127, size) + text


class ControlFrames(NamedTuple):
    """What a client's bytes say, as far as they are whole."""

    pings: bytes = b""
    """The pings, all of which are answered (an answer to the latest would do: RFC 6455, 5.5.3)."""
    pong: bytes = b""
    """The payload of the latest pong."""
    close: bytes = b""
    """The close frame and whatever stands behind it."""
    rest: bytes = b""
    """The beginning of a frame, or the frame that is at fault."""
    fault: CloseCode | None = None
    controls: int = 0
    """How many whole pings and pongs there were; reading ends with the first beyond MOST_CONTROLS."""


def read_control_frames(inbox: bytes) -> ControlFrames:
    """Read control frames; anything else is a fault as soon as it shows."""
    at, pings, pong, controls = 0, b"", b"", 0
    while at < len(inbox) and controls <= MOST_CONTROLS + 1:  # one of them may be our answer
        if fault := _fault(inbox[at], inbox[at + 1 : at + 2]):
            return ControlFrames(pings, pong, rest=inbox[at:], fault=fault, controls=controls)
        size = 6 + (inbox[at + 1] & 0x7F) if len(inbox) > at + 1 else 2
        if len(inbox) < at + size:
            break
        if inbox[at] == CLOSE:
            return ControlFrames(pings, pong, close=inbox[at:], controls=controls)
        if inbox[at] == CLIENT_PING:
            pings += inbox[at : at + size]
        elif inbox[at] == CLIENT_PONG:
            pong = receipts.pong(inbox[at : at + size]) or pong
        at += size
        controls += 1
    return ControlFrames(pings, pong, rest=inbox[at:], controls=controls)


def _fault(first: int, second: bytes) -> CloseCode | None:
    """What is wrong with a frame, by its first two bytes (RFC 6455, 5.2 and 5.5); the second may not be here yet."""
    if first & 0x7F in DATA:
        return CloseCode.READ_ONLY
    if first not in {CLOSE, CLIENT_PING, CLIENT_PONG} or (second and not 0x80 <= second[0] <= 0x80 + 125):
        return CloseCode.PROTOCOL_ERROR
    return None


def reconnect(seconds: float) -> bytes:
    """The frame that asks a peer to come back in so many seconds."""
    return text_frame(msgspec.json.encode(Reconnect(round(seconds * 1000))))
