"""What the operator says of a webinar: planning a new one, and changing its texts and addresses."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from room_server.core.decision_types import Change
from room_server.core.players import check_player
from room_server.core.room import Description, Label, Origin, Recording, Room, Status, Title, Url
from room_server.errors import BadInput, Conflict


class Plan(Struct, frozen=True, kw_only=True):
    """What may be said; None leaves it as it is."""

    title: Title | None = None
    scheduled_at: datetime | None = None
    description: Description | None = None
    cta_label: Label | None = None
    cta_url: Url | None = None
    player_url: Url | None = None
    frame_origins: tuple[Origin, ...] | None = None
    recording_url: Url | None = None
    no_recording: bool | None = None
    texts: dict[str, dict[str, str]] | None = None


RESCHEDULABLE = frozenset({Status.DRAFT, Status.SCHEDULED})
OF_THE_RECORDING = frozenset({"recording_url", "no_recording"})
"""What may be said of an archived webinar, for its messages."""


def new_room(webinar_id: str, epoch: str, plan: Plan, draft: bool) -> Room:
    """The first version of a webinar. Raises BadInput `invalid_payload`."""
    if plan.title is None or plan.scheduled_at is None:
        raise BadInput("invalid_payload", "a webinar needs a title and a time")
    return _checked(
        {
            "webinar_id": webinar_id,
            "epoch": epoch,
            "version": 1,
            "status": Status.DRAFT if draft else Status.SCHEDULED,
            **_said(plan),
        }
    )


def amended(room: Room, recording: Recording, plan: Plan) -> Change:
    """What comes of `plan`; `recording` is what the messages rest on until now. Raises Conflict, BadInput.

    An archived room never changes; what is said of its recording is kept beside it, and counts for its messages.
    """
    if room.status is not Status.ARCHIVED:
        after = amend(room, plan)
        return Change(room=after, participation=None, arm_evaluation=frees_held(room, after))
    named = name_recording(room, plan)
    if named == recording:
        return Change(room=room, participation=None)
    return Change(room=room, participation=None, named_recording=named, arm_evaluation=True)


def name_recording(room: Room, plan: Plan) -> Recording:
    """The recording of an archived room, named later. Raises Conflict when more is said than that, and BadInput."""
    said = _said(plan)
    if not said or said.keys() - OF_THE_RECORDING:
        raise Conflict("webinar_state_locked", "an archived webinar never changes; only its recording may be named")
    return _checked({**_fields(room), **said}).recording


def amend(room: Room, plan: Plan) -> Room:
    """The room with what was said; the very same object when nothing new was. Raises Conflict, BadInput."""
    if room.status is Status.ARCHIVED:
        raise Conflict("webinar_state_locked", "an archived webinar never changes")
    said = _said(plan)
    if "scheduled_at" in said and room.status not in RESCHEDULABLE:
        raise Conflict("webinar_state_invalid_rewind", f"the time cannot be moved while the webinar is {room.status}")
    after = _checked({**_fields(room), **said})
    return room if after == room else replace(after, version=room.version + 1)


def frees_held(before: Room, after: Room) -> bool:
    """Whether messages may have to be moved since the recording is another one: the evaluation sees to them."""
    return before.recording != after.recording and after.finished_at is not None


def _fields(room: Room) -> dict[str, Any]:
    return {name: getattr(room, name) for name in room.__struct_fields__}


def _said(plan: Plan) -> dict[str, Any]:
    said: dict[str, Any] = {
        name: value for name in plan.__struct_fields__ if (value := getattr(plan, name)) is not None
    }
    if isinstance(said.get("scheduled_at"), datetime):
        try:
            said["scheduled_at"] = said["scheduled_at"].astimezone(UTC)
        except OverflowError:
            raise BadInput("invalid_payload", "scheduled_at: the calendar ends before that time") from None
    if plan.player_url:
        check_player(plan.player_url)
    if plan.recording_url:
        said["no_recording"] = False
    elif plan.no_recording:
        said["recording_url"] = None
    return said


def _checked(fields: dict[str, Any]) -> Room:
    """A room whose every field is what its type says. Raises BadInput, naming the field."""
    try:
        return msgspec.convert(fields, Room)
    except msgspec.ValidationError as error:
        raise BadInput("invalid_payload", str(error)) from None
