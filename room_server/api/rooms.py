"""Reading over HTTP: `GET /rooms/{id}/state`, the room's public state; `GET /rooms/{id}/me`, what is stored of the lead
that asks; `GET /webinars`, the public schedule.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.auth import Authenticator
from room_server.clock import utc_now
from room_server.core.bindings import Person, lead
from room_server.core.broadcast import watched
from room_server.core.messages import LeadId, WebinarId
from room_server.core.permissions import Reading, check_read, check_visible
from room_server.core.room import Participation, RosterEntry, Status
from room_server.core.wire import ROOM_VERSION, RoomVersion
from room_server.errors import BadInput
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state import bindings, webinars
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SCHEDULE_SECONDS = 1.0
"""How old the schedule may be. Cached: it is public and must not cost one Redis read per visitor."""


class Card(Struct, frozen=True):
    """One line of the public schedule: no player, no CTA."""

    webinar_id: str
    title: str
    description: str
    status: Status
    scheduled_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None


class Schedule(Struct, frozen=True):
    """The public schedule: upcoming, live and past webinars, never drafts or unlisted ones."""

    webinars: list[Card]


LinkOf = Callable[[Person], Awaitable[str | None]]
"""The link that connects a person's Telegram; None without a bot. Raises StateUnavailable."""


class Calls(NamedTuple):
    """What other parts of the process do for these endpoints."""

    telegram: LinkOf
    seen: Callable[[RoomVersion, int], None]


class TelegramStanding(Struct, frozen=True):
    """Whether the lead's Telegram is connected; `url` is where it connects it, null once it is, or without a bot."""

    connected: bool = False
    url: str | None = None


class Standing(Struct, frozen=True, kw_only=True):
    """What is stored of one lead in one webinar. `attended` is null until the lead is classified."""

    webinar_id: WebinarId
    lead_id: LeadId
    entered_at: datetime | None
    completed_at: datetime | None
    attended: bool | None
    watched_s: int
    """The watch time that the server saw, in seconds; it comes half a minute late."""
    telegram: TelegramStanding = TelegramStanding()


class Rooms:
    """The endpoints. A person may ask `per_person` times a second, with bursts of four times as many.

    `calls.seen` is called with each state that a lead reads: a page without a socket is watched by that.
    """

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int, calls: Calls) -> None:
        self._store = store
        self._telegram = calls.telegram
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)
        self._seen = calls.seen
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
        version = self._store.records.read(ROOM_VERSION, text, f"the state of {webinar_id}") if text else None
        check_visible(actor, webinar_id, version.status if version else None)
        if version is not None and actor.lead_id is not None:
            self._seen(version, actor.lead_id)
        tag = f'"{version.epoch}.{version.version}"' if version else ""
        headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        return responses.conditional(request, text or b"", headers)

    async def standing(self, request: Request) -> Response:
        """What is stored of the attendee that asks. Raises Refusal."""
        webinar_id = request.path_params["webinar_id"]
        actor = self._authenticator.bearer(request.headers)
        check_read(actor, Reading.STANDING, webinar_id)
        self._throttle.check(actor.person)
        lead_id = actor.lead_id or 0
        facts = await self._store.load(webinar_id, lead_id)
        check_visible(actor, webinar_id, facts.room.status if facts.room else None)
        stored = facts.participation or Participation(lead_id=lead_id)
        answer = Standing(
            webinar_id=webinar_id,
            lead_id=lead_id,
            entered_at=stored.entered_at,
            completed_at=stored.completed_at,
            attended=stored.attended,
            watched_s=watched(facts.room, facts.slots, utc_now()).watched_ms // 1000,
            telegram=await self._connection(lead_id, facts.entry),
        )
        return responses.json(answer, headers={"Cache-Control": "private, no-store", "Vary": "Authorization"})

    async def _connection(self, lead_id: int, entry: RosterEntry | None) -> TelegramStanding:
        if entry is not None and entry.candidate_chat_id is not None:
            return TelegramStanding(connected=True)
        person = lead(lead_id)
        if await bindings.chats_of(self._store, [person]):
            return TelegramStanding(connected=True)
        return TelegramStanding(url=await self._telegram(person))

    async def schedule(self, _: Request) -> Response:
        """Upcoming, live and past webinars, never drafts or unlisted ones. Raises StateUnavailable."""
        return responses.json(await self._schedule.get(), headers={"Cache-Control": "no-cache"})

    async def _read_schedule(self) -> bytes:
        async with deadline():
            found = await webinars.latest(self._store, listed_only=True)
        shown = [room for room in found if room.status is not Status.DRAFT]
        return msgspec.json.encode(Schedule([msgspec.convert(room, Card, from_attributes=True) for room in shown]))
