"""The room socket: read-only, on uvicorn's `ws=` protocol class, with nothing per connection but this object.

The handshake is checked and answered with websockets' sans-I/O ServerProtocol, which is then dropped; whatever the
peer sends later is rare and gets a fresh one. A peer that reads too slowly skips to the newest state.
"""

import asyncio
import contextlib
import os
import socket as sockets
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import is_ssl
from uvicorn.server import ServerState
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from room_server import problems
from room_server.channels import frames, receipts
from room_server.channels.frames import RoomState
from room_server.channels.handshake import QUIET, Ticket
from room_server.channels.hub import Crowd
from room_server.channels.vigil import Vigil
from room_server.core.permissions import check_visible
from room_server.errors import CLOSE_CODES, CloseCode, Refusal

SEND_BUFFER = 64 * 1024
"""Bytes that the kernel keeps for a peer that does not read."""


class RoomSocket(Vigil, asyncio.Protocol):
    """One connection: connecting, then open or refused, then closing, then gone."""

    __slots__ = (
        "_answer",
        "_asked",
        "_closing",
        "_connections",
        "_crowd",
        "_descriptor",
        "_inbox",
        "_receipted",
        "has",
    )

    has: RoomState | None
    """What was written last."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(app_state["door"])
        self._connections: set[Any] = server_state.connections
        self._crowd: Crowd | None = None
        self._answer: bytes | None = None
        """The handshake's 101, until the room is known."""
        self._asked: RoomState | None = None
        """The state whose receipt is outstanding."""
        self._receipted: RoomState | None = None
        """The state that the peer is known to have: by its receipt, or by the snapshot that let it in."""
        self._closing: ServerProtocol | None = None
        self._inbox = b""
        self.has = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._door.wheel.drop(self)
        if self._crowd is not None:
            self._door.hub.leave(self._crowd, self)
            self._door.exit(self.actor)
            self._crowd = None
        if exc is None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._silent_since = self._loop.time()
        self._pinged = False
        if self._closing is not None:
            self._feed(self._closing, data)
        elif self._crowd is None and self._answer is None:
            self._shake_hands(data)
        elif self._answer is not None:
            self._transport.abort()  # nobody may speak before the handshake is answered
        elif (payload := receipts.pong(data)) is not None and not self._inbox:
            self._receipt(payload)
        else:
            self._read(data)

    def _shake_hands(self, data: bytes) -> None:
        try:
            ticket, self._answer = self._door.shake_hands(data)
        except Refusal as refusal:
            self.refuse(refusal)
        else:
            self._enter(ticket)

    def _enter(self, ticket: Ticket) -> None:
        self.actor = ticket.actor
        self._door.enter(ticket.actor)
        self._crowd = self._door.hub.crowd(ticket.webinar_id)
        self._crowd.waiting.add(self)
        if self._crowd.state is not None:
            self._crowd.waiting.discard(self)
            self.admit(self._crowd)

    def admit(self, crowd: Crowd) -> None:
        """The answer and the snapshot in one write; from here on the hub tells."""
        assert crowd.state is not None and self._answer is not None  # noqa: S101, PT018 - the hub's promise
        try:
            check_visible(self.actor, crowd.webinar_id, crowd.state.head.status)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        self._door.hub.join(crowd, self)
        self._transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(OSError):  # the peer may be gone by now
            self._transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER)
        self._descriptor = -1 if is_ssl(self._transport) else self._transport.get_extra_info("socket").fileno()
        self.has = self._receipted = crowd.state
        self._transport.write(self._answer + crowd.state.frame)
        self._answer = None
        self._silent_since = self._loop.time()
        self._door.wheel.put(self, self._next(self._silent_since))

    def refuse(self, refusal: Refusal) -> None:
        """A plain HTTP answer, and the end of the connection."""
        self._transport.write(problems.raw(refusal))
        self._transport.close()

    def push(self, state: RoomState) -> None:
        """Write the newest state; a peer that is behind gets it when it has caught up."""
        if self._is_spoken_to():
            self.has = state
            self._write(state.frame)

    def ask(self) -> None:
        """Ask for the receipt of what was written last, unless one is outstanding."""
        if self._asked is None and self.has is not self._receipted and self._is_spoken_to():
            self.ping()

    def _is_spoken_to(self) -> bool:
        return not self._behind_since and self._closing is None and self._crowd is not None

    def _write(self, data: bytes) -> None:
        """Straight to the kernel; the transport, whose buffer is empty while nobody is behind, gets what is left."""
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0  # the transport will find out why
        if written < len(data):
            self._transport.write(data[written:])

    def farewell(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to come back elsewhere in `seconds`; `closed_after` that the socket is closed."""
        if self._closing is None and not self._behind_since:
            self._transport.write(frames.reconnect(seconds))
        self._leaves_at = self._loop.time() + seconds + closed_after
        self._door.wheel.put(self, self._next(self._loop.time()))

    def caught_up(self) -> None:
        if self._crowd is not None and self._crowd.state is not None and self.has is not self._crowd.state:
            self.push(self._crowd.state)

    def ping(self) -> None:
        """Keepalive and receipt in one; what was asked before is asked again."""
        self._asked = self._asked or self.has
        if self._asked is not None:
            self._write(self._asked.ping)

    def is_closing(self) -> bool:
        return self._closing is not None

    def _receipt(self, payload: bytes) -> None:
        """The peer has what it was asked for; a state that went out meanwhile is asked for next."""
        asked, crowd = self._asked, self._crowd
        if asked is None or crowd is None or payload != asked.ping[2:]:
            return
        self._asked = None
        if asked is not self._receipted:
            self._receipted = asked
            crowd.receive(asked, self._loop.time())
        if self.has is not asked and not self._behind_since:
            self.ping()

    def _read(self, data: bytes) -> None:
        """Whole control frames go to the library; anything else is refused as soon as it shows."""
        heard = frames.heard(self._inbox + data)
        self._inbox = heard.rest
        if heard.pong:
            self._receipt(heard.pong)
        if heard.ping:
            self._feed(_open_protocol(), heard.ping)
        if heard.fault is not None:
            self.close(heard.fault)
        elif heard.close:
            self._feed(_open_protocol(), heard.close)

    def _feed(self, protocol: ServerProtocol, data: bytes) -> None:
        """Let the library answer: pongs, the closing handshake, what is wrong inside a close frame."""
        protocol.receive_data(data)
        protocol.events_received()
        output = b"".join(protocol.data_to_send())
        if output and (protocol.close_rcvd or not self._behind_since):  # no pongs are kept for who does not read
            self._transport.write(output)
        if protocol.close_expected() and self._closing is None:
            self._say_goodbye(protocol)
        if protocol.eof_sent and not self._transport.is_closing():
            self._end()

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake with the code's own word."""
        if self._closing is not None:
            return
        if self._answer is not None or self._crowd is None:
            self._transport.abort()
            return
        protocol = _open_protocol()
        protocol.send_close(code, CLOSE_CODES[code][1])
        self._transport.write(b"".join(protocol.data_to_send()))
        self._say_goodbye(protocol)

    def _say_goodbye(self, protocol: ServerProtocol) -> None:
        """A close frame is out: wait for the peer's, but not for ever."""
        self._closing = protocol
        self._door.wheel.put(self, self._loop.time() + self._door.gone_after)
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


def _open_protocol() -> ServerProtocol:
    return ServerProtocol(state=OPEN, max_size=frames.MAX_CONTROL, logger=QUIET)
