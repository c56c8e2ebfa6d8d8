"""Hooks, emitted events, actors and messages as typed values. The types are also the schema of the API.

Source: docs/domain.md, "Hooks and their payloads". Hooks are decoded once, in `api/hooks`; unknown fields are ignored.
"""

from datetime import datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

MAX_LEAD_ID = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, 6)."""

WEBINAR_ID = "1 to 64 Latin letters, digits, hyphens and underscores"
WebinarId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(?!\n)$", description=WEBINAR_ID)]
LeadId = Annotated[int, Meta(ge=1, le=MAX_LEAD_ID, description="a person of the CRM; 0 would be a guest")]
if TYPE_CHECKING:
    GivenLeadId = int
else:
    _DIGITS = Meta(pattern=r"^[1-9][0-9]{0,14}(?!\n)$", description="a whole number from 1, or its digits")
    GivenLeadId = LeadId | Annotated[str, _DIGITS]
"""A lead id as sites send it: a number, or a text of its digits, which becomes the number when it is decoded."""
LATEST = 2**43
"""The largest number that is a time: in milliseconds the year 2248."""
TIME_DIGITS = r"^(0|[1-9][0-9]{0,11}|[1-7][0-9]{12})$"
"""Unix seconds or milliseconds as a text, in regular expressions and in JSON Schema."""
_TIME = Meta(ge=0, le=LATEST)
Claimed = Annotated[int, _TIME] | Annotated[float, _TIME] | Annotated[datetime, Meta(tz=True)]
"""A time by the client's clock: Unix seconds, Unix milliseconds (above 10^11) or RFC 3339.

It is checked and kept as it is, and no decision uses it. A text of digits becomes the number where hooks are decoded.
"""
ShortText = Annotated[str, Meta(max_length=200)]


class Role(StrEnum):
    """The role of a caller, by its token."""

    ORGANIZER = "organizer"
    SPEAKER = "speaker"
    MODERATOR = "moderator"
    ATTENDEE = "attendee"
    GUEST = "guest"
    SYSTEM = "system"
    MONITOR = "monitor"


class Actor(Struct, frozen=True, kw_only=True, gc=False):  # each socket has one, and it refers to nothing else
    """The caller: `webinar_id` is the token's scope, `*` for all; `lead_id` is set for an attendee only."""

    role: Role
    subject: str
    webinar_id: str = "*"
    lead_id: int | None = None
    name: str | None = None
    expires_at: int | None = None
    """Unix seconds; None never expires (a signed webhook, the command line)."""
    read_only: bool = False
    """Whether the token may only read what its role may read, and send no hook."""

    @property
    def person(self) -> str:
        """The key of limits per person: role and subject, the same for all tokens and webinars of a person."""
        return f"{self.role}:{self.subject}"

    def valid_for(self, now: float) -> float:
        """Seconds until the token expires, at `now` in Unix seconds; inf: it never does."""
        return inf if self.expires_at is None else self.expires_at - now


class Context(Struct, frozen=True):
    """What the caller says of itself. Never decides anything."""

    source: ShortText | None = None
    actor_id: int | ShortText | None = None
    timestamp: Claimed | None = None


class SetStatus(Struct, frozen=True):
    """`core_webinar_set_status`: start or stop. The word is checked at the edge, it has a code of its own."""

    webinar_id: WebinarId
    status: str
    context: Context | None = None


class SetCtaVisibility(Struct, frozen=True):
    """`core_webinar_set_cta_visibility`: show or hide the call to action."""

    webinar_id: WebinarId
    visible: bool
    context: Context | None = None


class OfALead(Struct, frozen=True, kw_only=True):
    """What the hooks of a lead share."""

    webinar_id: WebinarId
    lead_id: GivenLeadId

    def __post_init__(self) -> None:
        force_setattr(self, "lead_id", int(self.lead_id))


class Entered(OfALead, frozen=True, kw_only=True):
    """`client_webinar_entered`: a lead came in, once per lead and webinar."""

    timestamp: Claimed
    session_id: ShortText | None = None


class Completed(OfALead, frozen=True, kw_only=True):
    """`client_webinar_completed`: a lead stayed to the end."""

    completed_at: Claimed
    session_id: ShortText | None = None
    webinar_type: Literal["live"] = "live"


class CtaClicked(OfALead, frozen=True, kw_only=True):
    """`client_webinar_cta_clicked`: a lead followed the call to action, once per lead and webinar."""

    timestamp: Claimed


