"""The checks of a socket's handshake before its room is looked up. Refusals are plain HTTP answers.

Order: draining, rate by address, path, origin, subprotocol, token, role and webinar, limits on sockets, then the
WebSocket headers. `protocols` has checked before that a handshake has no body and is not too large.
"""

import logging
import re
from asyncio import Transport, get_running_loop
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from uvicorn.config import Config
from uvicorn.protocols.utils import get_remote_addr
from websockets.utils import accept_key

from room_server import rate_limit
from room_server.channels.hub import Hub
from room_server.channels.keepalive import Limits, TimerWheel
from room_server.channels.subscribers import counts_group
from room_server.config import Settings
from room_server.core.messages import Actor
from room_server.core.permissions import Reading, check_read
from room_server.core.wire import BEARER, SUBPROTOCOL, bearer_token
from room_server.errors import BadInput, Forbidden, Refusal, TooManyRequests, Unauthenticated, Unknown
from room_server.rate_limit import Throttle

logger = logging.getLogger(__name__)

WARNED_SECONDS = 600
"""Between two warnings of the same person's sockets."""
_ROOM_PATH = re.compile(r"/rooms/([^/]+)/socket")
_COUNTS_PATH = "/monitor/socket"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
"""Base64 of sixteen bytes."""


class Handshake(Struct, frozen=True):
    """A request to open a socket. Header names are in lower case; values of repeated headers are joined by commas."""

    method: str
    target: str
    headers: dict[str, str]


class AdmittedHandshake(Struct, frozen=True):
    """A handshake that passed: who opens the socket, the name of its group, and the 101 answer."""

    actor: Actor
    group: str
    answer: bytes


