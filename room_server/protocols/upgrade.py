"""A connection's first bytes: a whole handshake becomes a room socket at once, anything else is HTTP's business.

A crowd that comes back sends nothing but handshakes; each costs one C parser and the socket itself. One that arrives in
pieces, or behind another request, goes through server.BoundedHttp to the same `greet`.
"""

import asyncio
import re
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

MAX_HANDSHAKE_HEAD = 8192
"""Bytes of a handshake that goes this way; a larger one is refused on the other."""
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")


class UpgradeProtocol(asyncio.Protocol):
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
        head = HandshakeHead.of(data)
        if head is None:
            self._turn_into(self._http).data_received(data)
        else:
            self._turn_into(self._config.ws_protocol_class).on_handshake(head.method, head.url, head.headers)

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


class HandshakeHead:
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
    def of(cls, data: bytes) -> "HandshakeHead | None":
        """The head of a request to open a WebSocket that `data` is, wholly and only."""
        if not data.startswith(b"GET ") or data.find(b"\r\n\r\n") != len(data) - 4 or len(data) > MAX_HANDSHAKE_HEAD:
            return None
        head = cls()
        parser = httptools.HttpRequestParser(head)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head.method = parser.get_method()
            sound = upgrade.args[0] == len(data) and fault(parser, head.headers) is None
            return head if sound and asks_for_websocket(parser, head.headers) else None
        except httptools.HttpParserError:
            return None
        return None


def asks_for_websocket(parser: httptools.HttpRequestParser, headers: list[tuple[bytes, bytes]]) -> bool:
    """RFC 6455, 4.2.1, items 1, 3 and 4; llhttp has seen `upgrade` among the connection's options."""
    asked = [value.lower() for name, value in headers if name == b"upgrade"]
    return asked == [b"websocket"] and parser.get_http_version() == "1.1"


def fault(parser: httptools.HttpRequestParser, headers: list[tuple[bytes, bytes]]) -> str | None:
    """What RFC 9112 forbids in a head and llhttp lets through (2.3, 3.2, 6.1): two readers would not agree on it."""
    version, hosts, has_body = parser.get_http_version(), [], False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            has_body = value.strip(b" 0") != b""
        elif name == b"transfer-encoding":
            has_body = True
            if value.strip().lower() != b"chunked" or version != "1.1":
                return "the one transfer coding is chunked, in HTTP/1.1"
    if version not in {"1.1", "1.0"}:
        return "this server speaks HTTP/1.1"
    if len(hosts) > 1 or (version == "1.1" and not hosts) or not all(map(_HOST.fullmatch, hosts)):
        return "a request has one Host, and it is an authority"
    if has_body and parser.should_upgrade():  # llhttp would take the body for another protocol, or the next request
        return "a request to upgrade has no body"
    return None
