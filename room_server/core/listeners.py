"""Who listens to what: the mission's module map as one table. Nobody calls anybody.

`settle` lets the listeners of each emitted event run in memory until nothing new is emitted. It ends: the map has no
cycle, which a test proves.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from room_server.core import attendance, follow_ups, routing
from room_server.core.decision_types import Change, DecisionContext, Reaction
from room_server.core.messages import (
    AttendanceClassified,
    Completed,
    Entered,
    Event,
    Message,
    PostWebinarRoute,
    SetCtaVisibility,
    SetStatus,
    WebinarCompleted,
)

Listener = Callable[[Any, DecisionContext], Reaction]

LISTENERS: dict[type[Event], tuple[Listener, ...]] = {
    SetStatus: (),
    SetCtaVisibility: (),
    Entered: (attendance.track_entered,),
    Completed: (attendance.track_completed, attendance.emit_completed),
    WebinarCompleted: (attendance.classify_completed,),
    AttendanceClassified: (follow_ups.tell_partner, routing.route),
    PostWebinarRoute: (follow_ups.follow_up, follow_ups.recording_follow_up),
}
"""The room's own hooks change the room itself in `decide`; the pages hear of it by the published state."""


def run_listeners(events: tuple[Event, ...], context: DecisionContext) -> Change:
    """The change that `events` lead to in `case`, with everything that their listeners emit, in order."""
    told: list[Event] = []
    messages: list[Message] = []
    waiting = deque(events)
    while waiting:
        event = waiting.popleft()
        told.append(event)
        for listener in LISTENERS[type(event)]:
            reaction = listener(event, context)
            if reaction.participation is not None:
                context = replace(context, participation=reaction.participation)
            waiting.extend(reaction.emit)
            messages.extend(reaction.messages)
    return Change(room=context.room, participation=context.participation, events=tuple(told), messages=tuple(messages))
