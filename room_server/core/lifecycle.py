"""States and transitions of a webinar as tables (docs/domain.md, "States of a webinar").

Everything that affects a transition is in this file. A transition without an entry is refused.
"""

from datetime import datetime
from enum import StrEnum

from msgspec.structs import replace

from room_server.core import broadcast
from room_server.core.room import Room, Status, Visibility
from room_server.errors import Conflict


class Trigger(StrEnum):
    """What moves a webinar from one status to another."""

    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ARCHIVE = "archive"


TRANSITIONS: dict[Trigger, dict[Status, Status]] = {
    Trigger.SCHEDULE: {Status.DRAFT: Status.SCHEDULED},
    Trigger.START: {Status.SCHEDULED: Status.LIVE},
    Trigger.PAUSE: {Status.LIVE: Status.PAUSED},
    Trigger.RESUME: {Status.PAUSED: Status.LIVE},
    Trigger.STOP: {Status.LIVE: Status.FINISHED, Status.PAUSED: Status.FINISHED},
    Trigger.ARCHIVE: {Status.FINISHED: Status.ARCHIVED},
}

INTERNAL = frozenset(set(Trigger) - {Trigger.START})
"""Triggers of the operator's command line. People start and stop by the hook `core_webinar_set_status`."""

REFUSALS: dict[Trigger, str] = {
    Trigger.SCHEDULE: "webinar_state_invalid_rewind",
    Trigger.START: "webinar_state_invalid_start",
    Trigger.PAUSE: "webinar_state_invalid_pause",
    Trigger.RESUME: "webinar_state_invalid_resume",
    Trigger.STOP: "webinar_state_invalid_stop",
    Trigger.ARCHIVE: "webinar_state_invalid_archive",
}

SPECIAL_REFUSALS: dict[tuple[Status, Trigger], str] = {
    (Status.FINISHED, Trigger.START): "webinar_state_invalid_restart",
    **{(Status.ARCHIVED, trigger): "webinar_state_locked" for trigger in Trigger},
}

RESULT: dict[Trigger, Status] = {trigger: next(iter(moves.values())) for trigger, moves in TRANSITIONS.items()}
"""The status that each trigger leads to. A trigger to the present status is a duplicate, not an error."""

CANCELLABLE = frozenset({Status.DRAFT, Status.SCHEDULED})

CTA_REFUSALS: dict[Status, str] = {
    Status.DRAFT: "webinar_state_invalid_cta",
    Status.FINISHED: "webinar_state_invalid_cta",
    Status.ARCHIVED: "webinar_state_locked",
}


def move(room: Room, trigger: Trigger, now: datetime) -> Room:
    """The room after `trigger`; the same object when it is in that status already. Raises Conflict."""
    if room.status is RESULT[trigger]:
        return room
    target = TRANSITIONS[trigger].get(room.status)
    if target is None:
        code = SPECIAL_REFUSALS.get((room.status, trigger), REFUSALS[trigger])
        raise Conflict(code, f"{trigger} is not possible while the webinar is {room.status}")
    if trigger is Trigger.START and room.cancelled_at is not None:
        raise Conflict("webinar_state_invalid_start", "the webinar is cancelled; a new time brings it back")
    moved = replace(_clock(room, target, now), status=target, version=room.version + 1)
    if target is Status.LIVE and room.started_at is None:
        return replace(moved, started_at=now)
    if target is Status.FINISHED:
        return replace(moved, finished_at=now)
    return moved


def _clock(room: Room, target: Status, now: datetime) -> Room:
    """The room with its time on air. It runs in `live` only, and does not shrink when the clock is set back."""
    if target is Status.LIVE:
        return replace(broadcast.went_live(room, now), on_air_since=now)
    return replace(room, on_air_ms=room.on_air_ms_at(now), on_air_since=None)


def cancel(room: Room, now: datetime) -> Room:
    """The room as called off; the same object when it is so already. Raises Conflict once it was live."""
    if room.status is Status.ARCHIVED:
        raise Conflict("webinar_state_locked", "an archived webinar never changes")
    if room.status not in CANCELLABLE:
        raise Conflict("webinar_state_invalid_cancel", f"the webinar is {room.status}; only one to come is cancelled")
    if room.cancelled_at is not None:
        return room
    return replace(room, cancelled_at=now, version=room.version + 1)


def show_cta(room: Room, visible: bool, now: datetime) -> Room:
    """The room with its CTA shown or hidden at `now`; the same object when it is so already. Raises Conflict."""
    if code := CTA_REFUSALS.get(room.status):
        raise Conflict(code, f"the CTA cannot be switched while the webinar is {room.status}")
    wanted = Visibility.VISIBLE if visible else Visibility.HIDDEN
    if room.cta_visibility is wanted:
        return room
    switched = broadcast.cta_switched(room, visible, now)
    return replace(switched, cta_visibility=wanted, version=room.version + 1)
