"""Plans webinars and moves them from state to state.

Every act raises Refusal and StateUnavailable. Asking for what is so already is no error: then `duplicate` is true.
"""

from datetime import datetime

from msgspec import Struct

from room_server.core import planning
from room_server.core.decision_types import Cancel, Change, Command, Facts, OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.core.messages import Actor
from room_server.core.planning import PlanWebinar
from room_server.core.room import Status
from room_server.core.site_hooks import ArchiveWebinar, CancelWebinar, PauseWebinar, ResumeWebinar
from room_server.errors import BadInput, Conflict, webinar_unknown
from room_server.ids import new_epoch, new_id
from room_server.jobs.evaluation import Evaluations
from room_server.telegram import texts
from room_server.transactions import Transactions


class Moved(Struct, frozen=True):
    """The webinar after the act."""

    webinar_id: str
    duplicate: bool
    status: Status
    version: int


class Planned(Struct, frozen=True):
    """The webinar after the plan; `created`: there was none before."""

    webinar_id: str
    duplicate: bool
    created: bool
    status: Status
    version: int


class Cancelled(Struct, frozen=True):
    """The webinar after it was called off, and since when it is."""

    webinar_id: str
    duplicate: bool
    status: Status
    version: int
    cancelled_at: datetime | None


def check_plan(hook: PlanWebinar) -> None:
    """Check what the types cannot: addresses, origins, texts. Raises BadInput, which names the field."""
    planning.fields_of(hook)
    if hook.texts and (found := texts.problems(hook.texts)):
        raise BadInput("invalid_payload", f"texts: {'; '.join(found)}", field="texts")


async def plan(transactions: Transactions, actor: Actor, hook: PlanWebinar) -> Planned:
    """Make the webinar, or change what the hook sets, in one commit."""
    return await _plan(transactions, actor, hook)


async def create(transactions: Transactions, actor: Actor, hook: PlanWebinar) -> Planned:
    """The same for a webinar that must be new. Raises Conflict `webinar_exists`, too."""
    return await _plan(transactions, actor, hook, is_known=False)


async def amend(transactions: Transactions, actor: Actor, hook: PlanWebinar) -> Planned:
    """The same for a webinar that must be there. Raises Unknown, too."""
    return await _plan(transactions, actor, hook, is_known=True)


async def _plan(transactions: Transactions, actor: Actor, hook: PlanWebinar, is_known: bool | None = None) -> Planned:
    check_plan(hook)
    epoch = new_epoch()

    def decision(facts: Facts) -> Change:
        if is_known is False and facts.room is not None:
            raise Conflict("webinar_exists", f"there is a webinar {hook.webinar_id} already")
        if is_known and facts.room is None:
            raise webinar_unknown(hook.webinar_id)
        return planning.planned(facts, hook, epoch)

    change = await transactions.change(hook.webinar_id, decision, actor)
    room = change.room
    return Planned(room.webinar_id, change.duplicate, room.epoch == epoch, room.status, room.version)


async def move(transactions: Transactions, actor: Actor, action: OperatorAction) -> Moved:
    """Move a webinar by a trigger; before the archive a pending evaluation runs to its end."""
    if action.trigger == Trigger.ARCHIVE:
        await Evaluations(transactions).run_pending(action.webinar_id)
    change = await transactions.apply(Command(id=new_id(), actor=actor, hook=action))
    return Moved(change.room.webinar_id, change.duplicate, change.room.status, change.room.version)


async def pause(transactions: Transactions, actor: Actor, hook: PauseWebinar) -> Moved:
    """A technical pause."""
    return await move(transactions, actor, OperatorAction(hook.webinar_id, Trigger.PAUSE))


async def resume(transactions: Transactions, actor: Actor, hook: ResumeWebinar) -> Moved:
    """Go on after a pause."""
    return await move(transactions, actor, OperatorAction(hook.webinar_id, Trigger.RESUME))


async def archive(transactions: Transactions, actor: Actor, hook: ArchiveWebinar) -> Moved:
    """Close a finished webinar for good. It may be repeated when many leads take too long to be evaluated."""
    return await move(transactions, actor, OperatorAction(hook.webinar_id, Trigger.ARCHIVE))


async def cancel(transactions: Transactions, actor: Actor, hook: CancelWebinar) -> Cancelled:
    """Call a webinar off before it has begun."""
    change = await transactions.apply(Command(id=new_id(), actor=actor, hook=Cancel(hook.webinar_id, hook.silent)))
    room = change.room
    return Cancelled(room.webinar_id, change.duplicate, room.status, room.version, room.cancelled_at)
