"""The operator's plan of a webinar: makes a new room, or changes titles, times, addresses and texts of one."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, force_setattr, replace

from room_server.core.attendance_rule import AttendedBy, MinWatch, is_evaluated_only
from room_server.core.decision_types import Change, Facts
from room_server.core.messages import MOMENTS, MessageKind, Moment, WebinarId
from room_server.core.players import check_address, check_player, frame_origin
from room_server.core.room import Description, Grace, Label, Recording, Room, Status, Title, Url
from room_server.core.wording import in_words
from room_server.errors import BadInput, Conflict

GivenGrace = Grace | Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,7})(?!\n)$", description="whole seconds")]

GivenOrigin = Annotated[str, Meta(min_length=1, max_length=2000)]


class Plan(Struct, frozen=True, kw_only=True):
    """The fields that an operator may set. UNSET leaves a field as it is; None clears it.

    `recording_url` None says that there will be no recording.
    """

    title: Title | UnsetType = UNSET
    scheduled_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    cta_label: Label | UnsetType | None = UNSET
    cta_url: Url | UnsetType | None = UNSET
    player_url: Url | UnsetType | None = UNSET
    frame_origins: Annotated[tuple[GivenOrigin, ...], Meta(max_length=10)] | UnsetType | None = UNSET
    recording_url: Url | UnsetType | None = UNSET
    texts: dict[str, dict[str, str]] | UnsetType | None = UNSET
    unlisted: bool | UnsetType | None = UNSET
    grace: GivenGrace | UnsetType | None = UNSET
    attended_by: AttendedBy | UnsetType | None = UNSET
    min_watch: MinWatch | UnsetType | None = UNSET
    remind: Annotated[tuple[Moment, ...], Meta(max_length=len(MOMENTS))] | UnsetType | None = UNSET
    tell_arrivals: bool | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if isinstance(self.grace, str):
            force_setattr(self, "grace", int(self.grace))


class PlanWebinar(Plan, frozen=True, kw_only=True):
    """`core_webinar_plan`: make a webinar, or change what is planned; `draft` false publishes a draft."""

    webinar_id: WebinarId
    draft: bool | UnsetType = UNSET
    silent: bool = False
    """Whether registered leads are not told of a new time."""


CLEARED: dict[str, Any] = {
    "description": "",
    "frame_origins": (),
    "texts": {},
    "unlisted": False,
    "remind": (),
    "tell_arrivals": False,
    "attended_by": AttendedBy.COMPLETED,
}
"""What a field is once it is cleared; any other is None."""
RESCHEDULABLE = frozenset({Status.DRAFT, Status.SCHEDULED})
RULE_FIELDS = frozenset({"attended_by", "min_watch"})
"""The fields that are locked once a webinar has begun: people would be counted by another rule than they came under."""
RECORDING_FIELDS = frozenset({"recording_url", "no_recording"})
"""The fields that may be set for an archived webinar: its messages use them."""


def planned(facts: Facts, hook: PlanWebinar, epoch: str) -> Change:
    """The change that the hook makes: a new webinar with this epoch, or one version of the known one.

    Raises Conflict, BadInput.
    """
    if facts.room is None:
        return Change(room=new_room(hook.webinar_id, epoch, hook, hook.draft is True), participation=None)
    change = amended(facts.room, facts.recording, hook)
    if not hook.silent and is_moved(facts.room, change.room):
        change = replace(change, notice=MessageKind.MOVED)
    if hook.draft is not UNSET and hook.draft is not (facts.room.status is Status.DRAFT):
        change = replace(change, room=_published(facts.room, change.room))
    return replace(change, duplicate=change.room is facts.room and change.named_recording is None)


def is_moved(before: Room, after: Room) -> bool:
    """Whether the change gives another time to a webinar that is published."""
    return before.status is Status.SCHEDULED and before.scheduled_at != after.scheduled_at


def _published(before: Room, after: Room) -> Room:
    """The amended room, no draft any more, in one version. Raises Conflict when the webinar is none now."""
    if before.status is Status.ARCHIVED:
        raise Conflict("webinar_state_locked", "an archived webinar never changes")
    if before.status is not Status.DRAFT:
        raise Conflict("webinar_state_invalid_rewind", f"the webinar is {before.status}, and never a draft again")
    return replace(after, status=Status.SCHEDULED, version=before.version + 1)


def new_room(webinar_id: str, epoch: str, plan: Plan, draft: bool) -> Room:
    """The first version of a webinar. Raises BadInput `invalid_payload`."""
    if plan.title is UNSET or plan.scheduled_at is UNSET:
        missing = "title" if plan.title is UNSET else "scheduled_at"
        refusal = f"a new webinar needs a title and a time: {missing} is missing"
        raise BadInput("invalid_payload", refusal, field=missing)
    return _with_rule_checked(
        _checked(
            {
                "webinar_id": webinar_id,
                "epoch": epoch,
                "version": 1,
                "status": Status.DRAFT if draft else Status.SCHEDULED,
                **fields_of(plan),
            }
        )
    )


def clone(room: Room, webinar_id: str, epoch: str, scheduled_at: datetime) -> Room:
    """A draft with the same plan at another time, without the recording, which is of the old event. Raises BadInput."""
    fields = {name: getattr(room, name) for name in Plan.__struct_fields__}
    recording_url = None if room.no_recording else UNSET
    plan = Plan(**{**fields, "scheduled_at": scheduled_at, "recording_url": recording_url})
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
    named = name_recording(room, recording, plan)
    if named == recording:
        return Change(room=room, participation=None)
    return Change(room=room, participation=None, named_recording=named, arm_evaluation=True)


def name_recording(room: Room, recording: Recording, plan: Plan) -> Recording:
    """The recording of an archived room after `plan`. Raises Conflict when that changes other fields, and BadInput."""
    fields = fields_of(plan)
    if any(getattr(room, name) != value for name, value in fields.items() if name not in RECORDING_FIELDS):
        raise Conflict("webinar_state_locked", "an archived webinar never changes; only its recording may be named")
    if not fields.keys() & RECORDING_FIELDS:
        return recording
    return _checked({**asdict(room), **fields}).recording


def amend(room: Room, plan: Plan) -> Room:
    """The room after `plan`; the same object when that changes nothing. Raises Conflict, BadInput.

    A new time brings a cancelled webinar back.
    """
    fields = {name: value for name, value in fields_of(plan).items() if getattr(room, name) != value}
    if not fields:
        return room
    if room.status is Status.ARCHIVED:
        raise Conflict("webinar_state_locked", "an archived webinar never changes")
    if "scheduled_at" in fields:
        if room.status not in RESCHEDULABLE:
            refusal = f"the time cannot be moved while the webinar is {room.status}"
            raise Conflict("webinar_state_invalid_rewind", refusal)
        fields["cancelled_at"] = None
    if fields.keys() & RULE_FIELDS and room.status not in RESCHEDULABLE:
        raise Conflict("webinar_rule_locked", "the rule for attendance cannot be changed once a webinar has begun")
    return replace(_with_rule_checked(_checked({**asdict(room), **fields})), version=room.version + 1)


def fields_of(plan: Plan) -> dict[str, Any]:
    """The fields of a room that the plan sets, consistent and in UTC. Raises BadInput, which names the field."""
    given = {name: getattr(plan, name) for name in Plan.__struct_fields__}
    fields = {
        name: CLEARED.get(name) if value is None else value for name, value in given.items() if value is not UNSET
    }
    if isinstance(plan.scheduled_at, datetime):
        try:
            fields["scheduled_at"] = plan.scheduled_at.astimezone(UTC)
        except OverflowError:
            refusal = "scheduled_at: the calendar ends before that time"
            raise BadInput("invalid_payload", refusal, field="scheduled_at") from None
    for name in ("cta_url", "player_url", "recording_url"):
        if address := fields.get(name):
            check_address(name, address)
    if plan.player_url:
        check_player(plan.player_url)
    if plan.frame_origins:
        fields["frame_origins"] = tuple(_origin(place, one) for place, one in enumerate(plan.frame_origins))
    if plan.remind:
        fields["remind"] = tuple(moment for moment in MOMENTS if moment in plan.remind)
    if plan.recording_url is not UNSET:
        fields["no_recording"] = plan.recording_url is None
    return fields


def _origin(place: int, address: str) -> str:
    found = frame_origin(address)
    if found is None:
        name = f"frame_origins[{place}]"
        refusal = f"{name}: {address} is not an origin like https://player.example.org"
        raise BadInput("invalid_payload", refusal, field=name)
    return found


def _with_rule_checked(room: Room) -> Room:
    """The room. Raises BadInput when its rule looks at watch time, and it is not said how much."""
    if is_evaluated_only(room.attended_by) and room.min_watch is None:
        detail = f"min_watch: attended_by {room.attended_by} needs a minimum such as 60% or 30m"
        raise BadInput("invalid_payload", detail, field="min_watch")
    return room


def _checked(fields: dict[str, Any]) -> Room:
    """A room of these fields. Raises BadInput, naming the field whose value its type does not allow."""
    try:
        return msgspec.convert(fields, Room)
    except msgspec.ValidationError as error:
        field, fault = in_words(str(error), Room)
        raise BadInput("invalid_payload", f"{field}: {fault}", field=field) from None
