"""A complete WebSocket handshake becomes a room socket; every other connection goes to BoundedHttp.

When thousands of clients reconnect at once they send nothing but handshakes, so each costs one C parser and the socket
itself: 10 µs of Python, against 32 µs through uvicorn's HTTP protocol. A handshake that arrives in pieces or follows
another request takes that way, and ends in the same `on_handshake`.
"""

import asyncio
import re
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

MAX_REQUEST_HEAD = 16 * 1024
"""Bytes of the request line and headers together, of a handshake as of any other request; BoundedHttp refuses more."""
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")


class UpgradeProtocol(asyncio.Protocol):
    """What uvicorn makes for each connection. `http` makes the protocol for all but whole handshakes."""

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
        self._release()

    def data_received(self, data: bytes) -> None:
        self._release()
        head = HandshakeHead.of(data)
        if head is None:
            self._hand_over(self._http).data_received(data)
        else:
            self._hand_over(self._config.ws_protocol_class).on_handshake(head.method, head.url, head.headers)

    def shutdown(self) -> None:
        """Called by uvicorn when it stops. No request has begun."""
        self._transport.close()

    def _release(self) -> None:
        self._deadline.cancel()
        self._server_state.connections.discard(self)

    def _hand_over(self, make: Any) -> Any:
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
        """The head when `data` is one whole handshake request and nothing else, else None."""
        if not data.startswith(b"GET ") or data.find(b"\r\n\r\n") != len(data) - 4 or len(data) > MAX_REQUEST_HEAD:
            return None
        head = cls()
        parser = httptools.HttpRequestParser(head)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head.method = parser.get_method()
            is_sound = upgrade.args[0] == len(data) and head_fault(parser, head.headers) is None
            return head if is_sound and asks_for_websocket(parser, head.headers) else None
        except httptools.HttpParserError:
            return None
        return None


def asks_for_websocket(parser: httptools.HttpRequestParser, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request asks for a WebSocket (RFC 6455, 4.2.1, items 1, 3 and 4).

    The parser has found `upgrade` among the options of `Connection` before.
    """
    protocols = [value.lower() for name, value in headers if name == b"upgrade"]
    return protocols == [b"websocket"] and parser.get_http_version() == "1.1"


def head_fault(parser: httptools.HttpRequestParser, headers: list[tuple[bytes, bytes]]) -> str | None:
    """What RFC 9112 (2.3, 3.2, 6.1) forbids in a head and llhttp accepts; None when it is sound.

    A proxy before this server might read such a head in another way, which is how requests are smuggled.
    """
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
    if has_body and parser.should_upgrade():  # llhttp would read the body as another protocol, or as the next request
        return "a request to upgrade has no body"
    return None