def handshake(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Handshake:
    """The request that an HTTP parser has read, with header names in lower case."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Handshake(method.decode("latin-1"), target.decode("latin-1"), joined)


def caller_address(transport: Transport, config: Config, request: Handshake) -> str:
    """The caller's address, behind the proxies that uvicorn's configuration trusts; empty on a Unix socket."""
    peer, proxies = get_remote_addr(transport), getattr(config.loaded_app, "trusted_hosts", ())
    return rate_limit.address(peer[0], request.headers.get("x-forwarded-for", ""), proxies) if peer else ""


class Admission:
    """Admits sockets and counts those of this process; every socket is made with it. Its limits are per process.

    `authenticate` gives the actor of a token, or raises Unauthenticated.
    """

    def __init__(self, settings: Settings, hub: Hub, timers: TimerWheel, authenticate: Callable[[str], Actor]) -> None:
        self.hub = hub
        self.timers = timers
        self.limits = Limits(settings.stall_seconds)
        self.total = 0
        """Sockets whose handshake passed, those that still wait for their room included."""
        self.draining = False
        """Set by SIGTERM: nobody is admitted any more."""
        self.persons: Counter[str] = Counter()
        """Sockets by `Actor.person`."""
        self.answered: Counter[str] = Counter()
        """Handshakes by result: `accepted`, or the refusal's code."""
        self.refused_to_persons = 0
        """Handshakes that were refused because the person held as many sockets as it may."""
        self.asks_for_addresses = settings.max_requests_per_address > 0
        """Whether `admit` needs the caller's address."""
        self._authenticate = authenticate
        self._origins = settings.origins()
        self._max_sockets = settings.max_sockets
        self._max_per_person = settings.max_sockets_per_person
        self._throttle = Throttle(settings.max_handshakes, settings.max_handshakes)
        self._warnings = Throttle(1 / WARNED_SECONDS, 1)
        self._per_address = Throttle(settings.max_requests_per_address, 2 * settings.max_requests_per_address)

    @cached_property
    def clock(self) -> Callable[[], float]:
        """The clock of the event loop that the sockets run on, in seconds."""
        return get_running_loop().time

    def admit(self, request: Handshake, address: str = "") -> AdmittedHandshake:
        """Check everything but the room itself. Raises Refusal. The caller must `enter` the actor."""
        if self.draining:
            raise _retry_after("draining", "this process is going away; another one takes you", "1")
        if address:
            _check_rate(self._per_address, address)
        path = request.target.partition("?")[0]
        path = unquote_to_bytes(path).decode(errors="replace") if "%" in path else path
        found = _ROOM_PATH.fullmatch(path)
        if found is None and path != _COUNTS_PATH:
            raise Unknown("not_found", "there is no socket at this address")
        headers = request.headers
        if "origin" in headers:  # every browser sends it
            self._check_origin(headers["origin"], headers.get("host", ""))
        offered = [offer.strip() for offer in headers.get("sec-websocket-protocol", "").split(",")]
        if SUBPROTOCOL not in offered:
            raise BadInput("subprotocol_unsupported", f"offer the subprotocol {SUBPROTOCOL}")
        actor = self._authenticate(_token(offered, headers))
        check_read(actor, Reading.ROOM if found else Reading.COUNTS, found[1] if found else None)
        self._check_limits(actor)
        return AdmittedHandshake(actor, found[1] if found else counts_group(actor.webinar_id), _accept(request))

    def _check_origin(self, given: str, host: str) -> None:
        """Accept the allowed origins and the request's own host; two joined origins are neither. Raises Forbidden."""
        origin = given.lower()
        scheme, _, origin_host = origin.partition("://")
        own_host = host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))
        is_own = scheme in _DEFAULT_PORTS and origin_host == own_host != ""
        if origin not in self._origins and not is_own:
            raise Forbidden("forbidden_origin", f"the origin {given} may not open sockets here")

    def _check_limits(self, actor: Actor) -> None:
        _check_rate(self._throttle, "")
        if self._max_sockets and self.total >= self._max_sockets:
            raise _retry_after("too_many_sockets", "this process holds all the sockets it may", "5")
        if self._max_per_person and self.persons[actor.person] >= self._max_per_person:
            self._tell_of(actor)
            detail = f"one person may hold {self._max_per_person} sockets of this process"
            raise _retry_after("too_many_sockets", detail, "5")

    def _tell_of(self, actor: Actor) -> None:
        """Count and log that a person is in more places than a person can be."""
        self.refused_to_persons += 1
        with suppress(TooManyRequests):
            self._warnings.check(actor.person)
            logger.warning(
                "%s holds %d sockets of this process and wants more: either its link was passed on, or a page cache "
                "serves one person's room to everybody, who are then counted as one (docs/site.md, \"Page caches\")",
                actor.person, self._max_per_person,
            )  # fmt: skip

    def enter(self, actor: Actor) -> None:
        """Count a socket in."""
        self.total += 1
        self.persons[actor.person] += 1

    def exit(self, actor: Actor) -> None:
        """Count a socket out."""
        self.total -= 1
        self.persons[actor.person] -= 1
        if not self.persons[actor.person]:
            del self.persons[actor.person]


def _check_rate(throttle: Throttle, caller: str) -> None:
    try:
        throttle.check(caller)
    except TooManyRequests as error:
        raise _retry_after("too_many_sockets", "too many handshakes a second", error.headers["Retry-After"]) from None


def _token(offered: list[str], headers: dict[str, str]) -> str:
    """The token in the offered subprotocols, else in the Authorization header. Raises Unauthenticated."""
    for offer in offered:
        if offer.startswith(BEARER):
            return offer.removeprefix(BEARER)
    token = bearer_token(headers.get("authorization", ""))
    if token is not None:
        return token
    raise Unauthenticated(f"offer the token as a second subprotocol {BEARER}<token>, or as Authorization: Bearer")


def _accept(request: Handshake) -> bytes:
    """The 101 answer (RFC 6455, 4.2.2), without extensions. Raises BadInput for what 4.2.1 does not allow."""
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    if request.method != "GET":
        raise BadInput("method_not_allowed", "a handshake is a GET request")
    if headers.get("sec-websocket-version") != "13":
        raise BadInput("malformed_request", "Sec-WebSocket-Version is to be 13")
    if not _KEY.fullmatch(key):
        raise BadInput("malformed_request", "Sec-WebSocket-Key is to be sixteen bytes in base64")
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    ).encode()


def _retry_after(code: str, detail: str, seconds: str) -> Refusal:
    refusal = Refusal(code, detail)
    refusal.headers = {"Retry-After": seconds}
    return refusal
