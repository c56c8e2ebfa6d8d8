"""The one decision: a command on the facts as they stand gives a change or a refusal. Pure.

`decide` checks role, webinar, lead, existence and state in the order of the answer table, applies the change, and lets
the listeners run. A refusal changes nothing, since nothing was changed.
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from room_server.core import attendance, lifecycle, permissions
from room_server.core.facts import Act, Case, Change, Command, Evaluate, Facts
from room_server.core.lifecycle import Trigger
from room_server.core.listeners import settle
from room_server.core.messages import Completed, Entered, Event, Role, SetCtaVisibility, SetStatus
from room_server.core.room import Room, Status
from room_server.errors import Conflict, Forbidden

STATUS_WORDS = {"start": Trigger.START, "stop": Trigger.STOP}
"""The words of `core_webinar_set_status`; every other trigger is internal."""


def decide(command: Command, facts: Facts, now: datetime) -> Change:
    """What becomes of `command`. Raises Forbidden, Unknown or Conflict; `now` is the server's clock, UTC."""
    hook = command.hook
    _check_actor(command)
    if facts.room is None:
        raise permissions.unknown(hook.webinar_id)
    permissions.check_visible(command.actor, hook.webinar_id, facts.room.status)
    case = Case(
        room=facts.room,
        participation=facts.participation,
        entry=facts.entry,
        recording=facts.recording,
        command_id=command.id,
        actor_name=command.actor.name if command.actor.lead_id else None,
        now=now,
    )
    match hook:
        case SetStatus():
            return _changed(case, lifecycle.move(case.room, STATUS_WORDS[hook.status], now), (hook,))
        case SetCtaVisibility():
            return _changed(case, lifecycle.show_cta(case.room, hook.visible), (hook,))
        case Act():
            return _changed(case, lifecycle.move(case.room, Trigger(hook.trigger), now), ())
        case Entered():
            return _entered(hook, case)
        case Completed():
            return _completed(hook, case)
        case Evaluate():
            return _evaluated(hook, case)
        case _:
            assert_never(hook)


def _check_actor(command: Command) -> None:
    hook = command.hook
    if not isinstance(hook, Act | Evaluate):
        permissions.check_send(command.actor, hook)
    elif command.actor.role is not Role.SYSTEM:
        raise Forbidden("forbidden_role", "only the operator's command line does that")
    elif isinstance(hook, Act) and hook.trigger not in lifecycle.INTERNAL:
        raise Forbidden("forbidden_role", f"{hook.trigger} is for organizers and speakers, by the hook made for it")


def _unchanged(case: Case) -> Change:
    return Change(room=case.room, participation=case.participation, duplicate=True)


def _changed(case: Case, room: Room, events: tuple[Event, ...]) -> Change:
    """A change of the room. The end of a webinar arms its evaluation in the same commit."""
    if room is case.room:
        return _unchanged(case)
    ended = room.status is Status.FINISHED and case.room.status is not Status.FINISHED
    change = settle(events, replace(case, room=room))
    return replace(change, arm_evaluation=ended)


def _entered(hook: Entered, case: Case) -> Change:
    return settle((attendance.name_session(hook, case),), case) if attendance.check_enter(case) else _unchanged(case)


def _completed(hook: Completed, case: Case) -> Change:
    """A completion that comes after the lead was classified is kept, emits nothing and counts as a repeat."""
    if not attendance.check_complete(case):
        return _unchanged(case)
    if case.participation is not None and case.participation.attended is not None:
        kept = attendance.track_completed(hook, case).participation
        return Change(room=case.room, participation=kept, duplicate=True)
    return settle((attendance.name_session(hook, case),), case)


def _evaluated(hook: Evaluate, case: Case) -> Change:
    """After the end, whoever has no classification was not there."""
    if case.room.status not in {Status.FINISHED, Status.ARCHIVED}:
        raise Conflict("webinar_not_finished", f"the webinar is {case.room.status}")
    if case.participation is None and case.entry is None:
        return _unchanged(case)  # forgotten meanwhile: nobody is brought back
    reaction = attendance.classify(hook.lead_id, False, case)
    if reaction.participation is None:
        return _unchanged(case)
    return settle(reaction.emit, replace(case, participation=reaction.participation))
