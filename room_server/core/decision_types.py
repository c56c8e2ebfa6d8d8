"""What a decision is made on, and what it leads to: values only."""

from datetime import datetime

from msgspec import Struct

from room_server.core.messages import Actor, ClientHook, CoreHook, Event, Message
from room_server.core.room import Participation, Recording, Room, RosterEntry


class OperatorAction(Struct, frozen=True):
    """An internal act of Core, from the operator's command line: `trigger` is a word of the lifecycle table."""

    webinar_id: str
    trigger: str


class Evaluate(Struct, frozen=True):
    """The evaluation of one lead after the end."""

    webinar_id: str
    lead_id: int


class Command(Struct, frozen=True, kw_only=True):
    """What someone wants. `id` is random and made at the edge; a session without an id of its own takes it."""

    id: str
    actor: Actor
    hook: CoreHook | ClientHook | OperatorAction | Evaluate


class Facts(Struct, frozen=True, kw_only=True):
    """The records that stand; None: there is none."""

    room: Room | None = None
    participation: Participation | None = None
    entry: RosterEntry | None = None
    named_recording: Recording | None = None
    """Said after the room was archived, whose record never changes: it counts for the messages."""

    @property
    def recording(self) -> Recording:
        """What the messages rest on."""
        return self.named_recording or (self.room.recording if self.room else Recording())


class DecisionContext(Struct, frozen=True, kw_only=True):
    """The same records once the room is known to exist: what a listener is given."""

    room: Room
    participation: Participation | None
    entry: RosterEntry | None
    recording: Recording
    command_id: str
    actor_name: str | None
    now: datetime


class Reaction(Struct, frozen=True, kw_only=True):
    """What one listener wants; nothing, by default."""

    participation: Participation | None = None
    emit: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()


class Change(Struct, frozen=True, kw_only=True):
    """What a decision comes to. `room` and `participation` are the records as they shall stand.

    A record that is the very same object as in the facts is not written. `duplicate`: the wish had come true before.
    """

    room: Room
    participation: Participation | None
    events: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()
    named_recording: Recording | None = None
    """To be kept beside the record of an archived room; None: what is kept there stays."""
    arm_evaluation: bool = False
    duplicate: bool = False
