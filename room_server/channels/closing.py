"""How one socket ends: the closing handshake, from either side, and what a peer at fault is told.

The words are websockets' sans-I/O ServerProtocol's. A peer at fault is told so and not listened to any more; one that
only leaves, or is asked to, has time for its own close frame and for nothing else.
"""

import logging
from abc import abstractmethod

from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from room_server.channels import frames
from room_server.channels.handshake import Admission
from room_server.channels.keepalive import Deadlines
from room_server.errors import CLOSE_CODES, CloseCode

QUIET = logging.getLogger("room_server.websockets")
QUIET.setLevel(logging.CRITICAL)  # a peer's nonsense is its own trouble, not a line in our log
FLOOD = "too_many_control_frames"
LAST_WORDS = 1024
"""Bytes at once that are read of a peer in its closing handshake: pongs under way, and its close frame."""


class ClosingHandshake(Deadlines):
    """The end of one socket. A closing one is looked at once more, `gone_after` later, and cut off."""

    __slots__ = ("_closing", "_inbox")

    def __init__(self, admission: Admission) -> None:
        super().__init__(admission)
        self._closing: ServerProtocol | None = None
        self._inbox = b""
        """The beginning of a frame."""

    @abstractmethod
    def is_admitted(self) -> bool:
        """Whether the handshake was answered, so that frames may be sent."""

    def is_closing(self) -> bool:
        return self._closing is not None

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Start the closing handshake, with the code's own word unless a better one is given."""
        if self._closing is not None:
            return
        if not self.is_admitted():
            self._transport.abort()
            return
        protocol = open_protocol()
        protocol.send_close(code, reason or CLOSE_CODES[code][1])
        self.write(b"".join(protocol.data_to_send()))
        self._say_goodbye(protocol)

    def fail(self, code: CloseCode, reason: str = "") -> None:
        """The peer is at fault: close, and read nothing more (RFC 6455, 7.1.7)."""
        self._inbox = b""
        self.close(code, reason)
        if self._closing is not None:
            self._closing.fail(code)
            self._feed(self._closing, b"")

    def _hear_out(self, protocol: ServerProtocol, data: bytes) -> None:
        """What comes while the socket closes."""
        if len(data) > LAST_WORDS and not protocol.eof_sent:
            self._transport.abort()
        else:
            self._feed(protocol, data)

    def _feed(self, protocol: ServerProtocol, data: bytes) -> None:
        """Let the library answer: pongs, the closing handshake, what is wrong inside a close frame."""
        protocol.receive_data(data)
        protocol.events_received()
        output = b"".join(protocol.data_to_send())
        if output and (protocol.close_rcvd or not self._behind_since):  # no pongs are kept for who does not read
            self.write(output)
        if protocol.close_expected() and self._closing is None:
            self._say_goodbye(protocol)
        if protocol.eof_sent and not self._transport.is_closing():
            self._end()

    def _say_goodbye(self, protocol: ServerProtocol) -> None:
        """A close frame is out: wait for the peer's, but not for ever."""
        self._closing = protocol
        self._admission.timers.schedule(self, self._loop.time() + self._admission.gone_after)
        unread, self._inbox = self._inbox, b""
        if unread:
            self._feed(protocol, unread)

    def _end(self) -> None:
        """Half-close, so that the peer can read our close frame before it closes too."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def shutdown(self) -> None:
        """Uvicorn goes down: the peer is told to come back now, to another process."""
        self.close(CloseCode.RESTART)
        if self._behind_since:
            self._transport.abort()  # who does not read keeps nobody waiting
        self._transport.close()


def open_protocol() -> ServerProtocol:
    """The library's half of an open connection, made anew for the rare bytes that it is to read."""
    return ServerProtocol(state=OPEN, max_size=frames.MAX_CONTROL, logger=QUIET)
