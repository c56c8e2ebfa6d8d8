"""Which listener handles which event, as one table. Listeners never call each other.

`run_listeners` ends because the table has no cycle; a test checks that.
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
    CtaClicked,
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
    Entered: (attendance.track_entered, follow_ups.tell_arrival),
    Completed: (attendance.track_completed, attendance.emit_completed),
    CtaClicked: (attendance.track_cta_clicked,),
    WebinarCompleted: (attendance.classify_completed,),
    AttendanceClassified: (follow_ups.notify_partner, routing.route),
    PostWebinarRoute: (follow_ups.follow_up, follow_ups.recording_follow_up),
}
"""The hooks without a listener change the room itself, in `decide`."""


def run_listeners(events: tuple[Event, ...], context: DecisionContext) -> Change:
    """Run the listeners of `events`, then those of the events they emit, until none is left; the resulting change."""
    emitted: list[Event] = []
    messages: list[Message] = []
    waiting = deque(events)
    while waiting:
        event = waiting.popleft()
        emitted.append(event)
        for listener in LISTENERS[type(event)]:
            reaction = listener(event, context)
            if reaction.participation is not None:
                context = replace(context, participation=reaction.participation)
            waiting.extend(reaction.emit)
            messages.extend(reaction.messages)
    return Change(
        room=context.room, participation=context.participation, events=tuple(emitted), messages=tuple(messages)
    )
