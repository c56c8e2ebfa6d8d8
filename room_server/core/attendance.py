"""Client Webinar Tracker v2, Client Webinar Event Emitter and Client Webinar Attendance Service.

One listener each of the mission's map, and the rules of docs/domain.md, "Classification": entered and completed is
attended; anything else is not, once the evaluation asks. The first classification of a lead stands.
"""

from typing import TypeVar

from msgspec.structs import replace

from room_server.core.facts import Case, Reaction
from room_server.core.messages import AttendanceClassified, Completed, Entered, WebinarCompleted
from room_server.core.room import Participation, Status
from room_server.errors import Conflict

Session = TypeVar("Session", Entered, Completed)


def check_enter(case: Case) -> bool:
    """Whether the lead is still to enter; False for a repeat. Raises Conflict when the webinar is not live."""
    if case.participation is not None and case.participation.entered_at is not None:
        return False
    if case.room.status is not Status.LIVE:
        raise Conflict("webinar_not_live", f"the webinar is {case.room.status}")
    return True


def check_complete(case: Case) -> bool:
    """Whether the lead is still to complete; False for a repeat. Raises Conflict."""
    participation = case.participation
    if participation is not None and participation.completed_at is not None:
        return False
    if case.room.status is not Status.FINISHED:
        raise Conflict("webinar_not_finished", f"the webinar is {case.room.status}")
    if participation is None or participation.entered_at is None:
        raise Conflict("lead_not_entered", "this lead never entered, so there is nothing to complete")
    return True


def name_session(hook: Session, case: Case) -> Session:
    """The hook as it is told: its session is the client's, else the participation's, else made here."""
    own = case.participation.session_id if case.participation else None
    return replace(hook, session_id=hook.session_id or own or case.command_id)


def track_entered(hook: Entered, case: Case) -> Reaction:
    """Tracker: the lead is in; its session gets an id when the client brought none."""
    known = case.participation or Participation(lead_id=hook.lead_id)
    return Reaction(
        participation=replace(
            known,
            entered_at=case.now,
            session_id=hook.session_id,
            name=case.actor_name,
        )
    )


def track_completed(hook: Completed, case: Case) -> Reaction:
    """Tracker: the lead stayed to the end."""
    known = case.participation or Participation(lead_id=hook.lead_id)
    return Reaction(participation=replace(known, completed_at=case.now))


def emit_completed(hook: Completed, case: Case) -> Reaction:
    """Event emitter: the normalised downstream fact, by the server's clock."""
    fact = WebinarCompleted(
        webinar_id=hook.webinar_id, lead_id=hook.lead_id, completed_at=case.now, session_id=hook.session_id
    )
    return Reaction(emit=(fact,))


def classify_completed(hook: WebinarCompleted, case: Case) -> Reaction:
    """Attendance service: entered and completed is attended."""
    return classify(hook.lead_id, True, case)


def classify(lead_id: int, attended: bool, case: Case) -> Reaction:
    """The lead's one classification; nothing when it has one."""
    known = case.participation or Participation(lead_id=lead_id)
    if known.attended is not None:
        return Reaction()
    return Reaction(
        participation=replace(known, attended=attended, classified_at=case.now),
        emit=(
            AttendanceClassified(
                lead_id=lead_id, webinar_id=case.room.webinar_id, attended=attended, timestamp=case.now
            ),
        ),
    )
