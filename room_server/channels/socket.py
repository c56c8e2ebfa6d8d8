"""The room socket: one connection, as uvicorn's `ws=` protocol class.

A socket has no task, timer or queue, and makes its control reader and its closing handshake only when it needs them.
`Writer` writes broadcasts straight to the kernel, and `Poller` reads receipts from it; under TLS the transport does
both. A peer that reads too slowly skips to the newest state.
"""

import time
from asyncio import BaseTransport, Protocol, Transport
from operator import attrgetter
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from room_server import problems
from room_server.channels import control, frames
from room_server.channels.control import ControlProtocol, ControlReader
from room_server.channels.frames import RoomState
from room_server.channels.handshake import Admission, caller_address, handshake
from room_server.channels.keepalive import Bucket, Deadlines, Due
from room_server.channels.subscribers import SubscriberGroup
from room_server.channels.writer import descriptor_of, write_one
from room_server.core.messages import Actor
from room_server.core.permissions import check_visible
from room_server.errors import CloseCode, Refusal


class RoomSocket(Protocol):
    """One connection: connecting, then open or refused, then closing, then gone."""

    __slots__ = ("_admission", "_answer", "_closing", "_config", "_confirmed", "_connections", "_deadlines",
                 "_group", "_reader", "_transport", "actor", "bucket", "descriptor", "requested", "sent")  # fmt: skip

    actor: Actor  # set when the handshake has passed its checks
    _transport: Transport
    descriptor: int  # for Writer and write(2); -1 if only the transport may write: TLS, behind, closing, gone
    heard_at = property(attrgetter("_deadlines.last_received"), doc="See Subscriber.")

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._admission: Admission = app_state["web"].admission
        self._config = config
        self._connections: set[Any] = server_state.connections
        self._deadlines = Deadlines()
        self._group: SubscriberGroup | None = None  # from when the handshake has passed until the connection is lost
        self._answer: bytes | None = None  # the 101, while the handshake waits for the room's first state
        self._reader: ControlReader | None = None  # made when the peer sends anything but a receipt
        self._closing: ControlProtocol | None = None  # set when a close frame is sent
        self.requested: RoomState | None = None  # the state whose receipt is outstanding
        self._confirmed: RoomState | None = None  # what the peer surely has: by its receipt, or from the handshake
        self.sent: RoomState | None = None  # the state that was written last
        self.bucket: Bucket | None = None  # see keepalive.Timed

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.descriptor = -1
        self._admission.hub.poller.remove(descriptor_of(self._transport), self)
        self._connections.discard(self)
        self._admission.timers.cancel(self)
        if self._group is not None:
            self._admission.hub.leave(self._group, self)
            self._admission.exit(self.actor)
            self._group = None

    def on_handshake(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Check the handshake that an HTTP parser has read, with header names in lower case; join its group."""
        request = handshake(method, target, headers)
        address = caller_address(self._transport, self._config, request) if self._admission.asks_for_addresses else ""
        try:
            admitted = self._admission.admit(request, address)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        self.actor, self._answer = admitted.actor, admitted.answer
        self._admission.enter(self.actor)
        self._group = self._admission.hub.group(admitted.group)
        if self._group.state is None:
            self._group.waiting.add(self)
        else:
            self.admit(self._group)

    def admit(self, group: SubscriberGroup) -> None:
        """Write the 101 answer and the group's state at once. To be called once, when the group has a state."""
        assert group.state is not None and self._answer is not None  # noqa: S101, PT018 - the hub calls it so
        try:
            check_visible(self.actor, group.name, group.state.head.status)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if self._transport.is_closing():
            return  # connection_lost follows
        self._deadlines.last_received = self._admission.clock()
        self._admission.hub.join(group, self)
        self._admission.answered["accepted"] += 1
        self._transport.set_write_buffer_limits(high=0)
        self.descriptor = descriptor_of(self._transport)
        if self.descriptor >= 0 and self._admission.hub.poller.add(self.descriptor, self):
            self._transport.pause_reading()
        self.sent = self._confirmed = group.state
        write_one(self, self._answer + group.state.frame)
        self._answer = None
        self._schedule(self._deadlines.last_received)

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP error and close the connection."""
        self._admission.answered[refusal.code] += 1
        control.write(self._transport, problems.raw(refusal))
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        deadlines, reader = self._deadlines, self._reader
        deadlines.last_received = now = self._admission.clock()
        deadlines.pinged = False
        if self._closing is not None:
            self._closing.receive(data, is_behind=self._deadlines.is_behind)
        elif self._answer is not None:
            self._transport.abort()  # a client sends nothing before its handshake is answered (RFC 6455, 4.1)
        elif self._group is None:
            return  # refused
        elif (reader is not None and reader.unread) or not self._take_receipt(frames.pong_payload(data), now):
            self._read(data, now)

    def eof_received(self) -> None:
        self._transport.close()

    def _take_receipt(self, payload: bytes | None, now: float) -> bool:
        """Whether this is the payload of the outstanding receipt. A state that was sent meanwhile is asked for next."""
        requested, group = self.requested, self._group
        if requested is None or group is None or payload != requested.ping[2:]:
            return False
        self.requested = None
        if requested is not self._confirmed:
            self._confirmed = requested
            group.count_receipt(requested, now)
        if self.sent is not requested and not self._deadlines.is_behind:
            self._ping()
        return True

    def _read(self, data: bytes, now: float) -> None:
        """Answer control frames; fail the connection for anything else, and for too many of them."""
        reader = self._reader = self._reader or ControlReader()
        read = reader.read(data)
        receipts = 1 if self._take_receipt(read.pong, now) else 0
        if read.pings:
            ControlProtocol(self._transport).receive(read.pings, is_behind=self._deadlines.is_behind)
        if read.fault is not None:
            self.close(read.fault, at_fault=True)
        elif reader.exceeds_rate(read.count - receipts, now):
            self.close(CloseCode.READ_ONLY, control.FLOOD, at_fault=True)
        elif read.close:
            closing = ControlProtocol(self._transport)
            closing.receive(read.close, is_behind=self._deadlines.is_behind)
            self._start_closing(closing)

    def push(self, state: RoomState) -> None:
        """Write the newest state; a peer that is behind gets it when it has caught up."""
        if self._deadlines.behind_since or self._closing is not None or self._group is None:
            return
        self.sent = state
        asks = self._group.receipts is not None and self.requested is None
        self.requested = state if asks else self.requested
        write_one(self, state.frame_and_ping if asks else state.frame)

    def write_rest(self, data: bytes, written: int) -> None:  # see writer.Peer
        control.write(self._transport, data[written:])

    def abort(self) -> None:  # see writer.Peer
        self._transport.abort()

    def _ping(self) -> None:
        """Send the ping of the outstanding receipt again, else that of the state that was written last."""
        self.requested = self.requested or self.sent
        if self.requested is not None:
            write_one(self, self.requested.ping)

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to reconnect in `seconds`; the socket is closed `closed_after` seconds later."""
        if self._group is None:
            return  # the connection is lost
        if self._closing is None and not self._deadlines.is_behind:
            control.write(self._transport, frames.reconnect(seconds))
        now = self._admission.clock()
        self._deadlines.close_at = now + seconds + closed_after
        self._schedule(now)

    def pause_writing(self) -> None:
        """Called by asyncio: bytes wait in the transport's buffer."""
        self.descriptor = -1
        self._deadlines.behind_since = self._admission.clock()
        if self._closing is None:  # the closing handshake has its own limit
            self._schedule(self._deadlines.behind_since)

    def resume_writing(self) -> None:
        """Called by asyncio: the transport's buffer is empty."""
        self._deadlines.behind_since = 0.0
        if self._group is None or self._closing is not None:
            return
        self.descriptor = descriptor_of(self._transport)
        if self._group.state is not None and self.sent is not self._group.state:
            self.push(self._group.state)
        elif self.requested is None and self.sent is not self._confirmed:
            self._ping()

    def on_timer(self, now: float) -> None:
        """Do what is due, and schedule the next look. Called by the timer wheel."""
        due = self._deadlines.due(now, self._admission.limits, self.actor.valid_for(time.time()))
        if self._closing is not None or due is Due.ABORT:
            self._transport.abort()
        elif isinstance(due, CloseCode):
            self.close(due)
        else:
            if due is Due.PING:
                self._deadlines.pinged = True
                self._ping()
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        at = self._deadlines.next_check(now, self._admission.limits, self.actor.valid_for(time.time()))
        self._admission.timers.schedule(self, at)

    def close(self, code: CloseCode, reason: str = "", *, at_fault: bool = False) -> None:
        """Start the closing handshake, or abort before the handshake is answered. See ControlProtocol.close."""
        if self._closing is not None:
            return
        if self._answer is not None or self._group is None:
            self._transport.abort()
            return
        closing = ControlProtocol(self._transport)
        closing.close(code, reason, at_fault=at_fault)
        self._start_closing(closing)

    def _start_closing(self, closing: ControlProtocol) -> None:
        """A close frame is sent: the timer cuts the connection off if the peer does not close it."""
        self._closing = closing
        self.descriptor = -1
        self._admission.timers.schedule(self, self._admission.clock() + self._admission.limits.gone_after)
        reader, self._reader = self._reader, None
        if reader is not None and reader.unread:
            closing.receive(reader.unread, is_behind=self._deadlines.is_behind)

    def shutdown(self) -> None:
        """Called by uvicorn when it stops: ask the peer to reconnect now, to another process."""
        self.close(CloseCode.RESTART)
        if self._deadlines.is_behind:
            self._transport.abort()  # its buffer would never be flushed
        self._transport.close()
