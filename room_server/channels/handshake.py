"""What a socket's handshake is checked for before its room is looked up. Refusals are plain HTTP answers.

Order: address, origin, subprotocol, who is calling, role and webinar, room for one more.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote

from msgspec import Struct
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from room_server.channels.hub import Hub
from room_server.channels.wheel import Wheel
from room_server.config import Settings
from room_server.core.messages import Actor
from room_server.core.permissions import Reading, check_read
from room_server.errors import BadInput, Forbidden, Refusal, TooManyRequests, Unauthenticated, Unknown
from room_server.limits import Throttle

SUBPROTOCOL = "room.v1"
BEARER = "room.bearer."
PING_AFTER = 25.0
"""Seconds of silence before a ping."""
GONE_AFTER = 20.0
"""Seconds that a ping, or a goodbye, may stay unanswered."""
_PATH = re.compile(r"/rooms/([^/]+)/socket")
_PORTS = {"http": ":80", "https": ":443"}


QUIET = logging.getLogger("room_server.websockets")
QUIET.setLevel(logging.CRITICAL)  # a peer's nonsense is its own trouble, not a line in our log


class Ticket(Struct, frozen=True):
    """A handshake that may go on: who, and to which room."""

    actor: Actor
    webinar_id: str


class Door:
    """What every socket of this process is made with, and how many are in."""

    def __init__(self, settings: Settings, hub: Hub, wheel: Wheel, authenticate: Callable[[str], Actor]) -> None:
        self.hub = hub
        self.wheel = wheel
        self.stall_seconds = settings.stall_seconds
        self.ping_after, self.gone_after = PING_AFTER, GONE_AFTER
        self.total = 0
        self.draining = False
        """SIGTERM was heard: nobody is let in any more."""
        self.persons: Counter[str] = Counter()
        self._authenticate = authenticate
        self._origins = settings.origins()
        self._max_sockets = settings.max_sockets
        self._max_per_person = settings.max_sockets_per_person
        self._throttle = Throttle(settings.max_handshakes, settings.max_handshakes)

    def _check_serving(self) -> None:
        if self.draining:
            refusal = Refusal("draining", "this process is going away; another one takes you")
            refusal.headers = {"Retry-After": "1"}
            raise refusal

    def shake_hands(self, data: bytes) -> tuple[Ticket, bytes]:
        """The ticket of a handshake request, and the 101 that answers it. Raises Refusal."""
        protocol = ServerProtocol(subprotocols=[Subprotocol(SUBPROTOCOL)], logger=QUIET)
        protocol.receive_data(data)
        requests = [event for event in protocol.events_received() if isinstance(event, Request)]
        if not requests:
            raise BadInput("malformed_request", str(protocol.handshake_exc or "this is no handshake"))
        self._check_serving()
        ticket = self.check(requests[0])
        response = protocol.accept(requests[0])
        if response.status_code != 101:
            raise BadInput("malformed_request", response.body.decode().strip(), status=response.status_code)
        return ticket, response.serialize()

    def check(self, request: Request) -> Ticket:
        """The handshake's ticket. Raises Refusal."""
        found = _PATH.fullmatch(unquote(request.path.partition("?")[0]))
        if found is None:
            raise Unknown("not_found", "there is no socket at this address")
        self._check_origin(request.headers)
        offered = [word.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol")
                   for word in value.split(",")]  # fmt: skip
        if SUBPROTOCOL not in offered:
            raise BadInput("subprotocol_unsupported", f"offer the subprotocol {SUBPROTOCOL}")
        actor = self._authenticate(_token(offered, request.headers))
        check_read(actor, Reading.ROOM, found[1])
        self._check_room_for(actor)
        return Ticket(actor, found[1])

    def _check_origin(self, headers: Headers) -> None:
        """A request without Origin is no browser. Raises Forbidden."""
        origins = headers.get_all("Origin")
        if not origins:
            return
        origin = origins[0].lower()
        scheme, _, host = origin.partition("://")
        own = {host.lower().removesuffix(_PORTS.get(scheme, "")) for host in headers.get_all("Host")}
        if len(origins) > 1 or (origin not in self._origins and (scheme not in _PORTS or not host or host not in own)):
            raise Forbidden("forbidden_origin", f"the origin {origins[0]} may not open sockets here")

    def _check_room_for(self, actor: Actor) -> None:
        self._throttle_all()
        if self._max_sockets and self.total >= self._max_sockets:
            raise _full("this process holds all the sockets it may")
        if self._max_per_person and self.persons[person(actor)] >= self._max_per_person:
            raise _full(f"one person may hold {self._max_per_person} sockets here")

    def _throttle_all(self) -> None:
        try:
            self._throttle.check("")
        except TooManyRequests as slower:
            raise _full("too many handshakes a second", slower.headers["Retry-After"]) from None

    def enter(self, actor: Actor) -> None:
        """Count a socket in."""
        self.total += 1
        self.persons[person(actor)] += 1

    def exit(self, actor: Actor) -> None:
        """Count a socket out; nobody who is gone is remembered."""
        self.total -= 1
        self.persons[person(actor)] -= 1
        if not self.persons[person(actor)]:
            del self.persons[person(actor)]


def person(actor: Actor) -> str:
    """Whose sockets are counted together."""
    return f"{actor.role}:{actor.subject}"


def _token(offered: list[str], headers: Headers) -> str:
    """From a browser the token is a second subprotocol; anything else can send the usual header."""
    for word in offered:
        if word.startswith(BEARER):
            return word.removeprefix(BEARER)
    for value in headers.get_all("Authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    raise Unauthenticated(f"offer the token as a second subprotocol {BEARER}<token>, or as Authorization: Bearer")


def _full(detail: str, retry_after: str = "5") -> Refusal:
    refusal = Refusal("too_many_sockets", detail)
    refusal.headers = {"Retry-After": retry_after}
    return refusal
