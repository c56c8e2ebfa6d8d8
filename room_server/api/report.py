"""`GET /webinars/{id}/report`: what became of a webinar, for who runs it."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from room_server import webinar_report
from room_server.api import responses
from room_server.api.attendance import AttendanceAccess
from room_server.shared_read import SharedRead
from room_server.state.store import Store

FRESH_SECONDS = 5.0
"""How old a report may be: it reads every lead of its webinar."""
KEPT = 8
"""Reports that are kept at most."""
HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization"}


class Reports:
    """The endpoint."""

    def __init__(self, store: Store, access: AttendanceAccess) -> None:
        self._store = store
        self._access = access
        self._shared = SharedRead(self._read, FRESH_SECONDS, most=KEPT)

    async def answer(self, request: Request) -> Response:
        """The report of one webinar. Raises Refusal."""
        await self._access.check(request)
        return responses.json(await self._shared.get(request.path_params["webinar_id"]), headers=HEADERS)

    async def _read(self, webinar_id: str) -> bytes:
        return msgspec.json.encode(await webinar_report.report(self._store, webinar_id))
