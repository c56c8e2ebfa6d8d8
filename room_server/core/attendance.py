"""Client Webinar Tracker v2, Client Webinar Event Emitter and Client Webinar Attendance Service.

One listener each of the mission's map, and the rules of docs/domain.md, "Classification": entered and completed is
attended; anything else is not, once the evaluation asks. The first classification of a lead stands.
"""

from typing import TypeVar

from msgspec.structs import replace

from room_server.core.decision_types import DecisionContext, Reaction
from room_server.core.messages import AttendanceClassified, Completed, Entered, WebinarCompleted
from room_server.core.room import Participation, Status
from room_server.errors import Conflict

Session = TypeVar("Session", Entered, Completed)


def check_enter(context: DecisionContext) -> bool:
    """Whether the lead is still to enter; False for a repeat. Raises Conflict when the webinar is not live."""
    if context.participation is not None and context.participation.entered_at is not None:
        return False
    if context.room.status is not Status.LIVE:
        raise Conflict("webinar_not_live", f"the webinar is {context.room.status}")
    return True


def check_complete(context: DecisionContext) -> bool:
    """Whether the lead is still to complete; False for a repeat. Raises Conflict."""
    participation = context.participation
    if participation is not None and participation.completed_at is not None:
        return False
    if context.room.status is not Status.FINISHED:
        raise Conflict("webinar_not_finished", f"the webinar is {context.room.status}")
    if participation is None or participation.entered_at is None:
        raise Conflict("lead_not_entered", "this lead never entered, so there is nothing to complete")
    return True


def name_session(hook: Session, context: DecisionContext) -> Session:
    """The hook as it is told: its session is the client's, else the participation's, else made here."""
    own = context.participation.session_id if context.participation else None
    return replace(hook, session_id=hook.session_id or own or context.command_id)


def track_entered(hook: Entered, context: DecisionContext) -> Reaction:
    """Tracker: the lead is in; its session gets an id when the client brought none."""
    known = context.participation or Participation(lead_id=hook.lead_id)
    return Reaction(
        participation=replace(
            known,
            entered_at=context.now,
            session_id=hook.session_id,
            name=context.actor_name,
        )
    )


def track_completed(hook: Completed, context: DecisionContext) -> Reaction:
    """Tracker: the lead stayed to the end."""
    known = context.participation or Participation(lead_id=hook.lead_id)
    return Reaction(participation=replace(known, completed_at=context.now))


def emit_completed(hook: Completed, context: DecisionContext) -> Reaction:
    """Event emitter: the normalised downstream fact, by the server's clock."""
    fact = WebinarCompleted(
        webinar_id=hook.webinar_id, lead_id=hook.lead_id, completed_at=context.now, session_id=hook.session_id
    )
    return Reaction(emit=(fact,))


def classify_completed(hook: WebinarCompleted, context: DecisionContext) -> Reaction:
    """Attendance service: entered and completed is attended."""
    return classify(hook.lead_id, True, context)


def classify(lead_id: int, attended: bool, context: DecisionContext) -> Reaction:
    """The lead's one classification; nothing when it has one."""
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
