"""`GET /webinars/{id}/attendance`: who came, in pages of JSON, or the whole as a stream of CSV.

Pages need the sorted list of all lead ids, which Redis does not keep. A long list is read at most every LISTED_SECONDS,
so a walk through all pages costs about as much as the stream.
"""

import logging
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from room_server import attendance_report
from room_server.api import responses
from room_server.attendance_report import AttendanceRow
from room_server.auth import Authenticator, is_signed
from room_server.core.messages import MAX_LEAD_ID, Actor, LeadId, Role, WebinarId
from room_server.core.permissions import Reading, check_read, check_visible
from room_server.errors import BadInput, Refusal
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state import idempotency
from room_server.state.idempotency import StoredAnswer
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

PAGE = 1000
"""Leads in a page at most, and unless the caller asks for fewer."""
SHORT = 10_000
"""Leads up to which their list is read for each page."""
LISTED_SECONDS = 5.0
"""How old the list of a webinar with more leads may be."""
LISTS = 8
"""Lists that are kept at most; one needs 8 bytes a lead."""
HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization, Accept"}
CSV = "text/csv; charset=utf-8; header=present"
"""The media type (RFC 4180, 3)."""


class AttendancePage(Struct, frozen=True):
    """Some leads, ascending by id. `next` is what to ask for as `after` next; null when these are the last."""

    webinar_id: WebinarId
    leads: list[AttendanceRow]
    next: LeadId | None


class Asked(NamedTuple):
    """Which page is asked for: at most `limit` leads, those behind the lead `after`."""

    after: int
    limit: int


class CsvStream(StreamingResponse):
    """CSV of unknown length. If its rows cannot be read to the end, it breaks off, and the connection is closed.

    The last chunk is missing then (RFC 9112, 7.1), so the caller does not take what it has for the whole.
    """

    async def stream_response(self, send: Send) -> None:
        """Send the head and all rows, or what there was of them."""
        try:
            await super().stream_response(send)
        except Refusal as refusal:
            logger.warning("a stream of attendance broke off: %s", refusal)


class AttendanceAccess:
    """Who may read who came, and how often: a person `per_person` times a second, in bursts of four times as many.

    `system` has no limit.
    """

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)

    async def check(self, request: Request) -> Actor:
        """The caller, who may read of the webinar in the address. Raises Refusal."""
        actor = await self._caller(request)
        check_read(actor, Reading.ATTENDANCE, request.path_params["webinar_id"])
        if actor.role is not Role.SYSTEM:
            self._throttle.check(actor.person)
        return actor

    async def _caller(self, request: Request) -> Actor:
        """The caller, by a token or by a signature over an empty body. Raises Unauthenticated, StateUnavailable.

        No signature covers the address, so an id that was used for one address is refused for any other.
        """
        if not is_signed(request.headers):
            return self._authenticator.bearer(request.headers)
        actor = self._authenticator.signed(request.headers, b"")
        reading = StoredAnswer(idempotency.digest(request.scope["path"], b""), b"")
        await idempotency.remember(self._store, request.headers["webhook-id"], reading)
        return actor


class Attendance:
    """The endpoint."""

    def __init__(self, store: Store, access: AttendanceAccess) -> None:
        self._store = store
        self._access = access
        self._lists = SharedRead(self._list, LISTED_SECONDS, most=LISTS)

    async def answer(self, request: Request) -> Response:
        """A page, or all as CSV. Raises Refusal."""
        webinar_id = request.path_params["webinar_id"]
        actor = await self._access.check(request)
        asked = None if prefers_csv(request.headers.getlist("accept")) else asked_for(request.query_params)
        room = (await self._store.load(webinar_id)).room
        check_visible(actor, webinar_id, room.status if room else None)
        leads = await self._leads(webinar_id)
        if asked is None:
            return self._stream(webinar_id, [] if request.method == "HEAD" else leads)
        return responses.json(await self._page(webinar_id, leads, asked), headers=HEADERS)

    async def _leads(self, webinar_id: str) -> Sequence[int]:
        """All leads, ascending."""
        keys = self._store.keys
        async with deadline():
            counts = await self._store.call_all(
                [("HLEN", keys.roster(webinar_id)), ("HLEN", keys.participations(webinar_id))]
            )
        return await (self._list(webinar_id) if sum(counts) <= SHORT else self._lists.get(webinar_id))

    async def _list(self, webinar_id: str) -> Sequence[int]:
        return await attendance_report.lead_ids(self._store, webinar_id)

    async def _page(self, webinar_id: str, leads: Sequence[int], asked: Asked) -> AttendancePage:
        begin = bisect_right(leads, asked.after)
        end = begin + asked.limit
        parts = attendance_report.slices(self._store, webinar_id, leads[begin:end])
        rows = [row async for part in parts for row in part]
        return AttendancePage(webinar_id, rows, leads[end - 1] if end < len(leads) else None)

    def _stream(self, webinar_id: str, leads: Sequence[int]) -> Response:
        content = attendance_report.as_csv(attendance_report.slices(self._store, webinar_id, leads))
        name = f'attachment; filename="attendance-{webinar_id}.csv"'
        return CsvStream(content, headers={**HEADERS, "Content-Disposition": name}, media_type=CSV)


def asked_for(query: QueryParams) -> Asked:
    """The page that a query asks for. Raises BadInput, with the parameter's name."""
    after, limit = _number(query, "after", range(MAX_LEAD_ID + 1)), _number(query, "limit", range(1, PAGE + 1))
    return Asked(after or 0, limit or PAGE)


def _number(query: QueryParams, name: str, lawful: range) -> int | None:
    """The number in a parameter; None when it is missing."""
    given = query.getlist(name)
    if not given:
        return None
    if len(given) > 1 or not re.fullmatch(r"[0-9]{1,16}", given[0]) or int(given[0]) not in lawful:
        detail = f"{name} is one whole number from {lawful.start} to {lawful.stop - 1}"
        raise BadInput("invalid_payload", detail, field=name)
    return int(given[0])


def prefers_csv(accept: Sequence[str]) -> bool:
    """Whether headers `Accept` ask for CSV rather than JSON (RFC 9110, 12.5.1). If both are as good, it is JSON."""
    weights = {}
    for given in ",".join(accept).lower().split(","):
        media, *parameters = [part.strip() for part in given.split(";")]
        found = [weight[1] for part in parameters if (weight := re.fullmatch(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)", part))]
        weights[media] = float(found[0]) if found else 1.0
    return _preference(weights, "text/csv") > _preference(weights, "application/json")


def _preference(weights: dict[str, float], media: str) -> tuple[float, int]:
    """The weight of a media type, by the narrowest range that it is in, and how narrow that is; zeros: not wanted."""
    kind = media.partition("/")[0]
    narrow = [(weights[given], place) for place, given in enumerate(["*/*", f"{kind}/*", media]) if given in weights]
    return narrow[-1] if narrow and narrow[-1][0] else (0.0, 0)
