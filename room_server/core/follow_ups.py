"""The three Telegram listeners: which message goes to whom, and what it waits for. Sending is telegram/'s."""

from room_server.core.decision_types import DecisionContext, Reaction
from room_server.core.messages import AttendanceClassified, DeliveryStatus, Message, MessageKind, PostWebinarRoute
from room_server.core.room import Recording, RosterEntry


def tell_partner(event: AttendanceClassified, context: DecisionContext) -> Reaction:
    """Client Webinar Attendance Telegram: the partner learns whether the lead came."""
    return _message(event, context, MessageKind.ATTENDANCE)


def follow_up(event: PostWebinarRoute, context: DecisionContext) -> Reaction:
    """Post Webinar Follow-up Telegram: the candidate, on both routes."""
    return _message(event, context, MessageKind.FOLLOW_UP)


def recording_follow_up(event: PostWebinarRoute, context: DecisionContext) -> Reaction:
    """Post Webinar Recording Follow-up Telegram: the candidate who was not there."""
    return Reaction() if event.route == "attended" else _message(event, context, MessageKind.RECORDING)


def _message(event: AttendanceClassified, context: DecisionContext, kind: MessageKind) -> Reaction:
    entry = context.entry
    chat_id = chat_of(kind, entry) if entry else None
    status, error = first_status(kind, chat_id, context.recording)
    message = Message(
        lead_id=event.lead_id,
        kind=kind,
        status=status,
        attended=event.attended,
        chat_id=chat_id,
        locale=entry.locale if entry else "ru",
        error=error,
    )
    return Reaction(messages=(message,))


def chat_of(kind: MessageKind, entry: RosterEntry) -> int | None:
    """Whose chat a message goes to: the partner hears of the attendance, the candidate gets the rest."""
    return entry.partner_chat_id if kind is MessageKind.ATTENDANCE else entry.candidate_chat_id


def first_status(kind: MessageKind, chat_id: int | None, recording: Recording) -> tuple[DeliveryStatus, str | None]:
    """Where a message starts: nobody to send it to, no recording to link (yet), or on its way."""
    if chat_id is None:
        return DeliveryStatus.NO_CHAT, None
    if kind is MessageKind.RECORDING and recording.url is None:
        return (DeliveryStatus.HELD, None) if recording.is_expected else (DeliveryStatus.UNDELIVERABLE, "no_recording")
    return DeliveryStatus.QUEUED, None
