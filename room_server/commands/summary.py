"""A webinar as a few readable lines, for `room-server webinar show`."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from room_server.core.room import Room, Visibility


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
    yield "recording", room.recording_url or ("there will be none" if room.no_recording else "none yet")
    if room.texts:
        yield "own texts", ", ".join(f"{locale}: {' '.join(sorted(texts))}" for locale, texts in room.texts.items())
    if room.description:
        yield "about", " ".join(room.description.split())


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
