"""`GET /links`: the token of a short link. The page `/r/<code>` asks for it, and goes to the room with it.

The code comes in a header, which nobody logs. Who guesses is refused: misses are counted by address.
"""

import time

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server import auth
from room_server.api import responses
from room_server.config import Settings
from room_server.core.messages import Role, WebinarId
from room_server.errors import Unknown
from room_server.rate_limit import Throttle
from room_server.state import short_links
from room_server.state.store import Store

HEADER = "Link-Code"
MISSES = 5
"""Wrong codes a second that an address may ask for; in bursts of four times as many."""


class Link(Struct, frozen=True):
    """What a short link leads to: the webinar, and a token for it."""

    webinar_id: WebinarId
    token: str


class Links:
    """The endpoint."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._can_issue = bool(settings.token_secrets()) and not settings.token_public_key
        self._misses = Throttle(MISSES, 4 * MISSES)

    async def answer(self, request: Request) -> Response:
        """The token of the code in the header. Raises Unknown, TooManyRequests, StateUnavailable.

        An address that has asked for too many wrong codes is refused before anything is looked up.
        """
        address = request.client.host if request.client else ""
        self._misses.check_without_counting(address)
        found = await short_links.find(self._store, request.headers.get(HEADER, "")) if self._can_issue else None
        if found is None:
            self._misses.check(address)
            raise Unknown("not_found", f"no link has the code in the header {HEADER}, or it has ended")
        webinar_id, claims = found
        said = {"sub": str(claims.lead_id), "role": Role.ATTENDEE, "webinar_id": webinar_id}
        return responses.json(Link(webinar_id, auth.issue(self._settings, said, claims.exp - int(time.time()))))
