"""From a command to a stored change: load the facts, decide, commit; when the records changed meanwhile, decide again.

The core decides and the store stores; this is the only module that brings the two together. Every write of hooks, of
the evaluation and of the command line goes through it.

An acceptance may rest on this process's own copy of the room, because the commit compares that copy with what is
stored. A refusal or a duplicate is answered only from records loaded for this request: nothing would correct it.
"""

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core import planning
from room_server.core.decide import decide
from room_server.core.decision_types import Change, Command, Facts
from room_server.core.messages import Entered, SetCtaVisibility, SetStatus
from room_server.core.planning import Plan
from room_server.core.room import Room
from room_server.errors import Conflict, Refusal, StateUnavailable, webinar_unknown
from room_server.ids import new_epoch
from room_server.state.records import Loaded, Target
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from room_server.telemetry import tracing

ATTEMPTS = 8
"""Commits that may find other records than those decided on, before the caller is told to come back."""

Decision = Callable[[Facts], Change]
"""Facts to change; raises Refusal. It may be called again, on newer facts."""


class Transactions:
    """Decides and commits. Every method raises StateUnavailable when Redis does not answer within `retry.DEADLINE`.

    Whether the write then happened is unknown. It is safe to repeat: each decision sees what is stored.
    """

    def __init__(self, store: Store, evaluation_grace: float) -> None:
        """`evaluation_grace`: seconds between the end of a webinar and the evaluation of its leads."""
        self.store = store
        self._grace = timedelta(seconds=evaluation_grace)
        self.conflicts = 0
        """Commits of this process that found other records than those decided on."""

    async def apply(self, command: Command, read: Loaded | None = None) -> Change:
        """Decide a command and commit; the change is durable. `read`: facts to try first. Raises Refusal."""
        hook = command.hook
        target = Target(hook.webinar_id, str(getattr(hook, "lead_id", "")))
        assumed = read or self._assumed(command, target)
        return await self._transact(target, lambda facts: decide(command, facts, utc_now()), assumed)

    async def create(self, room: Room) -> Room:
        """Store a new webinar. Raises Conflict `webinar_exists`."""

        def decision(facts: Facts) -> Change:
            if facts.room is not None:
                raise Conflict("webinar_exists", f"there is a webinar {room.webinar_id} already")
            return Change(room=room, participation=None)

        return (await self._transact(Target(room.webinar_id), decision)).room

    async def edit(self, webinar_id: str, edited: Callable[[Room], Room]) -> Room:
        """Replace the room by what `edited` returns for the stored one. Raises Refusal."""
        return await self._revise(webinar_id, lambda room, _: Change(room=edited(room), participation=None))

    async def amend(self, webinar_id: str, plan: Plan) -> Room:
        """Apply the operator's changes to a planned webinar. Raises Refusal."""
        return await self._revise(webinar_id, lambda room, facts: planning.amended(room, facts.recording, plan))

    async def renew(self, webinar_id: str, lost: tuple[str, int]) -> None:
        """Give the room a new epoch, after a fail-over lost its last changes. Raises Unknown when it was deleted.

        `lost`: the epoch and version that were read. If the room has others by now, another process was faster and
        nothing is done. Replicas are not waited for: a primary that was just promoted has none.
        """

        def decision(room: Room, _: Facts) -> Change:
            is_standing = (room.epoch, room.version) == lost
            renewed = replace(room, epoch=new_epoch(), version=room.version + 1) if is_standing else room
            return Change(room=renewed, participation=None)

        await self._revise(webinar_id, decision, replicated=False)

    async def _revise(
        self, webinar_id: str, revision: Callable[[Room, Facts], Change], replicated: bool = True
    ) -> Room:
        def decision(facts: Facts) -> Change:
            if facts.room is None:
                raise webinar_unknown(webinar_id)
            return revision(facts.room, facts)

        return (await self._transact(Target(webinar_id), decision, replicated=replicated)).room

    async def _transact(
        self, target: Target, decision: Decision, assumed: Loaded | None = None, replicated: bool = True
    ) -> Change:
        async with deadline():
            loaded, change = assumed, accepted(decision, assumed)
            if loaded is None or change is None:
                loaded = await self.store.load_to_decide(target, replicated)
                change = _decided(decision, loaded.facts)
            for _ in range(ATTEMPTS):
                stored = await self.store.commit(loaded, change, self._evaluation_in(change), replicated)
                if stored is None:
                    return change
                self.conflicts += 1
                loaded, change = stored, _decided(decision, stored.facts)
        raise StateUnavailable(f"the webinar changed {ATTEMPTS} times while this was decided; repeat the request")

    def _assumed(self, command: Command, target: Target) -> Loaded | None:
        """What this process assumes: the room is as its copy, and a lead that enters has not been there."""
        if not isinstance(command.hook, SetStatus | SetCtaVisibility | Entered):
            return None
        room = self.store.copies.get(target.webinar_id)
        return Loaded(target=target, facts=Facts(room=room)) if room else None

    def _evaluation_in(self, change: Change) -> timedelta | None:
        """The time until the evaluation that this change schedules; None when it schedules none."""
        finished_at = change.room.finished_at
        if not change.arm_evaluation or finished_at is None:
            return None
        return max(finished_at + self._grace - utc_now(), timedelta())


def accepted(decision: Decision, assumed: Loaded | None) -> Change | None:
    """The change that may be committed on assumed facts; None for a refusal, a duplicate, or without such facts."""
    if assumed is None:
        return None
    try:
        change = _decided(decision, assumed.facts)
    except Refusal:
        return None
    return None if change.duplicate else change


def _decided(decision: Decision, facts: Facts) -> Change:
    with tracing.span("decide"):
        return decision(facts)
