"""Client Webinar Tracker v2, Client Webinar Event Emitter and Client Webinar Attendance Service.

One listener for each of these modules, and the rules of docs/domain.md, "Classification": by default a lead that
entered and completed has attended, and the evaluation classifies any other lead as not attended. Under a rule that
looks at watch time (core.attendance_rule) the evaluation classifies everybody. A classification never changes.
"""

from typing import TypeVar

from msgspec.structs import replace

from room_server.core import attendance_rule, watch_time
from room_server.core.decision_types import DecisionContext, Facts, Reaction
from room_server.core.messages import AttendanceClassified, Completed, CtaClicked, Entered, WebinarCompleted
from room_server.core.room import Participation, Room, Status, Visibility
from room_server.errors import Conflict

Session = TypeVar("Session", Entered, Completed)


def check_enter(context: DecisionContext) -> bool:
    """False when the lead has entered already. Raises Conflict when the webinar is not live."""
    if context.participation is not None and context.participation.entered_at is not None:
        return False
    if context.room.status is not Status.LIVE:
        raise Conflict("webinar_not_live", f"the webinar is {context.room.status}")
    return True


def check_complete(context: DecisionContext) -> bool:
    """False when the lead has completed already. Raises Conflict before the end, or when it never entered."""
    participation = context.participation
    if participation is not None and participation.completed_at is not None:
        return False
    if context.room.status is not Status.FINISHED:
        raise Conflict("webinar_not_finished", f"the webinar is {context.room.status}")
    if participation is None or participation.entered_at is None:
        raise Conflict("lead_not_entered", "this lead never entered, so there is nothing to complete")
    return True


def check_click(context: DecisionContext) -> bool:
    """False when the lead has clicked already. Raises Conflict when the call to action is not shown."""
    if context.participation is not None and context.participation.cta_clicked_at is not None:
        return False
    if context.room.cta_visibility is not Visibility.VISIBLE:
        raise Conflict("cta_not_visible", "the call to action is not shown, so nobody can follow it")
    return True


def name_session(hook: Session, context: DecisionContext) -> Session:
    """The hook with a session id: the client's, else the participation's, else the id of the command."""
    known = context.participation.session_id if context.participation else None
    return replace(hook, session_id=hook.session_id or known or context.command_id)


def track_entered(hook: Entered, context: DecisionContext) -> Reaction:
    """Tracker: record that the lead entered, with its session and name."""
    known = context.participation or Participation(lead_id=hook.lead_id)
    entered = replace(known, entered_at=context.now, session_id=hook.session_id, name=context.actor_name)
    return Reaction(participation=entered)


def track_completed(hook: Completed, context: DecisionContext) -> Reaction:
    """Tracker: record that the lead completed."""
    known = context.participation or Participation(lead_id=hook.lead_id)
    return Reaction(participation=replace(known, completed_at=context.now))


def track_cta_clicked(hook: CtaClicked, context: DecisionContext) -> Reaction:
    """Tracker: record that the lead followed the call to action. That is no entering."""
    known = context.participation or Participation(lead_id=hook.lead_id)
    return Reaction(participation=replace(known, cta_clicked_at=context.now, name=known.name or context.actor_name))


def emit_completed(hook: Completed, context: DecisionContext) -> Reaction:
    """Event emitter: emit `webinar_completed`, with the server's time."""
    event = WebinarCompleted(
        webinar_id=hook.webinar_id, lead_id=hook.lead_id, completed_at=context.now, session_id=hook.session_id
    )
    return Reaction(emit=(event,))


def classify_completed(hook: WebinarCompleted, context: DecisionContext) -> Reaction:
    """Attendance service: a lead that entered and completed has attended, unless watch time counts as well."""
    if attendance_rule.is_evaluated_only(context.room.attended_by):
        return Reaction()
    return classify(hook.lead_id, True, context)


def has_watched_enough(room: Room, slots: int) -> bool:
    """Whether a lead with these slots has the watch time that the room's rule asks for."""
    watched = watch_time.watched_ms(slots, room.on_air_ms)
    return (
        room.min_watch is not None
        and watched > 0
        and watched >= attendance_rule.needed_ms(room.min_watch, room.on_air_ms)
    )


def evaluate(lead_id: int, facts: Facts, context: DecisionContext) -> Reaction:
    """Classify a lead of a webinar that is over by its rule; an empty reaction when there is nothing to classify.

    That is a lead that is not on the roster and never entered: it was erased or withdrawn meanwhile, or it only clicked
    or was only seen; unless what was seen counts.
    """
    room = context.room
    is_seen = bool(facts.slots) and attendance_rule.counts_unannounced(room.attended_by)
    has_entered = context.participation is not None and context.participation.entered_at is not None
    if context.entry is None and not has_entered and not is_seen:
        return Reaction()
    completed = context.participation is not None and context.participation.completed_at is not None
    attended = attendance_rule.has_attended(room.attended_by, completed, has_watched_enough(room, facts.slots))
    return classify(lead_id, attended, context)


def classify(lead_id: int, attended: bool, context: DecisionContext) -> Reaction:
    """Classify the lead and emit that; an empty reaction when it is classified already."""
    known = context.participation or Participation(lead_id=lead_id)
    if known.attended is not None:
        return Reaction()
    return Reaction(
        participation=replace(known, attended=attended, classified_at=context.now),
        emit=(
            AttendanceClassified(
                lead_id=lead_id, webinar_id=context.room.webinar_id, attended=attended, timestamp=context.now
            ),
        ),
    )
