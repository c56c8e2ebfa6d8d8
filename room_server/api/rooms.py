"""Reading, which changes nothing: a room's state, an attendee's own standing in it, and the public schedule.

`GET /rooms/{id}/state` is the canonical snapshot; `GET /rooms/{id}/me` says what is stored of the lead that asks;
`GET /webinars` is for everybody.
"""

import re
from datetime import datetime

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.auth import Authenticator
from room_server.core.messages import LeadId, WebinarId
from room_server.core.permissions import Reading, check_read, check_visible
from room_server.core.room import Participation, PublicRoom, Status
from room_server.errors import BadInput
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state import webinars
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SCHEDULE_SECONDS = 1.0
"""How old the public schedule may be: strangers read it, and Redis is not theirs."""


class RoomVersion(Struct, frozen=True):
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


class TelegramStanding(Struct, frozen=True):
    """Whether the lead's Telegram is connected; `url` is where it connects it, null where that cannot be done."""

    connected: bool = False
    url: str | None = None


class Standing(Struct, frozen=True, kw_only=True):
    """What is stored of one lead in one webinar. `attended` is null until the lead is classified."""

    webinar_id: WebinarId
    lead_id: LeadId
    entered_at: datetime | None
    completed_at: datetime | None
    attended: bool | None
    watched_s: int = 0
    telegram: TelegramStanding = TelegramStanding()


_HEAD = msgspec.json.Decoder(RoomVersion)


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

    async def standing(self, request: Request) -> Response:
        """What is stored of the attendee that asks. Raises Refusal."""
        webinar_id = request.path_params["webinar_id"]
        actor = self._authenticator.bearer(request.headers)
        check_read(actor, Reading.STANDING, webinar_id)
        self._throttle.check(actor.person)
        lead_id = actor.lead_id or 0
        facts = await self._store.load(webinar_id, lead_id)
        check_visible(actor, webinar_id, facts.room.status if facts.room else None)
        content = msgspec.json.encode(standing(webinar_id, facts.participation or Participation(lead_id=lead_id)))
        headers = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
        return Response(content, media_type="application/json", headers=headers)

    async def schedule(self, _: Request) -> Response:
        """Upcoming, live and past webinars, never drafts. Raises StateUnavailable."""
        content = await self._schedule.get()
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def _read_schedule(self) -> bytes:
        async with deadline():
            found = await webinars.latest(self._store)
        return msgspec.json.encode(Schedule([card(room) for room in found if room.status is not Status.DRAFT]))


def card(room: PublicRoom) -> Card:
    """What a stranger may know of a webinar."""
    return msgspec.convert(room, Card, from_attributes=True)


def standing(webinar_id: str, participation: Participation) -> Standing:
    """What a lead may know of its own participation."""
    return Standing(
        webinar_id=webinar_id,
        lead_id=participation.lead_id,
        entered_at=participation.entered_at,
        completed_at=participation.completed_at,
        attended=participation.attended,
    )


def _with_tag(request: Request, head: RoomVersion | None, text: bytes) -> Response:
    tag = f'"{head.epoch}.{head.version}"' if head else ""
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="application/json", headers=headers)


def has(request: Request, tag: str) -> bool:
    """Whether the caller says that it holds what this ETag stands for (RFC 9110, 13.1.2)."""
    known = re.findall(r'\*|"[^"]*"', ",".join(request.headers.getlist("if-none-match")))
    return tag in known or "*" in known
