"""What clients send: control frames (RFC 6455, 5.5), and the closing handshake (7.1).

Browsers send receipts only, which the socket takes by itself (frames.pong_payload), so these objects are made for few
sockets. `ControlReader` splits and checks what comes; websockets' sans-I/O ServerProtocol reads the frames that passed,
and answers them. It could not check by itself: it refuses data only when the frame is complete, and as too big (1009)
rather than as forbidden (1008), and it would read a megabyte of pings to the end.
"""

import asyncio
import logging

from msgspec import Struct
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from room_server.channels.frames import pong_payload
from room_server.errors import CLOSE_CODES, CloseCode

_FINAL = 0x80
"""The first bit of an unfragmented frame."""
_DATA = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})
_CONTROL = frozenset(_FINAL | opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))
"""First bytes of lawful control frames: unfragmented, no reserved bits."""
MAX_BURST = 20
"""Pings and pongs that a client may send at once; receipts do not count."""
MAX_PER_SECOND = 20.0
"""Pings and pongs that a client may keep sending; receipts do not count."""
MAX_CONTROL_FRAME = 2 + 4 + 125
"""Bytes of a client's longest control frame: header, masking key, payload."""
MAX_CLOSING_READ = 1024
"""Bytes of one read during the closing handshake: pongs under way and the peer's close frame need no more."""
FLOOD = "too_many_control_frames"
"""The reason in the close frame for a client that exceeds the rate."""

_logger = logging.getLogger("room_server.websockets")
_logger.setLevel(logging.CRITICAL)  # malformed frames are not logged: any client can send them


class ControlFrames(Struct):
    """The whole frames of one read."""

    pings: bytes = b""
    """All pings as they came. Each is answered, although the latest alone would do (RFC 6455, 5.5.3)."""
    pong: bytes = b""
    """The payload of the latest pong that may be a receipt."""
    close: bytes = b""
    """The close frame and everything behind it."""
    fault: CloseCode | None = None
    """Why the connection must be failed; the frames before the faulty one are in the other fields."""
    count: int = 0
    """How many pings and pongs there were."""


class ControlReader:
    """Splits what one client sends into control frames, and limits how many it may send."""

    __slots__ = ("_allowed_at", "unread")

    def __init__(self) -> None:
        self.unread = b""
        """The beginning of a frame, or what stands behind a fault or a flood."""
        self._allowed_at = 0.0
        """When the frames so far would have come at MAX_PER_SECOND (the theoretical arrival time of GCRA)."""

    def read(self, data: bytes) -> ControlFrames:
        """The whole frames of what was unread and `data`, up to the first close frame or fault.

        It also stops at two frames more than MAX_BURST: one may be a receipt, and the other makes it a flood.
        """
        inbox, at, found = self.unread + data, 0, ControlFrames()
        while at < len(inbox) and found.count < MAX_BURST + 2:
            first, second = inbox[at], inbox[at + 1 : at + 2]
            found.fault = _fault(first, second)
            end = at + (6 + (second[0] & 0x7F) if second else 2)
            if found.fault is not None or end > len(inbox):
                break
            if first == _FINAL | Opcode.CLOSE:
                found.close, at = inbox[at:], len(inbox)
                break
            if first == _FINAL | Opcode.PING:
                found.pings += inbox[at:end]
            else:
                found.pong = pong_payload(inbox[at:end]) or found.pong
            at = end
            found.count += 1
        self.unread = inbox[at:]
        return found

    def exceeds_rate(self, count: int, now: float) -> bool:
        """Count so many frames at `now` (seconds of a monotonic clock); whether that is too many."""
        self._allowed_at = max(self._allowed_at, now) + count / MAX_PER_SECOND
        return self._allowed_at - now > MAX_BURST / MAX_PER_SECOND


def _fault(first: int, second: bytes) -> CloseCode | None:
    """What is wrong with a frame by its first two bytes (RFC 6455, 5.2 and 5.5); the second may be missing yet."""
    if first & 0x7F in _DATA:
        return CloseCode.READ_ONLY
    if first not in _CONTROL or (second and not 0x80 <= second[0] <= 0x80 + 125):
        return CloseCode.PROTOCOL_ERROR
    return None


class ControlProtocol:
    """websockets' ServerProtocol on the transport of one open connection: answers pings, and closes.

    Once `is_closing`, the caller passes everything that it receives to `receive`, and sends nothing itself.
    """

    __slots__ = ("_protocol", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._protocol = ServerProtocol(state=OPEN, max_size=MAX_CONTROL_FRAME, logger=_logger)

    def is_closing(self) -> bool:
        """Whether a close frame was sent."""
        return self._protocol.close_expected()

    def close(self, code: CloseCode, reason: str, *, at_fault: bool) -> None:
        """Send a close frame, without a reason with the code's own (errors.CLOSE_CODES).

        Nothing more is read from a peer `at_fault`, and the connection is half-closed at once (RFC 6455, 7.1.7).
        """
        send = self._protocol.fail if at_fault else self._protocol.send_close
        send(code, reason or CLOSE_CODES[code][1])
        write(self._transport, b"".join(self._protocol.data_to_send()))
        self._end_if_over()

    def receive(self, data: bytes, *, is_behind: bool) -> None:
        """Answer the frames in `data`. A peer that `is_behind` in reading gets no pongs: they would fill the buffer."""
        protocol = self._protocol
        if self.is_closing() and not protocol.eof_sent and len(data) > MAX_CLOSING_READ:
            self._transport.abort()
            return
        protocol.receive_data(data)
        protocol.events_received()
        answer = b"".join(protocol.data_to_send())
        if answer and (protocol.close_rcvd or not is_behind):
            write(self._transport, answer)
        self._end_if_over()

    def _end_if_over(self) -> None:
        """Half-close after the last frame, so that the peer can read our close frame before it closes too."""
        if not self._protocol.eof_sent or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS
            self._transport.close()


def write(transport: asyncio.Transport, data: bytes) -> None:
    """Write, unless the connection is closing already: uvloop's transports would raise."""
    if not transport.is_closing():
        transport.write(data)
