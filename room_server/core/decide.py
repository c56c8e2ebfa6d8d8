"""Decides a command: `decide(command, facts, now)` gives a Change or raises a Refusal. Pure.

It checks role, webinar, lead, existence and status, in the order of docs/domain.md; it applies the hook and runs the
listeners of every emitted event. The caller stores the Change.
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from room_server.core import attendance, lifecycle, permissions
from room_server.core.decision_types import Cancel, Change, Command, DecisionContext, Evaluate, Facts, OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.core.listeners import run_listeners
from room_server.core.messages import (
    ClientHook,
    Completed,
    CtaClicked,
    Entered,
    Event,
    MessageKind,
    Role,
    SetCtaVisibility,
    SetStatus,
)
from room_server.core.room import Room, Status
from room_server.errors import Conflict, Forbidden, webinar_unknown

STATUS_WORDS = {"start": Trigger.START, "stop": Trigger.STOP}
"""The values of `status` in `core_webinar_set_status`; every other trigger is internal, and so is a stop by the
operator."""


def decide(command: Command, facts: Facts, now: datetime) -> Change:
    """The change that `command` makes to `facts` at `now` (UTC). Raises Forbidden, Unknown, Conflict."""
    hook = command.hook
    _check_actor(command)
    if facts.room is None:
        raise webinar_unknown(hook.webinar_id)
    permissions.check_visible(command.actor, hook.webinar_id, facts.room.status)
    context = DecisionContext(
        room=facts.room,
        participation=facts.participation,
        entry=facts.entry,
        recording=facts.recording,
        bound=facts.bound,
        command_id=command.id,
        actor_name=command.actor.name if command.actor.lead_id else None,
        now=now,
    )
    match hook:
        case SetStatus():
            return _changed(context, lifecycle.move(context.room, STATUS_WORDS[hook.status], now), (hook,))
        case SetCtaVisibility():
            return _changed(context, lifecycle.show_cta(context.room, hook.visible, now), (hook,))
        case OperatorAction() | Cancel():
            return _acted(hook, context)
        case Entered() | Completed() | CtaClicked():
            return _reported(hook, context)
        case Evaluate():
            return _evaluated(hook, facts, context)
        case _:
            assert_never(hook)


def _check_actor(command: Command) -> None:
    hook = command.hook
    if not isinstance(hook, OperatorAction | Cancel | Evaluate):
        permissions.check_send(command.actor, hook)
    elif command.actor.role is not Role.SYSTEM:
        raise Forbidden("forbidden_role", "only the operator's command line does that")
    elif isinstance(hook, OperatorAction) and hook.trigger not in lifecycle.INTERNAL:
        raise Forbidden("forbidden_role", f"{hook.trigger} is for organizers and speakers, by the hook made for it")


def _acted(hook: OperatorAction | Cancel, context: DecisionContext) -> Change:
    """What the operator does. A stop is the same event as one by the speaker; the rest is no event."""
    if isinstance(hook, Cancel):
        change = _changed(context, lifecycle.cancel(context.room, context.now), ())
        is_told = not (change.duplicate or hook.silent or change.room.status is Status.DRAFT)
        return replace(change, notice=MessageKind.CANCELLED if is_told else None)
    trigger = Trigger(hook.trigger)
    stop = (SetStatus(hook.webinar_id, "stop"),) if trigger is Trigger.STOP else ()
    return _changed(context, lifecycle.move(context.room, trigger, context.now), stop)


def _unchanged(context: DecisionContext) -> Change:
    return Change(room=context.room, participation=context.participation, duplicate=True)


def _changed(context: DecisionContext, room: Room, events: tuple[Event, ...]) -> Change:
    """The change to `room` with these events. The end of a webinar also schedules its evaluation."""
    if room is context.room:
        return _unchanged(context)
    ended = room.status is Status.FINISHED and context.room.status is not Status.FINISHED
    change = run_listeners(events, replace(context, room=room))
    return replace(change, arm_evaluation=ended)


def _reported(hook: ClientHook, context: DecisionContext) -> Change:
    match hook:
        case Entered():
            return _entered(hook, context)
        case Completed():
            return _completed(hook, context)
        case CtaClicked():
            return _clicked(hook, context)
        case _:
            assert_never(hook)


def _entered(hook: Entered, context: DecisionContext) -> Change:
    if not attendance.check_enter(context):
        return _unchanged(context)
    return run_listeners((attendance.name_session(hook, context),), context)


def _completed(hook: Completed, context: DecisionContext) -> Change:
    """A completion after the classification is recorded, emits nothing and counts as a duplicate."""
    if not attendance.check_complete(context):
        return _unchanged(context)
    if context.participation is not None and context.participation.attended is not None:
        kept = attendance.track_completed(hook, context).participation
        return Change(room=context.room, participation=kept, duplicate=True)
    return run_listeners((attendance.name_session(hook, context),), context)


def _clicked(hook: CtaClicked, context: DecisionContext) -> Change:
    if not attendance.check_click(context):
        return _unchanged(context)
    return run_listeners((hook,), context)


def _evaluated(hook: Evaluate, facts: Facts, context: DecisionContext) -> Change:
    """Classify a lead without a classification. Raises Conflict before the end of the webinar."""
    if context.room.status not in {Status.FINISHED, Status.ARCHIVED}:
        raise Conflict("webinar_not_finished", f"the webinar is {context.room.status}")
    reaction = attendance.evaluate(hook.lead_id, facts, context)
    if reaction.participation is None:
        return _unchanged(context)
    return run_listeners(reaction.emit, replace(context, participation=reaction.participation))
