"""The Telegram listeners: which message goes to whom, and in which status it begins. `telegram/` sends it."""

from room_server.core.bindings import BoundChats
from room_server.core.decision_types import DecisionContext, Reaction
from room_server.core.messages import (
    AttendanceClassified,
    DeliveryStatus,
    Entered,
    Message,
    MessageKind,
    PostWebinarRoute,
)
from room_server.core.room import Recording, RosterEntry

TO_PARTNERS = frozenset({MessageKind.ATTENDANCE, MessageKind.ARRIVAL})
"""The messages that the partner gets; all others are the candidate's."""


def notify_partner(event: AttendanceClassified, context: DecisionContext) -> Reaction:
    """Client Webinar Attendance Telegram: tells the partner whether the lead attended."""
    return _message(event, context, MessageKind.ATTENDANCE)


def follow_up(event: PostWebinarRoute, context: DecisionContext) -> Reaction:
    """Post Webinar Follow-up Telegram: a message to the candidate, on both routes."""
    return _message(event, context, MessageKind.FOLLOW_UP)


def recording_follow_up(event: PostWebinarRoute, context: DecisionContext) -> Reaction:
    """Post Webinar Recording Follow-up Telegram: the recording, to a candidate who did not attend."""
    return Reaction() if event.route == "attended" else _message(event, context, MessageKind.RECORDING)


def tell_arrival(event: Entered, context: DecisionContext) -> Reaction:
    """Tells the partner that the lead has entered, if the webinar is set to, and the lead has a partner."""
    entry = context.entry
    has_partner = entry is not None and (entry.partner_chat_id is not None or entry.partner_id is not None)
    if not context.room.tell_arrivals or not has_partner:
        return Reaction()
    chat_id = chat_of(MessageKind.ARRIVAL, entry, context.bound)
    message = Message(
        lead_id=event.lead_id,
        kind=MessageKind.ARRIVAL,
        status=DeliveryStatus.NO_CHAT if chat_id is None else DeliveryStatus.QUEUED,
        attended=False,
        chat_id=chat_id,
        locale=entry.language if entry else "ru",
    )
    return Reaction(messages=(message,))


def _message(event: AttendanceClassified, context: DecisionContext, kind: MessageKind) -> Reaction:
    entry = context.entry
    chat_id = chat_of(kind, entry, context.bound)
    status, error = first_status(kind, chat_id, context.recording)
    message = Message(
        lead_id=event.lead_id,
        kind=kind,
        status=status,
        attended=event.attended,
        chat_id=chat_id,
        locale=entry.language if entry else "ru",
        error=error,
    )
    return Reaction(messages=(message,))


def chat_of(kind: MessageKind, entry: RosterEntry | None, bound: BoundChats) -> int | None:
    """The chat of a message: the partner's or the candidate's, by the roster, else the one that is bound to it."""
    known = entry or RosterEntry(lead_id=1)
    if kind in TO_PARTNERS:
        return bound.partner if known.partner_chat_id is None else known.partner_chat_id
    return bound.candidate if known.candidate_chat_id is None else known.candidate_chat_id


def first_status(kind: MessageKind, chat_id: int | None, recording: Recording) -> tuple[DeliveryStatus, str | None]:
    """The status in which a message begins, and its error: without a chat, without a recording (yet), or queued."""
    if chat_id is None:
        return DeliveryStatus.NO_CHAT, None
    if kind is MessageKind.RECORDING and recording.url is None:
        return (DeliveryStatus.HELD, None) if recording.is_expected else (DeliveryStatus.UNDELIVERABLE, "no_recording")
    return DeliveryStatus.QUEUED, None
