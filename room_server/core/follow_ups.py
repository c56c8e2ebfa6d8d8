"""The three Telegram listeners: which message goes to whom, and what it waits for. Sending is telegram/'s."""

from room_server.core.facts import Case, Reaction
from room_server.core.messages import AttendanceClassified, Fate, Kind, Message, PostWebinarRoute
from room_server.core.room import Recording, RosterEntry


def tell_partner(event: AttendanceClassified, case: Case) -> Reaction:
    """Client Webinar Attendance Telegram: the partner learns whether the lead came."""
    return _message(event, case, Kind.ATTENDANCE)


def follow_up(event: PostWebinarRoute, case: Case) -> Reaction:
    """Post Webinar Follow-up Telegram: the candidate, on both routes."""
    return _message(event, case, Kind.FOLLOW_UP)


def recording_follow_up(event: PostWebinarRoute, case: Case) -> Reaction:
    """Post Webinar Recording Follow-up Telegram: the candidate who was not there."""
    return Reaction() if event.route == "attended" else _message(event, case, Kind.RECORDING)


def _message(event: AttendanceClassified, case: Case, kind: Kind) -> Reaction:
    entry = case.entry
    chat_id = chat_of(kind, entry) if entry else None
    status, error = first_fate(kind, chat_id, case.recording)
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


def chat_of(kind: Kind, entry: RosterEntry) -> int | None:
    """Whose chat a message goes to: the partner hears of the attendance, the candidate gets the rest."""
    return entry.partner_chat_id if kind is Kind.ATTENDANCE else entry.candidate_chat_id


def first_fate(kind: Kind, chat_id: int | None, recording: Recording) -> tuple[Fate, str | None]:
    """Where a message starts: nobody to send it to, no recording to link (yet), or on its way."""
    if chat_id is None:
        return Fate.NO_CHAT, None
    if kind is Kind.RECORDING and recording.url is None:
        return (Fate.HELD, None) if recording.is_expected else (Fate.UNDELIVERABLE, "no_recording")
    return Fate.QUEUED, None
