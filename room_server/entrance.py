"""A connection's first bytes: a whole handshake becomes a room socket at once, anything else is HTTP's business.

A crowd that comes back sends nothing but handshakes; each costs one C parser and the socket itself. One that arrives in
pieces, or behind another request, goes through server.BoundedHttp to the same `greet`.
"""

import asyncio
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

MAX_HEAD = 8192
"""Bytes of a handshake that goes this way; a larger one is refused on the other."""


class Entrance(asyncio.Protocol):
    """Stands where uvicorn puts its HTTP protocol; `http` makes the one that takes over."""

    __slots__ = ("_app_state", "_config", "_deadline", "_http", "_server_state", "_transport")

    _transport: asyncio.Transport
    _deadline: asyncio.TimerHandle

    def __init__(self, http: Any, config: Config, server_state: ServerState, **more: Any) -> None:
        self._http = http
        self._config = config
        self._server_state = server_state
        self._app_state: dict[str, Any] = more["app_state"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # all that uvicorn calls is `shutdown`
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._http.request_seconds, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        self._leave()
        head = Head.of(data)
        if head is None:
            self._turn_into(self._http).data_received(data)
        else:
            self._turn_into(self._config.ws_protocol_class).greet(head.method, head.url, head.headers)

    def shutdown(self) -> None:
        """Uvicorn goes down, and nothing was asked here."""
        self._transport.close()

    def _leave(self) -> None:
        self._deadline.cancel()
        self._server_state.connections.discard(self)

    def _turn_into(self, make: Any) -> Any:
        protocol = make(config=self._config, server_state=self._server_state, app_state=self._app_state)
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        return protocol


class Head:
    """What llhttp reads of a handshake request; header names in lower case."""

    __slots__ = ("headers", "method", "url")

    def __init__(self) -> None:
        self.method = b""
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    @classmethod
    def of(cls, data: bytes) -> "Head | None":
        """The head of a request to open a WebSocket that `data` is, wholly and only."""
        if not data.startswith(b"GET ") or not data.endswith(b"\r\n\r\n") or len(data) > MAX_HEAD:
            return None
        head = cls()
        parser = httptools.HttpRequestParser(head)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head.method = parser.get_method()
            return head if upgrade.args[0] == len(data) and head.asks_for_websocket() else None
        except httptools.HttpParserError:
            return None
        return None

    def asks_for_websocket(self) -> bool:
        """RFC 6455, 4.2.1, items 3 and 4; llhttp has seen `upgrade` among the connection's options."""
        return [value.lower() for name, value in self.headers if name == b"upgrade"] == [b"websocket"]
