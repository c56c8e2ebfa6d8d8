"""The room socket: read-only, on uvicorn's `ws=` protocol class, with nothing per connection but this object.

The handshake comes parsed; whatever the peer sends later is rare and gets a fresh sans-I/O protocol of websockets'.
A peer that reads too slowly skips to the newest state.
"""

import asyncio
from os import write
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_remote_addr, is_ssl
from uvicorn.server import ServerState

from room_server import problems, rate_limit
from room_server.channels import frames, receipts
from room_server.channels.closing import FLOOD, ClosingHandshake, open_protocol
from room_server.channels.frames import RoomState
from room_server.channels.handshake import AdmittedHandshake, Handshake, handshake
from room_server.channels.subscribers import SubscriberGroup
from room_server.core.permissions import check_visible
from room_server.errors import CloseCode, Refusal


class RoomSocket(ClosingHandshake, asyncio.Protocol):
    """One connection: connecting, then open or refused, then closing, then gone."""

    __slots__ = (
        "_answer",
        "_asked",
        "_config",
        "_connections",
        "_descriptor",
        "_group",
        "_receipted",
        "has",
    )

    has: RoomState | None
    """What was written last."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(app_state["web"].admission)
        self._config = config
        self._connections: set[Any] = server_state.connections
        self._group: SubscriberGroup | None = None
        self._answer: bytes | None = None
        """The handshake's 101, until the room is known."""
        self._asked: RoomState | None = None
        """The state whose receipt is outstanding."""
        self._receipted: RoomState | None = None
        """The state that the peer is known to have: by its receipt, or by the snapshot that let it in."""
        self.has = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._admission.timers.cancel(self)
        if self._group is not None:
            self._admission.hub.leave(self._group, self)
            self._admission.exit(self.actor)
            self._group = None
        if exc is None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._silent_since = self._loop.time()
        self._pinged = False
        if self._closing is not None:
            self._hear_out(self._closing, data)
        elif self._answer is not None:
            self._transport.abort()  # nobody may speak before the handshake is answered
        elif self._group is None:
            return  # refused
        elif (payload := receipts.pong(data)) is not None and not self._inbox:
            if not self._receipt(payload) and self.floods(1):
                self.fail(CloseCode.READ_ONLY, FLOOD)
        else:
            self._read(data)

    def on_handshake(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """The handshake, as an HTTP parser has read it; header names in lower case."""
        asked = handshake(method, target, headers)
        address = self._address(asked) if self._admission.asks_for_addresses else ""
        try:
            ticket, self._answer = self._admission.admit(asked, address)
        except Refusal as refusal:
            self.refuse(refusal)
        else:
            self._enter(ticket)

    def _address(self, asked: Handshake) -> str:
        """Who is calling; nothing for a connection that comes from no address."""
        peer, proxies = get_remote_addr(self._transport), getattr(self._config.loaded_app, "trusted_hosts", ())
        return rate_limit.address(peer[0], asked.headers.get("x-forwarded-for", ""), proxies) if peer else ""

    def _enter(self, ticket: AdmittedHandshake) -> None:
        self.actor = ticket.actor
        self._admission.enter(ticket.actor)
        self._group = self._admission.hub.group(ticket.group)
        self._group.waiting.add(self)
        if self._group.state is not None:
            self._group.waiting.discard(self)
            self.admit(self._group)

    def admit(self, group: SubscriberGroup) -> None:
        """The answer and the snapshot in one write; from here on the hub tells."""
        assert group.state is not None and self._answer is not None  # noqa: S101, PT018 - the hub's promise
        try:
            check_visible(self.actor, group.name, group.state.head.status)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if self._transport.is_closing():
            return  # its loss is about to be told
        self._admission.hub.join(group, self)
        self._admission.answered["accepted"] += 1
        self._transport.set_write_buffer_limits(high=0)
        self._descriptor = -1 if is_ssl(self._transport) else self._transport.get_extra_info("socket").fileno()
        self.has = self._receipted = group.state
        self._write(self._answer + group.state.frame)
        self._answer = None
        self._silent_since = self._loop.time()
        self._admission.timers.schedule(self, self._next(self._silent_since))

    def refuse(self, refusal: Refusal) -> None:
        """A plain HTTP answer, and the end of the connection."""
        self._admission.answered[refusal.code] += 1
        self.write(problems.raw(refusal))
        self._transport.close()

    def push(self, state: RoomState) -> None:
        """Write the newest state; a peer that is behind gets it when it has caught up."""
        if self._behind_since or self._closing is not None or self._group is None:
            return  # as _is_spoken_to and _write below, without the calls: this is done for every socket of a broadcast
        self.has = state
        frame = state.frame
        try:
            written = write(self._descriptor, frame)
        except OSError:
            written = 0  # the transport will find out why
        if written < len(frame):
            self.write(frame[written:])

    def request_receipt(self) -> None:
        """Ask for the receipt of what was written last, unless one is outstanding."""
        if self._asked is None and self.has is not self._receipted and self._is_spoken_to():
            self.ping()

    def _is_spoken_to(self) -> bool:
        return not self._behind_since and self._closing is None and self._group is not None

    def _write(self, data: bytes) -> None:
        """Straight to the kernel; the transport, in which nothing waits while nobody is behind, gets what is left."""
        try:
            written = write(self._descriptor, data)
        except OSError:
            written = 0  # the transport will find out why
        if written < len(data):
            self.write(data[written:])

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to come back elsewhere in `seconds`; `closed_after` that the socket is closed."""
        if self._group is None:
            return  # gone meanwhile
        if self._is_spoken_to():
            self.write(frames.reconnect(seconds))
        self._leaves_at = self._loop.time() + seconds + closed_after
        self._admission.timers.schedule(self, self._next(self._loop.time()))

    def on_drained(self) -> None:
        if self._group is not None and self._group.state is not None and self.has is not self._group.state:
            self.push(self._group.state)

    def ping(self) -> None:
        """Keepalive and receipt in one; what was asked before is asked again."""
        self._asked = self._asked or self.has
        if self._asked is not None:
            self._write(self._asked.ping)

    def is_admitted(self) -> bool:
        return self._answer is None and self._group is not None

    def _receipt(self, payload: bytes) -> bool:
        """The peer has what it was asked for; a state that went out meanwhile is asked for next. False: not asked."""
        asked, group = self._asked, self._group
        if asked is None or group is None or payload != asked.ping[2:]:
            return False
        self._asked = None
        if asked is not self._receipted:
            self._receipted = asked
            group.receive(asked, self._loop.time())
        if self.has is not asked and not self._behind_since:
            self.ping()
        return True

    def _read(self, data: bytes) -> None:
        """Whole control frames go to the library; anything else is refused as soon as it shows."""
        heard = frames.read_control_frames(self._inbox + data)
        self._inbox = heard.rest
        answers = bool(heard.pong) and self._receipt(heard.pong)
        if heard.pings:
            self._feed(open_protocol(), heard.pings)
        if heard.fault is not None:
            self.fail(heard.fault)
        elif self.floods(heard.controls - answers):
            self.fail(CloseCode.READ_ONLY, FLOOD)
        elif heard.close:
            self._feed(open_protocol(), heard.close)
