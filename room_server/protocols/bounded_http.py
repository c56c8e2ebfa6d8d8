"""uvicorn as this product runs it: our socket class, and HTTP requests that have a deadline and a size."""

import asyncio
import logging
import socket
from enum import Enum, auto
from functools import partial
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from room_server import problems
from room_server.errors import BadInput, Refusal
from room_server.protocols.upgrade import UpgradeProtocol, asks_for_websocket, fault

SEND_BUFFER = 64 * 1024
"""Bytes that the kernel keeps for a peer that does not read."""
MAX_REQUEST_HEAD = 16 * 1024
"""Bytes of the request line and headers together."""
MAX_REQUEST = 1024 * 1024
"""Bytes of one request that are read at all: what no handler asks for, such as trailers, is bounded too."""
LINGER_SECONDS = 2.0
"""How long a refused caller may go on sending: a connection that is closed on unread bytes takes its answer along."""
GOODBYE_SECONDS = 5

_logger = logging.getLogger("room_server.http")
_logger.setLevel(logging.ERROR)  # what cannot be parsed is its sender's trouble, not a line in our log


class Phase(Enum):
    """What the next byte belongs to."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()
    """Nobody: the caller was refused, or the connection is a room socket's now."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the bounds that it lacks: slow or endless requests are cut off."""

    request_seconds = 10.0
    """From a connection's first moment, or a request's first byte, until all of it is here."""
    reading_seconds = 60.0
    """How long a caller may leave its answer lying."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.logger = _logger
        self._phase = Phase.IDLE
        self._head = 0
        """Bytes since the last request was whole."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._stop_waiting()
        self._unset_keepalive_if_required()  # uvicorn leaves it running, and itself in memory, when a caller broke off
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.OVER:
            return
        if self._deadline is None:
            self._start_clock()
        self._head += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(len(data) - upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(BadInput("malformed_request", "this is no HTTP/1.1"))
        if self._head > (MAX_REQUEST if self._phase is Phase.BODY else MAX_REQUEST_HEAD):
            self._refuse(_head_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not Phase.OVER:
            self._phase = Phase.HEAD
            self._start_clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is Phase.HEAD:  # a trailer is nobody's header (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._phase is Phase.OVER:
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_REQUEST_HEAD:
            self._refuse(_head_too_large())
        elif wrong := fault(self.parser, self.headers):
            self._refuse(BadInput("malformed_request", wrong))
        else:
            super().on_headers_complete()
            self._phase = Phase.BODY

    def on_body(self, body: bytes) -> None:
        if self._phase is not Phase.OVER:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.OVER:
            return
        self._phase = Phase.IDLE
        self._head = 0
        self._stop_clock()
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:  # answered early: uvicorn's clock was stopped
            self._start_clock()

    def _should_upgrade(self) -> bool:
        return asks_for_websocket(self.parser, self.headers)

    def _upgrade(self, behind: int) -> None:
        """The parser stops at a request to upgrade, `behind` bytes before the end of what came."""
        if self._phase is Phase.OVER:
            return
        websocket = self._should_upgrade()
        if websocket and (behind or self._is_answering()):
            self._refuse(BadInput("malformed_request", "a handshake comes behind the last answer, alone"))
            return
        self._stop_clock()
        self._phase = Phase.OVER
        if not websocket:  # an upgrade to something else is ignored (RFC 9110, 7.8), and so is what comes behind it
            self.cycle.keep_alive = False
            return
        self.connections.discard(self)
        make: Any = self.ws_protocol_class
        room_socket = make(self.config, self.server_state, self.app_state)
        room_socket.connection_made(self.transport)
        self.transport.set_protocol(room_socket)
        room_socket.on_handshake(self.parser.get_method(), self.url, self.headers)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.request_seconds, self._late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _late(self) -> None:
        self._deadline = None
        if self._phase is Phase.IDLE:
            self.transport.close()
        else:
            self._refuse(BadInput("request_timeout", f"a request has {self.request_seconds:g} seconds to arrive"))

    def _is_answering(self) -> bool:
        """Whether a request that is wholly here still waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and hang up. A whole request before this one gets its own answer, and the caller no other."""
        if self._phase is Phase.OVER:
            return
        answered = self._phase is Phase.BODY and self.cycle.response_complete
        self._phase = Phase.OVER
        self._stop_clock()
        if answered and not self.transport.is_closing():
            self._linger()
        if answered or self._is_answering():
            self.cycle.keep_alive = False
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:  # the application hears that its caller is gone
            cycle.disconnected = True
            cycle.message_event.set()
        if self.pipeline or (cycle is not None and cycle.response_started and not cycle.response_complete):
            self.transport.close()  # another answer is under way, or comes first
        elif not self.transport.is_closing():
            self.transport.write(problems.raw(refusal))
            self._linger()

    def _linger(self) -> None:
        self.transport.write_eof()
        self.flow.resume_reading()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def _head_too_large() -> Refusal:
    return BadInput("head_too_large", f"a request's head has at most {MAX_REQUEST_HEAD} bytes")


def uvicorn_config(app: ASGIApp | str, http: type[BoundedHttp] = BoundedHttp, **more: Any) -> uvicorn.Config:
    """Uvicorn's settings for this product; `app` may name a factory."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        ws="room_server.channels.socket:RoomSocket",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        backlog=4096,
        http=partial(UpgradeProtocol, http),  # type: ignore[arg-type] # whatever makes a protocol
        **more,
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening address that was just left can be taken at once. Raises OSError when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it reads TCP: without it an answer waits 40 ms for an ACK
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # every accepted one inherits it
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(True)
    return listening
