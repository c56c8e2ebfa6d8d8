"""A webinar kept in memory, as the store keeps it, and random sequences of commands to send to it."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from room_server.core.decide import decide
from room_server.core.decision_types import Command, Facts
from room_server.core.messages import Event, Message
from room_server.core.room import Participation, Room, RosterEntry
from room_server.errors import Refusal
from tests.core.builders import (
    LEAD,
    OTHER_LEAD,
    ROLES,
    Hook,
    act,
    actor,
    at,
    click,
    complete,
    cta,
    enter,
    evaluate,
    start,
    stop,
)

bounded = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Few enough examples for every run; that a machine is loaded is no finding."""

LEADS = (LEAD, OTHER_LEAD)
"""Two leads; only the first one is on the roster."""


class Step(NamedTuple):
    """One command at one time of the server's clock."""

    command: Command
    now: datetime

    @property
    def lead_id(self) -> int | None:
        """The lead that the command is about; None for the room's own."""
        return getattr(self.command.hook, "lead_id", None)

    def again(self) -> "Step":
        """The same wish, sent once more an hour later."""
        return Step(replace(self.command, id=f"{self.command.id}-again"), self.now + timedelta(hours=1))


class Outcome(NamedTuple):
    """What became of a step: the room before and after it, and `ok`, `duplicate` or the code of the refusal."""

    before: Room
    after: Room
    answer: str
    events: tuple[Event, ...]


class World:
    """The records of one webinar; `send` keeps a change whole, and of a refusal nothing."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.participations: dict[int, Participation] = {}
        self.events: list[Event] = []
        self.messages: list[Message] = []

    def send(self, step: Step) -> Outcome:
        before = self.room
        lead_id = step.lead_id or 0
        entry = RosterEntry(lead_id=lead_id, candidate_chat_id=lead_id) if lead_id == LEAD else None
        facts = Facts(room=before, participation=self.participations.get(lead_id), entry=entry)
        try:
            change = decide(step.command, facts, step.now)
        except Refusal as refusal:
            return Outcome(before, before, refusal.code, ())
        self.room = change.room
        if change.participation is not None:
            self.participations[lead_id] = change.participation
        self.events += change.events
        self.messages += change.messages
        return Outcome(before, change.room, "duplicate" if change.duplicate else "ok", change.events)

    def facts(self) -> tuple[Room, dict[int, Participation], list[bytes], list[Message]]:
        """All that stands, in an order that does not tell which lead came first."""
        messages = sorted(self.messages, key=lambda message: (message.lead_id, message.kind))
        return self.room, self.participations, sorted(map(msgspec.json.encode, self.events)), messages


def after(room: Room, steps: list[Step]) -> World:
    """The world in which the steps were sent, in order."""
    world = World(room)
    for step in steps:
        world.send(step)
    return world


def step(sending: tuple[Hook, str], clock: int) -> Step:
    """The hook from a caller of that role; an attendee speaks for the lead of the hook."""
    hook, role = sending
    lead_id, name = (getattr(hook, "lead_id", LEAD), "Анна") if role == "attendee" else (None, None)
    return Step(Command(id=f"c{clock}", actor=actor(role, lead_id=lead_id, name=name), hook=hook), at(clock))


_LEAD_HOOKS: list[Hook] = [make(lead_id) for make in (enter, complete, click, evaluate) for lead_id in LEADS]
_ROOM_HOOKS: list[Hook] = [start(), stop(), cta(True), cta(False)]
_TURNS: dict[str, tuple[Hook, str]] = {
    "start": (start(), "speaker"),
    "stop": (stop(), "organizer"),
    **{word: (act(word), "system") for word in ("schedule", "pause", "resume", "archive")},
}
_LIVES = (
    "schedule start stop archive",
    "start pause resume stop archive",
    "start pause stop archive",
    "start start stop stop",
    "archive pause resume schedule",
)

_INPUTS: list[tuple[Hook, str]] = [
    *[
        (make(lead_id), role)
        for make in (enter, complete, click)
        for lead_id in LEADS
        for role in ("attendee", "system")
    ],
    *[(evaluate(lead_id), "system") for lead_id in LEADS],
]
_ANYTHING: list[tuple[Hook, str]] = [
    *[(hook, role) for hook in _LEAD_HOOKS + _ROOM_HOOKS for role in ROLES],
    *[(hook, "speaker") for hook in _ROOM_HOOKS],
    *_TURNS.values(),
]
_CLOCK = st.integers(-3600, 3600)
_LEAD_STEPS = st.builds(step, st.sampled_from(_INPUTS), _CLOCK)
_ANY_STEPS = st.builds(step, st.sampled_from(_ANYTHING), _CLOCK)


class Chapter(NamedTuple):
    """A state of the room, or the attempt to reach it, and what leads do in it."""

    turn: Step
    inputs: list[Step]


@st.composite
def stories(draw: st.DrawFn) -> list[Chapter]:
    """A webinar's life in chapters, most of which come to something."""
    return [
        Chapter(step(_TURNS[word], draw(_CLOCK)), draw(st.lists(_LEAD_STEPS, max_size=8)))
        for word in draw(st.sampled_from(_LIVES)).split()
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """A webinar's life with anything from anybody in between."""
    steps = []
    for turn, inputs in draw(stories()):
        steps += [turn, *inputs, *draw(st.lists(_ANY_STEPS, max_size=3))]
    return steps
