"""uvicorn as this product runs it: our socket class, and HTTP requests that have a deadline and a size."""

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from room_server import problems
from room_server.errors import BadInput, Refusal

REQUEST_SECONDS = 10.0
"""From a connection's first moment, or a request's first byte, until all of it is here."""
MAX_HEAD = 16 * 1024
"""Bytes of the request line and headers together."""
GOODBYE_SECONDS = 5


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the bounds that it lacks: slow or endless requests are cut off."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head = 0
        self._done = False
        self._deadline: asyncio.TimerHandle | None = None
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._start_clock()
        in_head = self.cycle is None or self.cycle.response_complete
        super().data_received(data)
        if in_head and not self._done and (self.cycle is None or self.cycle.response_complete):
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self._refuse(BadInput("head_too_large", f"a request's head has at most {MAX_HEAD} bytes"))

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._head = 0
        if size > MAX_HEAD:
            self._refuse(BadInput("head_too_large", f"a request's head has at most {MAX_HEAD} bytes"))
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._done:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_clock()
        if not self._done:
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_clock()
        if not self._done:
            self._done = True  # the connection is another protocol's now
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed is answered like every other refusal."""
        self._refuse(BadInput("malformed_request", msg))

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(BadInput("request_timeout", f"a request has {REQUEST_SECONDS:g} seconds to arrive"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, unless an answer is under way; the application hears that its caller is gone."""
        self._done = True
        self._stop_clock()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(problems.raw(refusal))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def uvicorn_config(app: ASGIApp | str, **more: Any) -> uvicorn.Config:
    """Uvicorn's settings for this product; `app` may name a factory."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        http=BoundedHttp,
        ws="room_server.channels.socket:RoomSocket",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        backlog=4096,
        **more,
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening address that was just left can be taken at once. Raises OSError when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(True)
    return listening
