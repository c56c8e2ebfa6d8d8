"""The operator's plan of a webinar: makes a new room, or changes titles, times, addresses and texts of one."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from room_server.core.decision_types import Change
from room_server.core.players import check_player
from room_server.core.room import Description, Grace, Label, Origin, Recording, Room, Status, Title, Url
from room_server.errors import BadInput, Conflict


class Plan(Struct, frozen=True, kw_only=True):
    """The fields that an operator may set; None leaves a field as it is."""

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
    unlisted: bool | None = None
    grace: Grace | None = None


RESCHEDULABLE = frozenset({Status.DRAFT, Status.SCHEDULED})
RECORDING_FIELDS = frozenset({"recording_url", "no_recording"})
"""The fields that may be set for an archived webinar: its messages use them."""


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
            **_fields_of(plan),
        }
    )


def clone(room: Room, webinar_id: str, epoch: str, scheduled_at: datetime) -> Room:
    """A draft with the same plan at another time, without the recording, which is of the old event. Raises BadInput."""
    fields = {name: getattr(room, name) for name in Plan.__struct_fields__}
    plan = Plan(**{**fields, "scheduled_at": scheduled_at, "recording_url": None})
    return new_room(webinar_id, epoch, plan, draft=True)


def amended(room: Room, recording: Recording, plan: Plan) -> Change:
    """The change that `plan` makes; `recording` is the one that messages use so far. Raises Conflict, BadInput.

    An archived room never changes. Its recording is stored beside it, and its messages use that one.
    """
    if room.status is not Status.ARCHIVED:
        after = amend(room, plan)
        # After the end an evaluation moves the messages that wait for the recording.
        moves = room.recording != after.recording and after.finished_at is not None
        return Change(room=after, participation=None, arm_evaluation=moves)
    named = name_recording(room, plan)
    if named == recording:
        return Change(room=room, participation=None)
    return Change(room=room, participation=None, named_recording=named, arm_evaluation=True)


def name_recording(room: Room, plan: Plan) -> Recording:
    """The recording that `plan` gives to an archived room. Raises Conflict when it sets other fields, and BadInput."""
    fields = _fields_of(plan)
    if not fields or fields.keys() - RECORDING_FIELDS:
        raise Conflict("webinar_state_locked", "an archived webinar never changes; only its recording may be named")
    return _checked({**asdict(room), **fields}).recording


def amend(room: Room, plan: Plan) -> Room:
    """The room after `plan`; the same object when that changes nothing. Raises Conflict, BadInput.

    A new time brings a cancelled webinar back.
    """
    if room.status is Status.ARCHIVED:
        raise Conflict("webinar_state_locked", "an archived webinar never changes")
    fields = _fields_of(plan)
    if "scheduled_at" in fields and room.status not in RESCHEDULABLE:
        raise Conflict("webinar_state_invalid_rewind", f"the time cannot be moved while the webinar is {room.status}")
    if fields.get("scheduled_at", room.scheduled_at) != room.scheduled_at:
        fields["cancelled_at"] = None
    after = _checked({**asdict(room), **fields})
    return room if after == room else replace(after, version=room.version + 1)


def _fields_of(plan: Plan) -> dict[str, Any]:
    """The fields that the plan sets, consistent and in UTC. Raises BadInput."""
    fields = {name: value for name, value in asdict(plan).items() if value is not None}
    if isinstance(fields.get("scheduled_at"), datetime):
        try:
            fields["scheduled_at"] = fields["scheduled_at"].astimezone(UTC)
        except OverflowError:
            raise BadInput("invalid_payload", "scheduled_at: the calendar ends before that time") from None
    if plan.player_url:
        check_player(plan.player_url)
    if plan.recording_url:
        fields["no_recording"] = False
    elif plan.no_recording:
        fields["recording_url"] = None
    return fields


def _checked(fields: dict[str, Any]) -> Room:
    """A room of these fields. Raises BadInput, naming the field whose value its type does not allow."""
    try:
        return msgspec.convert(fields, Room)
    except msgspec.ValidationError as error:
        raise BadInput("invalid_payload", str(error)) from None
