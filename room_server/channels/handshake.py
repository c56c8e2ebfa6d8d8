"""What a socket's handshake is checked for before its room is looked up. Refusals are plain HTTP answers.

Order: how often from there, address, origin, subprotocol, who is calling, role and webinar, room for one more.
That a handshake has no body was checked before (protocols.upgrade.head_fault).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from websockets.utils import accept_key

from room_server.channels.hub import Hub
from room_server.channels.subscribers import counts_group
from room_server.channels.timer_wheel import TimerWheel
from room_server.config import Settings
from room_server.core.messages import Actor
from room_server.core.permissions import Reading, check_read
from room_server.core.wire import BEARER, SUBPROTOCOL, bearer_token
from room_server.errors import BadInput, Forbidden, Refusal, TooManyRequests, Unauthenticated, Unknown
from room_server.rate_limit import Throttle

PING_AFTER = 25.0
"""Seconds of silence before a ping."""
GONE_AFTER = 20.0
"""Seconds that a ping, or a goodbye, may stay unanswered."""
MAX_HANDSHAKE_HEADERS = 8192
"""Bytes of a handshake's headers together."""
_PATH = re.compile(r"/rooms/([^/]+)/socket")
_COUNTS = "/monitor/socket"
_PORTS = {"http": ":80", "https": ":443"}
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
"""Base64 of sixteen bytes."""


class Handshake(Struct, frozen=True):
    """A request to open a socket, its headers by lower-case name; those that came twice are joined by commas."""

    method: str
    target: str
    headers: dict[str, str]


class AdmittedHandshake(Struct, frozen=True):
    """A handshake that may go on: who, and to which crowd."""

    actor: Actor
    group: str


def handshake(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Handshake:
    """The request that an HTTP parser has read; header names in lower case."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Handshake(method.decode("latin-1"), target.decode("latin-1"), joined)


class Admission:
    """What every socket of this process is made with, and how many are in. Its limits know of no other process."""

    def __init__(self, settings: Settings, hub: Hub, timers: TimerWheel, authenticate: Callable[[str], Actor]) -> None:
        self.hub = hub
        self.timers = timers
        self.stall_seconds = settings.stall_seconds
        self.ping_after, self.gone_after = PING_AFTER, GONE_AFTER
        self.total = 0
        self.draining = False
        """SIGTERM was heard: nobody is let in any more."""
        self.persons: Counter[str] = Counter()
        """Open sockets by `Actor.person`."""
        self.answered: Counter[str] = Counter()
        """Handshakes by what came of them: `accepted`, or the refusal's code."""
        self._authenticate = authenticate
        self._origins = settings.origins()
        self._max_sockets = settings.max_sockets
        self._max_per_person = settings.max_sockets_per_person
        self._throttle = Throttle(settings.max_handshakes, settings.max_handshakes)
        self._per_address = Throttle(settings.max_requests_per_address, 2 * settings.max_requests_per_address)
        self.asks_for_addresses = settings.max_requests_per_address > 0

    def _check_serving(self) -> None:
        if self.draining:
            refusal = Refusal("draining", "this process is going away; another one takes you")
            refusal.headers = {"Retry-After": "1"}
            raise refusal

    def admit(self, request: Handshake, address: str = "") -> tuple[AdmittedHandshake, bytes]:
        """The ticket of a handshake request, and the 101 that answers it. Raises Refusal."""
        self._check_serving()
        if address:
            self._throttle_by(self._per_address, address)
        ticket = self.check(request)
        return ticket, _accepted(request)

    def check(self, request: Handshake) -> AdmittedHandshake:
        """The handshake's ticket. Raises Refusal."""
        path = request.target.partition("?")[0]
        path = unquote_to_bytes(path).decode(errors="replace") if "%" in path else path
        found = _PATH.fullmatch(path)
        if found is None and path != _COUNTS:
            raise Unknown("not_found", "there is no socket at this address")
        headers = request.headers
        if "origin" in headers:  # a request without it is no browser
            self._check_origin(headers["origin"], headers.get("host", ""))
        offered = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
        if SUBPROTOCOL not in offered:
            raise BadInput("subprotocol_unsupported", f"offer the subprotocol {SUBPROTOCOL}")
        actor = self._authenticate(_token(offered, headers))
        check_read(actor, Reading.ROOM if found else Reading.COUNTS, found[1] if found else None)
        self._check_room_for(actor)
        return AdmittedHandshake(actor, found[1] if found else counts_group(actor.webinar_id))

    def _check_origin(self, given: str, host: str) -> None:
        """The own host, or one that is allowed; several are none. Raises Forbidden."""
        origin = given.lower()
        scheme, _, named = origin.partition("://")
        own = host.lower().removesuffix(_PORTS.get(scheme, ""))
        if origin not in self._origins and (scheme not in _PORTS or not named or named != own):
            raise Forbidden("forbidden_origin", f"the origin {given} may not open sockets here")

    def _check_room_for(self, actor: Actor) -> None:
        self._throttle_by(self._throttle, "")
        if self._max_sockets and self.total >= self._max_sockets:
            raise _full("this process holds all the sockets it may")
        if self._max_per_person and self.persons[actor.person] >= self._max_per_person:
            raise _full(f"one person may hold {self._max_per_person} sockets of this process")

    def _throttle_by(self, throttle: Throttle, who: str) -> None:
        try:
            throttle.check(who)
        except TooManyRequests as slower:
            raise _full("too many handshakes a second", slower.headers["Retry-After"]) from None

    def enter(self, actor: Actor) -> None:
        """Count a socket in."""
        self.total += 1
        self.persons[actor.person] += 1

    def exit(self, actor: Actor) -> None:
        """Count a socket out; nobody who is gone is remembered."""
        self.total -= 1
        self.persons[actor.person] -= 1
        if not self.persons[actor.person]:
            del self.persons[actor.person]


def _token(offered: list[str], headers: dict[str, str]) -> str:
    """From a browser the token is a second subprotocol; anything else can send the usual header."""
    for word in offered:
        if word.startswith(BEARER):
            return word.removeprefix(BEARER)
    token = bearer_token(headers.get("authorization", ""))
    if token is not None:
        return token
    raise Unauthenticated(f"offer the token as a second subprotocol {BEARER}<token>, or as Authorization: Bearer")


def _accepted(request: Handshake) -> bytes:
    """The 101 (RFC 6455, 4.2.2); no extension is agreed on. Raises BadInput, which says what is wrong (4.2.1)."""
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    if request.method != "GET":
        raise BadInput("method_not_allowed", "a handshake is a GET request")
    if sum(map(len, headers.values())) > MAX_HANDSHAKE_HEADERS:
        raise BadInput("malformed_request", f"a handshake's headers have at most {MAX_HANDSHAKE_HEADERS} bytes")
    if headers.get("sec-websocket-version") != "13":
        raise BadInput("malformed_request", "Sec-WebSocket-Version is to be 13")
    if not _KEY.fullmatch(key):
        raise BadInput("malformed_request", "Sec-WebSocket-Key is to be sixteen bytes in base64")
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    ).encode()


def _full(detail: str, retry_after: str = "5") -> Refusal:
    refusal = Refusal("too_many_sockets", detail)
    refusal.headers = {"Retry-After": retry_after}
    return refusal
