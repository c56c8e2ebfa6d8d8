"""Reading: GET /rooms/{id}/state, the canonical snapshot, and GET /webinars, the public schedule. Changes nothing."""

import re
from datetime import datetime

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.auth import Authenticator
from room_server.core.permissions import Reading, check_read, check_visible
from room_server.core.room import PublicRoom, Status
from room_server.errors import BadInput
from room_server.limits import Throttle
from room_server.shared_read import SharedRead
from room_server.state import catalogue
from room_server.state.patience import deadline
from room_server.state.store import Store

SCHEDULE_SECONDS = 1.0
"""How old the public schedule may be: strangers read it, and Redis is not theirs."""


class Head(Struct, frozen=True):
    """What a reader needs of a room state without reading all of it."""

    epoch: str
    version: int
    status: Status


class Card(Struct, frozen=True):
    """One line of the public schedule: no player, no CTA."""

    webinar_id: str
    title: str
    description: str
    status: Status
    scheduled_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Schedule(Struct, frozen=True):
    """The public schedule: upcoming, live and past webinars, never drafts."""

    webinars: list[Card]


_HEAD = msgspec.json.Decoder(Head)


class Rooms:
    """The endpoints and what they need."""

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)
        self._schedule = SharedRead(self._read_schedule, SCHEDULE_SECONDS)

    async def state(self, request: Request) -> Response:
        """The room state, byte for byte what the socket sends. Raises Refusal."""
        if request.method not in {"GET", "HEAD"}:
            refusal = BadInput("webinar_status_mutation_forbidden", "a room's state is read here, never written",
                               status=405)  # fmt: skip
            refusal.headers = {"Allow": "GET, HEAD"}
            raise refusal
        webinar_id = request.path_params["webinar_id"]
        actor = self._authenticator.bearer(request.headers)
        check_read(actor, Reading.ROOM, webinar_id)
        self._throttle.check(actor.person)
        (text,) = await self._store.public_texts([webinar_id])
        head = self._store.records.read(_HEAD, text, f"the state of {webinar_id}") if text else None
        check_visible(actor, webinar_id, head.status if head else None)
        return _with_tag(request, head, text or b"")

    async def schedule(self, _: Request) -> Response:
        """Upcoming, live and past webinars, never drafts. Raises StateUnavailable."""
        content = await self._schedule.get()
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def _read_schedule(self) -> bytes:
        async with deadline():
            found = await catalogue.latest(self._store)
        return msgspec.json.encode(Schedule([card(room) for room in found if room.status is not Status.DRAFT]))


def card(room: PublicRoom) -> Card:
    """What a stranger may know of a webinar."""
    return msgspec.convert(room, Card, from_attributes=True)


def _with_tag(request: Request, head: Head | None, text: bytes) -> Response:
    tag = f'"{head.epoch}.{head.version}"' if head else ""
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="application/json", headers=headers)


def has(request: Request, tag: str) -> bool:
    """Whether the caller says that it holds what this ETag stands for (RFC 9110, 13.1.2)."""
    known = re.findall(r'\*|"[^"]*"', ",".join(request.headers.getlist("if-none-match")))
    return tag in known or "*" in known
