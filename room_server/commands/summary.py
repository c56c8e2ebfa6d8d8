"""A webinar as a few readable lines, for `room-server webinar show`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from room_server.core.room import Recording, Room, Visibility
from room_server.jobs.attendance_report import Summary
from room_server.state.evaluation_schedule import ScheduledEvaluation


def summary(room: Room, now: datetime) -> Iterator[tuple[str, str]]:
    """What there is to say of the room, each with its name; what is not there is left out."""
    yield "webinar", room.webinar_id
    yield "title", room.title
    yield "status", f"{room.status}, version {room.version}"
    yield "planned", _moment(room.scheduled_at)
    if room.started_at:
        yield "started", _moment(room.started_at)
    if room.finished_at:
        yield "finished", _moment(room.finished_at)
    if room.started_at:
        yield "on air", str(_on_air(room, now))
    yield "CTA", _cta(room)
    yield "player", room.player_url or "none"
    if room.frame_origins:
        yield "leads to", " ".join(room.frame_origins)
    yield "recording", room.recording_url or ("there will be none" if room.no_recording else "none yet")
    if room.texts:
        yield "own texts", ", ".join(f"{locale}: {' '.join(sorted(texts))}" for locale, texts in room.texts.items())
    if room.description:
        yield "about", " ".join(room.description.split())


class Shown(NamedTuple):
    """A room, its leads in numbers, its evaluation where one is on the schedule, and what its messages link."""

    room: Room
    numbers: Summary
    due: ScheduledEvaluation | None
    recording: Recording


def progress(shown: Shown) -> dict[str, Any]:
    """The numbers for machines: `attendance`, and `evaluation` (null when none is pending)."""
    evaluation = None
    if shown.due is not None:
        done = {"done": shown.numbers.classified, "total": shown.numbers.leads}
        evaluation = {"due_at": datetime.fromtimestamp(shown.due.at / 1000, UTC), **done}
    return {"evaluation": evaluation, "attendance": shown.numbers}


def numbers(shown: Shown) -> Iterator[tuple[str, str]]:
    """The numbers for people: who came, how far the evaluation is, what became of the messages."""
    leads = shown.numbers
    if shown.recording != shown.room.recording:
        yield "messages", f"link {shown.recording.url}" if shown.recording.url else "wait for no recording"
    yield "leads", f"{leads.leads}: {leads.entered} entered, {leads.completed} completed"
    if shown.due is not None:
        at = _moment(datetime.fromtimestamp(shown.due.at / 1000, UTC))
        yield "evaluation", f"{leads.classified} of {leads.leads} classified; due {at}"
    if leads.classified:
        yield "attended", f"{leads.attended} yes, {leads.classified - leads.attended} no"
    for kind, fates in leads.messages.items():
        yield kind, ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _on_air(room: Room, now: datetime) -> timedelta:
    """Pauses do not count."""
    ran = now - room.on_air_since if room.on_air_since else timedelta()
    return timedelta(seconds=room.on_air_ms // 1000 + max(0, int(ran.total_seconds())))


def _cta(room: Room) -> str:
    if room.cta_label is None and room.cta_url is None:
        return "none"
    shown = "shown" if room.cta_visibility is Visibility.VISIBLE else "hidden"
    return f"{shown}: {room.cta_label or '(no label)'} {room.cta_url or '(no address)'}"
