"""`GET /webinars/{id}/report`: what became of a webinar, for who runs it."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from room_server import webinar_report
from room_server.api import responses
from room_server.api.attendance import caller
from room_server.auth import Authenticator
from room_server.core.messages import Role
from room_server.core.permissions import Reading, check_read
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state.store import Store

FRESH_SECONDS = 5.0
"""How old a report may be: it reads every lead of its webinar."""
KEPT = 8
"""Reports that are kept at most."""
HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization"}


class Reports:
    """The endpoint. A person may ask `per_person` times a second, in bursts of four times as many.

    `system` has no limit.
    """

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)
        self._shared = SharedRead(self._read, FRESH_SECONDS, most=KEPT)

    async def answer(self, request: Request) -> Response:
        """The report of one webinar. Raises Refusal."""
        webinar_id = request.path_params["webinar_id"]
        actor = await caller(self._store, self._authenticator, request)
        check_read(actor, Reading.ATTENDANCE, webinar_id)
        if actor.role is not Role.SYSTEM:
            self._throttle.check(actor.person)
        return responses.json(await self._shared.get(webinar_id), headers=HEADERS)

    async def _read(self, webinar_id: str) -> bytes:
        return msgspec.json.encode(await webinar_report.report(self._store, webinar_id))
