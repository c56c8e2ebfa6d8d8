"""The events as the site gets them, and how one is made of an entry of an event stream. See docs/site-events.md."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from room_server.core.site_delivery import MOST

TYPE: Literal["room_server.events"] = "room_server.events"
"""The `type` of every request (Standard Webhooks)."""


class EventActor(Struct, frozen=True):
    """Who did it: role and `sub` of the token, or `system`."""

    role: str
    subject: str


class SiteEvent(Struct, frozen=True, kw_only=True):
    """One event; `data` is its payload as in the stream."""

    id: str
    """Names the fact for good: store it with a unique key, and a repeat is recognised."""
    type: str
    """The hook."""
    timestamp: datetime
    """When it was stored, by Redis' clock."""
    webinar_id: str | None
    """None: it is about no webinar."""
    actor: EventActor | None
    """None: the server itself emitted it."""
    data: msgspec.Raw


class SiteEventList(Struct, frozen=True):
    """The events of a request: of one partition, in the stream's order."""

    events: Annotated[list[SiteEvent], Meta(min_length=1, max_length=MOST)]


class SiteRequest(Struct, frozen=True, kw_only=True):
    """The body of a request."""

    type: Literal["room_server.events"] = TYPE
    timestamp: datetime
    """That of the last event."""
    data: SiteEventList


class About(Struct, frozen=True):
    """The fields of a payload that say what it is about."""

    webinar_id: str | None = None
    lead_id: int | None = None


_ABOUT = msgspec.json.Decoder(About)
_ACTOR = msgspec.json.Decoder(EventActor)


def event_of(stream_id: str, fields: Mapping[bytes, bytes]) -> SiteEvent:
    """The event of an entry. Raises ValueError when the entry is none of ours."""
    payload, actor = fields.get(b"payload", b""), fields.get(b"actor", b"")
    payload.decode()  # what the decoder skips it does not check
    about, hook = _ABOUT.decode(payload), fields.get(b"hook", b"").decode()
    if not hook:
        raise ValueError("it names no hook")
    return SiteEvent(
        id=fields[b"id"].decode() if fields.get(b"id") else _derived(hook, about, stream_id),
        type=hook,
        timestamp=datetime.fromtimestamp(int(stream_id.partition("-")[0]) / 1000, UTC),
        webinar_id=about.webinar_id,
        actor=_ACTOR.decode(actor) if actor else None,
        data=msgspec.Raw(payload),
    )


def _derived(hook: str, about: About, stream_id: str) -> str:
    """The id of an entry that was stored before entries had one: a lead's fact has the same as today."""
    return f"{hook}:{about.webinar_id or ''}:{about.lead_id or stream_id}"
