"""uvicorn's HTTP protocol with a deadline and a size limit for each request; uvicorn's settings for this product."""

import asyncio
import logging
import os
import socket
from enum import Enum, auto
from functools import partial
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from room_server import problems, rate_limit
from room_server.errors import BadInput, Refusal
from room_server.protocols.one_write import OneWrite
from room_server.protocols.upgrade import MAX_REQUEST_HEAD, UpgradeProtocol, asks_for_websocket, head_fault

SEND_BUFFER = 64 * 1024
"""Bytes that the kernel buffers for a peer that does not read."""
MAX_REQUEST = 1024 * 1024
"""Bytes of one request that are read at all. It also bounds what no handler reads, such as trailers."""
LINGER_SECONDS = 2.0
"""How long a refused caller may go on sending: a connection closed with bytes unread is reset, and loses the answer."""
GRACEFUL_SHUTDOWN_SECONDS = 5
"""How long uvicorn waits for answers under way once the sockets have left."""

_logger = logging.getLogger("room_server.http")
_logger.setLevel(logging.ERROR)  # requests that cannot be parsed are not logged


class Phase(Enum):
    """What the connection receives next."""

    IDLE = auto()
    """The first byte of a request."""
    HEAD = auto()
    BODY = auto()
    OVER = auto()
    """Bytes that are ignored: the caller was refused, or the connection has become a room socket."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the bounds that it lacks. The parser calls the `on_` methods while it is fed."""

    request_seconds = 10.0
    """How long a request may take to arrive, from when the connection opens, or from the request's first byte."""
    reading_seconds = 60.0
    """How long a caller may not read its answer before the connection is aborted."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.logger = _logger
        self._phase = Phase.IDLE
        self._received = 0  # bytes since the last request was complete
        self._request_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None
        self._start_request_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_request_timer()
        self._stop_reading_timer()
        self._unset_keepalive_if_required()  # uvicorn keeps its timer, and so itself in memory, if the caller broke off
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.OVER:
            return
        self._received += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(len(data) - upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(BadInput("malformed_request", "this is no HTTP/1.1"))
        if self._phase is Phase.BODY and self._received > MAX_REQUEST:
            self._refuse(BadInput("body_too_large", f"a request has at most {MAX_REQUEST} bytes, chunk sizes included"))
        elif self._phase is not Phase.BODY and self._received > MAX_REQUEST_HEAD:
            self._refuse(_head_too_large())
        has_begun = self._phase in {Phase.HEAD, Phase.BODY} or (self._phase is Phase.IDLE and self._received)
        if has_begun and self._request_timer is None:  # most requests come whole, and need no timer
            self._start_request_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._phase is not Phase.OVER:
            self._phase = Phase.HEAD
            self._stop_request_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is Phase.HEAD:  # trailers are ignored (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._phase is Phase.OVER:
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_REQUEST_HEAD:
            self._refuse(_head_too_large())
        elif fault := head_fault(self.parser, self.headers):
            self._refuse(BadInput("malformed_request", fault))
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
        self._received = 0
        self._stop_request_timer()
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:  # before its body came: uvicorn's timer is off
            self._start_request_timer()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if cycle.scope["method"] != "HEAD":
            cycle.transport = OneWrite(self.transport)
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return asks_for_websocket(self.parser, self.headers)

    def _upgrade(self, rest: int) -> None:
        """Hand the connection over to a room socket. The parser stopped at this request; `rest` bytes follow it."""
        if self._phase is Phase.OVER:
            return
        websocket = self._should_upgrade()
        if websocket and (rest or self._is_answering()):
            self._refuse(BadInput("malformed_request", "a handshake comes behind the last answer, alone"))
            return
        self._stop_request_timer()
        self._phase = Phase.OVER
        if not websocket:  # any other upgrade is ignored (RFC 9110, 7.8), and so is what follows the request
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
        self._reading_timer = self.loop.call_later(self.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reading_timer()
        super().resume_writing()

    def _start_request_timer(self) -> None:
        self._stop_request_timer()
        self._request_timer = self.loop.call_later(self.request_seconds, self._on_request_timeout)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _on_request_timeout(self) -> None:
        self._request_timer = None
        if self._phase is Phase.IDLE:
            self.transport.close()
        else:
            self._refuse(BadInput("request_timeout", f"a request has {self.request_seconds:g} seconds to arrive"))

    def _is_answering(self) -> bool:
        """Whether a request has arrived whole and its answer has not been sent."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and close. A complete request before this one still gets its own answer; then there is no other."""
        if self._phase is Phase.OVER:
            return
        answered = self._phase is Phase.BODY and self.cycle.response_complete
        self._phase = Phase.OVER
        self._stop_request_timer()
        if answered and not self.transport.is_closing():
            self._linger()
        if answered or self._is_answering():
            self.cycle.keep_alive = False
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:  # the application is told `http.disconnect`
            cycle.disconnected = True
            cycle.message_event.set()
        if self.pipeline or (cycle is not None and cycle.response_started and not cycle.response_complete):
            self.transport.close()  # another answer has begun, or is due before this one
        elif not self.transport.is_closing():
            self.transport.write(problems.raw(refusal))
            self._linger()

    def _linger(self) -> None:
        """End our side, and discard what still comes until the peer closes, too, or LINGER_SECONDS have passed."""
        self.transport.write_eof()
        self.flow.resume_reading()
        self._request_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def _head_too_large() -> Refusal:
    return BadInput("head_too_large", f"a request's head has at most {MAX_REQUEST_HEAD} bytes")


def uvicorn_config(app: ASGIApp | str, http: type[BoundedHttp] = BoundedHttp, **more: Any) -> uvicorn.Config:
    """The settings of uvicorn. `app` is an application or, as `module:name`, a factory; `more` are further settings."""
    listed = more.pop("forwarded_allow_ips", None) or os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
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
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        backlog=4096,
        forwarded_allow_ips=rate_limit.trusted_proxies(listed),
        http=partial(UpgradeProtocol, http),  # type: ignore[arg-type] # uvicorn calls it to make a protocol
        **more,
    )


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, also on an address whose last holder has just closed it. Raises OSError when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only when the protocol is given as TCP; else an answer waits 40 ms for an ACK
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # inherited by accepted connections
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(True)
    return listening
