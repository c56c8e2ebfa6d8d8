"""The input and output of a decision: commands, the records they rest on, and the change they make."""

from datetime import datetime

from msgspec import Struct

from room_server.core.announcements import Schedule
from room_server.core.bindings import BoundChats
from room_server.core.messages import Actor, ClientHook, CoreHook, Event, Message, MessageKind
from room_server.core.room import Participation, Recording, Room, RosterEntry


class OperatorAction(Struct, frozen=True):
    """A transition by the operator's command line; `trigger` is a key of `lifecycle.TRANSITIONS`."""

    webinar_id: str
    trigger: str


class Cancel(Struct, frozen=True):
    """The operator calls a webinar off before it has begun; `silent`: nobody is told."""

    webinar_id: str
    silent: bool = False


class Evaluate(Struct, frozen=True):
    """The evaluation of one lead after the end of its webinar."""

    webinar_id: str
    lead_id: int


class Command(Struct, frozen=True, kw_only=True):
    """A hook and its actor. `id` is random, made where the hook comes in; it names a session that has no id."""

    id: str
    actor: Actor
    hook: CoreHook | ClientHook | OperatorAction | Cancel | Evaluate


class Facts(Struct, frozen=True, kw_only=True):
    """The stored records that a decision rests on; None: there is none."""

    room: Room | None = None
    participation: Participation | None = None
    entry: RosterEntry | None = None
    named_recording: Recording | None = None
    """A recording that was named after the room was archived; its messages use this one."""
    bound: BoundChats = BoundChats()
    """The chats to which the lead and its partner are bound, as far as the roster has none."""
    slots: int = 0
    """The slots of the time on air that the lead was seen in (core.watch_time)."""

    @property
    def recording(self) -> Recording:
        """The recording that messages use."""
        return self.named_recording or (self.room.recording if self.room else Recording())


class DecisionContext(Struct, frozen=True, kw_only=True):
    """What a listener gets: the records (the room exists), and who acts when."""

    room: Room
    participation: Participation | None
    entry: RosterEntry | None
    recording: Recording
    bound: BoundChats
    command_id: str
    actor_name: str | None
    now: datetime


class Reaction(Struct, frozen=True, kw_only=True):
    """The result of one listener: a new participation, events to emit, messages to send; by default nothing."""

    participation: Participation | None = None
    emit: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()


class Change(Struct, frozen=True, kw_only=True):
    """The result of a decision: the records to store, the events and the messages to append.

    A record that is the same object as in the facts is not written. `duplicate`: the change was already in effect.
    """

    room: Room
    participation: Participation | None
    events: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()
    named_recording: Recording | None = None
    """To store beside the record of an archived room; None: no change."""
    arm_evaluation: bool = False
    notice: MessageKind | None = None
    """What registered leads are to be told of the change: `moved` or `cancelled`."""
    schedule: Schedule = Schedule()
    """What the change does to the schedule of announcements; set when it is stored."""
    duplicate: bool = False
    actor: Actor | None = None
    """Whose command led to it; set when it is stored."""
