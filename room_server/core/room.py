"""The records of a webinar: room, participation, roster entry; and the public state of a room."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from room_server.core.attendance_rule import AttendedBy, MinWatch
from room_server.core.messages import LeadId, Moment, Route, WebinarId


class Status(StrEnum):
    """The states of a webinar, in their order."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LIVE = "live"
    PAUSED = "paused"
    FINISHED = "finished"
    ARCHIVED = "archived"


ON_AIR = frozenset({Status.LIVE, Status.PAUSED})
"""From the start to the stop."""


class Visibility(StrEnum):
    """Whether the call to action is shown."""

    HIDDEN = "hidden"
    VISIBLE = "visible"


WEB_ADDRESS = "an address such as https://example.org/page, without blanks"
Url = Annotated[str, Meta(pattern=r"^https?://[^\s\x00-\x1f\x85]+(?!\n)$", max_length=2000, description=WEB_ADDRESS)]
"""An absolute http(s) address; pages make it a link or a frame, so no other scheme is allowed."""
Origin = Annotated[
    str,
    Meta(
        pattern=r"^https?://[a-z0-9_-]+(\.[a-z0-9_-]+)*(:\d{1,5})?(?!\n)$",
        max_length=255,
        description="an origin like https://player.example.org",
    ),
]
"""An origin in the form of a Content-Security-Policy; it becomes part of that header."""
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=4000)]
Grace = Annotated[int, Meta(ge=0, le=10**8)]
"""Seconds from the end of a webinar to its evaluation."""
Label = Annotated[str, Meta(min_length=1, max_length=80)]


class Recording(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a webinar's recording: its address, that there will be none, or (the default) nothing yet."""

    url: Url | None = None
    is_expected: bool = True
    """False: the operator has set that there will be none."""

    @property
    def is_known(self) -> bool:
        """Whether messages need not wait for it any longer."""
        return self.url is not None or not self.is_expected


class Stretch(Struct, frozen=True, array_like=True):
    """An uninterrupted time on air: the time on air at its beginning, and when that was."""

    from_ms: int
    since: datetime


class Span(Struct, frozen=True, array_like=True):
    """From when until when something was shown, in ms of the time on air; it still is while `until_ms` is None."""

    from_ms: int
    until_ms: int | None = None


class Room(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The private record of one webinar. `version` grows with each change, `epoch` is made with the room."""

    webinar_id: WebinarId
    epoch: str
    version: int
    status: Status
    title: Title
    scheduled_at: datetime
    description: Description = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    on_air_ms: int = 0
    on_air_since: datetime | None = None
    stretches: tuple[Stretch, ...] = ()
    """On air, between pauses; the latest last."""
    cta_shown: tuple[Span, ...] = ()
    """When the CTA was shown on air; the latest last."""
    cta_visibility: Visibility = Visibility.HIDDEN
    cta_label: Label | None = None
    cta_url: Url | None = None
    player_url: Url | None = None
    frame_origins: Annotated[tuple[Origin, ...], Meta(max_length=10)] = ()
    """Origins that the player redirects to, besides its own."""
    recording_url: Url | None = None
    no_recording: bool = False
    """Whether the operator has set that there will be none."""
    texts: dict[str, dict[str, str]] = {}
    """Telegram texts of this webinar's own: locale -> text name -> HTML template."""
    cancelled_at: datetime | None = None
    """When it was called off; only a draft or a scheduled webinar is."""
    unlisted: bool = False
    """Whether the public schedule leaves it out; whoever has a link gets in."""
    grace: Grace | None = None
    """None: the setting EVALUATION_GRACE."""
    attended_by: AttendedBy = AttendedBy.COMPLETED
    min_watch: MinWatch | None = None
    """How much a lead must have watched; set unless `attended_by` is COMPLETED."""
    remind: tuple[Moment, ...] = ()
    """When registered leads are reminded, in the order of MOMENTS."""
    tell_arrivals: bool = False
    """Whether partners are told when their leads enter."""
    request_id: str = ""
    """The request that led to this version, for the log; set when it is stored."""

    def on_air_ms_at(self, now: datetime) -> int:
        """The time on air until `now`, without pauses."""
        ran = max(now - self.on_air_since, timedelta()) if self.on_air_since else timedelta()
        return self.on_air_ms + ran // timedelta(milliseconds=1)

    @property
    def recording(self) -> Recording:
        """The recording by this record."""
        return Recording(url=self.recording_url, is_expected=not self.no_recording)


class Participation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one lead did in one webinar. Times are the server's clock."""

    lead_id: int
    name: str | None = None
    session_id: str | None = None
    entered_at: datetime | None = None
    completed_at: datetime | None = None
    attended: bool | None = None
    classified_at: datetime | None = None
    route: Route | None = None
    cta_clicked_at: datetime | None = None


ChatId = Annotated[int, Meta(ge=-(2**52), le=2**52)]
"""Telegram chat ids have at most 52 significant bits (Bot API, Chat)."""
Locale = Annotated[str, Meta(pattern=r"^(ru|en)(?!\n)$", description="ru or en")]


class RosterEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lead registered for a webinar."""

    lead_id: LeadId
    name: Annotated[str, Meta(max_length=200)] = ""
    candidate_chat_id: ChatId | None = None
    partner_chat_id: ChatId | None = None
    locale: Locale | None = None
    """None: the roster does not say."""
    partner_id: LeadId | None = None
    """The partner's number in the CRM."""

    @property
    def language(self) -> str:
        """Of the messages about the lead: Russian, unless the roster says otherwise."""
        return self.locale or "ru"


class PublicCta(Struct, frozen=True):
    """The call to action; a hidden one says nothing."""

    visibility: Visibility
    label: str | None
    url: str | None


class PublicRoom(Struct, frozen=True, tag_field="type", tag="state"):
    """The room state of the REST read and of the socket: whole, small, and without a name or a chat id."""

    webinar_id: str
    epoch: str
    version: int
    status: Status
    title: str
    description: str
    scheduled_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    on_air_ms: int
    on_air_since: datetime | None
    cta: PublicCta
    player_url: str | None
    recording_url: str | None
    cancelled_at: datetime | None = None
    """The default is for texts that were stored before the field was there."""


def public(room: Room) -> PublicRoom:
    """The public state of a room: the player while it is on air or paused, the recording after its end."""
    visible = room.cta_visibility is Visibility.VISIBLE
    return PublicRoom(
        webinar_id=room.webinar_id,
        epoch=room.epoch,
        version=room.version,
        status=room.status,
        title=room.title,
        description=room.description,
        scheduled_at=room.scheduled_at,
        started_at=room.started_at,
        finished_at=room.finished_at,
        on_air_ms=room.on_air_ms,
        on_air_since=room.on_air_since,
        cta=PublicCta(room.cta_visibility, room.cta_label if visible else None, room.cta_url if visible else None),
        player_url=room.player_url if room.status in {Status.LIVE, Status.PAUSED} else None,
        recording_url=room.recording_url if room.status in {Status.FINISHED, Status.ARCHIVED} else None,
        cancelled_at=room.cancelled_at,
    )


def public_text(room: Room) -> bytes:
    """The public state as JSON: the same bytes are stored, published, answered by REST and sent to sockets."""
    return msgspec.json.encode(public(room))