class WebinarCompleted(Struct, frozen=True, kw_only=True):
    """`webinar_completed`: the normalised downstream fact; same payload as `client_webinar_completed`."""

    webinar_id: WebinarId
    lead_id: LeadId
    completed_at: Claimed
    session_id: ShortText | None = None
    webinar_type: Literal["live"] = "live"


class AttendanceClassified(Struct, frozen=True, kw_only=True):
    """`client_webinar_attendance_classified`."""

    lead_id: int
    webinar_id: str
    attended: bool
    timestamp: datetime


Route = Literal["attended", "not_attended"]


class PostWebinarRoute(AttendanceClassified, frozen=True, kw_only=True):
    """`post_webinar_route`: the classification's payload and the route."""

    route: Route


class SiteChecked(Struct, frozen=True, kw_only=True):
    """`core_site_checked`: the site asked for it, to see whether events reach it."""

    nonce: str


CoreHook = SetStatus | SetCtaVisibility
ClientHook = Entered | Completed | CtaClicked
Inbound = CoreHook | ClientHook
Event = Inbound | WebinarCompleted | AttendanceClassified | PostWebinarRoute

INBOUND: dict[str, type[Inbound]] = {
    "core_webinar_set_status": SetStatus,
    "core_webinar_set_cta_visibility": SetCtaVisibility,
    "client_webinar_entered": Entered,
    "client_webinar_completed": Completed,
    "client_webinar_cta_clicked": CtaClicked,
}
EMITTED: dict[str, type[Event]] = {
    "webinar_completed": WebinarCompleted,
    "client_webinar_attendance_classified": AttendanceClassified,
    "post_webinar_route": PostWebinarRoute,
}
STREAMED: dict[str, type[Event | SiteChecked]] = {**INBOUND, **EMITTED, "core_site_checked": SiteChecked}
"""Every event of the stream."""
NAMES: dict[type[Event], str] = {kind: name for name, kind in {**INBOUND, **EMITTED}.items()}


Moment = Literal["24h", "1h", "15m", "start"]
"""When a reminder is due: so long before the planned time, or at the start itself."""
MOMENTS: tuple[Moment, ...] = ("24h", "1h", "15m", "start")


class MessageKind(StrEnum):
    """What a message tells: the first three follow the classification of a lead, the others come before."""

    ATTENDANCE = "attendance"
    FOLLOW_UP = "follow_up"
    RECORDING = "recording"
    REMINDER = "reminder"
    ARRIVAL = "arrival"
    MOVED = "moved"
    CANCELLED = "cancelled"


AFTER_THE_END = (MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP, MessageKind.RECORDING)
"""The messages that follow the classification."""
MESSAGE_NAMES = (
    *AFTER_THE_END,
    *(f"{MessageKind.REMINDER}_{moment}" for moment in MOMENTS),
    *(MessageKind.ARRIVAL, MessageKind.MOVED, MessageKind.CANCELLED),
)
"""What messages of one lead in one webinar there may be: their kinds, and of reminders the moment, too."""
URGENT = frozenset({MessageKind.ATTENDANCE.value, MessageKind.ARRIVAL.value, f"{MessageKind.REMINDER}_start"})
"""The names of messages for which somebody waits: they go before all others."""


class DeliveryStatus(StrEnum):
    """The status of a message (docs/telegram.md); the last six end its delivery. See core.delivery."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"
    DOUBTFUL = "doubtful"
    SENT = "sent"
    DRY_RUN = "dry_run"
    NO_CHAT = "no_chat"
    OPTED_OUT = "opted_out"
    UNDELIVERABLE = "undeliverable"
    PARKED = "parked"


class Message(Struct, frozen=True, kw_only=True):
    """One Telegram message to one chat; its text is composed when it is sent."""

    lead_id: int
    kind: MessageKind
    status: DeliveryStatus
    attended: bool
    chat_id: int | None
    locale: str
    error: str | None = None
    """Why it was not sent."""
    moment: Moment | None = None
    """Of a reminder."""
    planned_at: datetime | None = None
    """Of what tells of a planned time: that time. Such a message is sent once for each."""
    request_id: str = ""
    """The request that led to it, for the log; set when it is stored."""

    @property
    def name(self) -> str:
        """The kind, and of a reminder the moment: one of MESSAGE_NAMES."""
        return f"{self.kind}_{self.moment}" if self.moment else self.kind.value
