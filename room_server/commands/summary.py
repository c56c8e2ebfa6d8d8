"""A webinar as named lines, or as JSON fields, for `room-server webinar show`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from room_server.attendance_report import Summary
from room_server.core.attendance_rule import AttendedBy
from room_server.core.room import Recording, Room, Visibility
from room_server.state.evaluation_schedule import ScheduledEvaluation


def describe_room(room: Room, now: datetime) -> Iterator[tuple[str, str]]:
    """Name and value of each line about the room; lines without a value are left out."""
    yield "webinar", room.webinar_id
    yield "title", room.title
    yield "status", f"{room.status}, version {room.version}"
    yield "planned", _moment(room.scheduled_at)
    if room.cancelled_at:
        yield "cancelled", _moment(room.cancelled_at)
    if room.started_at:
        yield "started", _moment(room.started_at)
    if room.finished_at:
        yield "finished", _moment(room.finished_at)
    if room.started_at:
        yield "on air", str(timedelta(seconds=room.on_air_ms_at(now) // 1000))
    yield "CTA", _cta(room)
    yield "player", room.player_url or "none"
    if room.frame_origins:
        yield "leads to", " ".join(room.frame_origins)
    yield "recording", room.recording_url or ("there will be none" if room.no_recording else "none yet")
    if room.unlisted:
        yield "schedule", "does not show it"
    if room.grace is not None:
        yield "grace", f"{room.grace} s from the end to the evaluation"
    yield "counts", describe_rule(room)
    yield from _messages(room)
    if room.description:
        yield "about", " ".join(room.description.split())


def describe_rule(room: Room) -> str:
    """What a lead must do to count as attended."""
    watched = f"at least {room.min_watch} of the time on air" if str(room.min_watch).endswith("%") else room.min_watch
    return {
        AttendedBy.COMPLETED: "staying to the end",
        AttendedBy.WATCHED: f"watching {watched}",
        AttendedBy.BOTH: f"staying to the end and watching {watched}",
        AttendedBy.EITHER: f"staying to the end or watching {watched}",
    }[room.attended_by]


def _messages(room: Room) -> Iterator[tuple[str, str]]:
    if room.remind:
        yield "reminders", ", ".join(room.remind)
    if room.tell_arrivals:
        yield "arrivals", "are told to partners"
    if room.texts:
        yield "own texts", ", ".join(f"{locale}: {' '.join(sorted(texts))}" for locale, texts in room.texts.items())


class WebinarReport(NamedTuple):
    """A room, the numbers of its leads, its scheduled evaluation (None: none), and the recording that messages link."""

    room: Room
    numbers: Summary
    due: ScheduledEvaluation | None
    recording: Recording


def progress(report: WebinarReport) -> dict[str, Any]:
    """The numbers as JSON fields: `attendance`, and `evaluation` (null when none is scheduled)."""
    evaluation = None
    if report.due is not None:
        done = {"done": report.numbers.classified, "total": report.numbers.leads}
        evaluation = {"due_at": datetime.fromtimestamp(report.due.at / 1000, UTC), **done}
    return {"evaluation": evaluation, "attendance": report.numbers}


def describe_progress(report: WebinarReport) -> Iterator[tuple[str, str]]:
    """Name and value of each line of numbers: attendance, evaluation, messages by kind and status."""
    leads = report.numbers
    if report.recording != report.room.recording:
        yield "messages", f"link {report.recording.url}" if report.recording.url else "wait for no recording"
    yield "leads", f"{leads.leads}: {leads.entered} entered, {leads.completed} completed"
    if report.due is not None:
        at = _moment(datetime.fromtimestamp(report.due.at / 1000, UTC))
        yield "evaluation", f"{leads.classified} of {leads.leads} classified; due {at}"
    if leads.classified:
        yield "attended", f"{leads.attended} yes, {leads.classified - leads.attended} no"
    for kind, counts in leads.messages.items():
        yield kind, ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _cta(room: Room) -> str:
    if room.cta_label is None and room.cta_url is None:
        return "none"
    shown = "shown" if room.cta_visibility is Visibility.VISIBLE else "hidden"
    return f"{shown}: {room.cta_label or '(no label)'} {room.cta_url or '(no address)'}"
