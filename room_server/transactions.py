"""From a command to a stored change: load the facts, decide, commit; if the records changed meanwhile, decide again.

The core decides and the store stores; only this module connects the two. All changes by hooks, the evaluation and the
command line go through it.

A change may be decided on this process's own copy of the room, because the commit compares the copy with the stored
room. A refusal or a duplicate writes nothing, so it is decided only on records that were loaded for this request.
"""

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.announcements import rescheduled
from room_server.core.attendance_rule import is_evaluated_only
from room_server.core.decide import decide
from room_server.core.decision_types import Change, Command, Facts
from room_server.core.messages import Actor, Entered, SetCtaVisibility, SetStatus
from room_server.core.room import Room
from room_server.errors import Conflict, Refusal, StateUnavailable, webinar_unknown
from room_server.ids import new_epoch
from room_server.state import bindings
from room_server.state.records import Loaded, Target
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from room_server.telemetry import tracing

ATTEMPTS = 8
"""Most tries to commit one change; then the caller is asked to repeat the request."""

SEEN_WITHIN = timedelta(seconds=5)
"""The least grace where watch time counts: until then the processes have stored what they saw up to the end."""

Decision = Callable[[Facts], Change]
"""The change for these facts. Raises Refusal. It may be called again, with newer facts."""


class Transactions:
    """Decides and commits. Every method raises StateUnavailable when Redis does not answer within `retry.DEADLINE`.

    Whether the change was then stored is unknown. It is safe to repeat the call: it decides on what is stored.
    """

    def __init__(self, store: Store, evaluation_grace: float) -> None:
        """`evaluation_grace`: seconds from the end of a webinar to its evaluation, if the room has none of its own."""
        self.store = store
        self._grace = timedelta(seconds=evaluation_grace)
        self.conflicts = 0
        """Commits of this process that failed because the records had changed."""

    async def apply(self, command: Command, read: Loaded | None = None) -> Change:
        """Decide a command and commit. `read`: facts to decide on first. Raises Refusal.

        When it returns, the change is on disk, and on as many replicas as the settings ask for.
        """
        hook = command.hook
        target = Target(hook.webinar_id, str(getattr(hook, "lead_id", "")))
        assumed = read or self._assumed(command, target)

        def decision(facts: Facts) -> Change:
            return replace(decide(command, facts, utc_now()), actor=command.actor)

        return await self._transact(target, decision, assumed)

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

    async def change(self, webinar_id: str, decision: Decision, actor: Actor | None = None) -> Change:
        """Commit what `decision` makes of the stored room, if there is one, in the actor's name. Raises Refusal."""
        return await self._transact(Target(webinar_id), lambda facts: replace(decision(facts), actor=actor))

    async def renew(self, webinar_id: str, lost: tuple[str, int]) -> None:
        """Give the room a new epoch, after a fail-over lost its last changes. Raises Unknown when it was deleted.

        `lost`: the epoch and version that were read after it. If the room has others by now, nothing is done: another
        process was first. Replicas are not waited for: a primary that was just promoted has none.
        """

        def decision(room: Room, _: Facts) -> Change:
            is_unchanged = (room.epoch, room.version) == lost
            renewed = replace(room, epoch=new_epoch(), version=room.version + 1) if is_unchanged else room
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
                loaded = await self._with_chats(await self.store.load_to_decide(target, replicated))
                change = _decided(decision, loaded.facts)
            for _ in range(ATTEMPTS):
                stored = await self.store.commit(loaded, change, self._evaluation_in(change), replicated)
                if stored is None:
                    return change
                self.conflicts += 1
                loaded = await self._with_chats(stored)
                change = _decided(decision, loaded.facts)
        raise StateUnavailable(f"the webinar changed {ATTEMPTS} times while this was decided; repeat the request")

    async def _with_chats(self, loaded: Loaded) -> Loaded:
        """The facts with the chats that the lead and its partner are bound to, if messages may follow."""
        facts = loaded.facts
        room = facts.room
        if not loaded.target.lead or room is None or not (room.finished_at or room.tell_arrivals):
            return loaded
        (bound,) = await bindings.bound_chats(self.store, [(int(loaded.target.lead), facts.entry)])
        return replace(loaded, facts=replace(facts, bound=bound))

    def _assumed(self, command: Command, target: Target) -> Loaded | None:
        """Facts that are likely: the room is as this process's copy, and a lead who enters has not entered before."""
        if not isinstance(command.hook, SetStatus | SetCtaVisibility | Entered):
            return None
        room = self.store.copies.get(target.webinar_id)
        if room is not None and room.tell_arrivals and isinstance(command.hook, Entered):
            return None  # the roster says whom to tell
        return Loaded(target=target, facts=Facts(room=room)) if room else None

    def _evaluation_in(self, change: Change) -> timedelta | None:
        """The time until the evaluation that this change schedules; None when it schedules none."""
        finished_at = change.room.finished_at
        if not change.arm_evaluation or finished_at is None:
            return None
        return max(finished_at + self.grace_of(change.room) - utc_now(), timedelta())

    def grace_of(self, room: Room) -> timedelta:
        """The time from the room's end to its evaluation."""
        grace = self._grace if room.grace is None else timedelta(seconds=room.grace)
        return max(grace, SEEN_WITHIN) if is_evaluated_only(room.attended_by) else grace


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
        change = decision(facts)
    if change.room is facts.room:
        return change
    return replace(change, schedule=rescheduled(facts.room, change.room, change.notice, utc_now()))
