"""What is remembered of each webinar: load, decide, commit, and decide again when someone else was first.

An acceptance may rest on this process's own copy of the room, since the commit compares it with what stands; a refusal
or a repeat is answered only from records loaded for this request, since nothing would correct a stale one.
Raises StateUnavailable when Redis does not answer within DEADLINE; a write that is then unknown is safe to repeat.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.decide import decide
from room_server.core.decision_types import Change, Command, Facts
from room_server.core.messages import Entered, SetCtaVisibility, SetStatus
from room_server.core.planning import Plan, amended
from room_server.core.room import Recording, Room
from room_server.errors import Conflict, Refusal, StateUnavailable, Unknown
from room_server.ids import new_id
from room_server.state import commits
from room_server.state.copies import Copies
from room_server.state.keys import Keys
from room_server.state.records import Records
from room_server.state.redis.pipeline import Pipeline, Script
from room_server.state.redis.retry import deadline, with_retries
from room_server.telemetry import tracing

logger = logging.getLogger(__name__)

ATTEMPTS = 8
"""Decisions on changed facts before giving up."""


class Loaded(Struct, frozen=True, kw_only=True):
    """The facts, and their bytes as they stand in Redis: what the commit compares."""

    facts: Facts
    participation: bytes = b""
    entry: bytes = b""
    assumed: bool = False
    """Taken from this process's copy: good enough to accept on, never to refuse on."""


class Target(NamedTuple):
    """Whose records a command is about; `lead` is empty when it is about the room alone."""

    webinar_id: str
    lead: str = ""


Decision = Callable[[Loaded], Change | None]
Revision = Callable[[Room, Recording], Change]
Run = Callable[[Script, list[str], list[Any]], Awaitable[Any]]


class Store:
    """The state of all webinars, through one pipeline; what is to outlive a fail-over goes through `confirmed`."""

    def __init__(self, pipeline: Pipeline, keys: Keys, evaluation_grace: float, confirmed: Pipeline) -> None:
        self.pipeline = pipeline
        self.confirmed = confirmed
        self.keys = keys
        self.records = Records()
        self.away: set[str] = set()
        """Partitions that did not answer when all of them were asked last: see state.partitions."""
        self._grace = evaluation_grace
        self._commit = Script.read("commit")
        self._loading = Script.read("load")
        self._copies = Copies(keys)
        self.conflicts = 0

    async def apply(self, command: Command, seen: Loaded | None = None) -> Change:
        """The change that `command` came to, durable; `seen` are facts read a moment ago. Raises Refusal."""
        hook = command.hook
        target = Target(hook.webinar_id, str(getattr(hook, "lead_id", "")))
        return await self._converge(target, lambda loaded: _answer(command, loaded), seen or self._assume(command))

    async def _converge(
        self, target: Target, decision: Decision, start: Loaded | None = None, run: Run | None = None
    ) -> Change:
        """Decide and commit until nobody was faster; `decision` gives None where it must see loaded facts.

        Scripts are run by `run`: by `keep`, unless the change is a promise to nobody.
        """
        run = run or self.run_replicated
        async with deadline():
            loaded = start or await self._load(target, run)
            for _ in range(ATTEMPTS):
                with tracing.span("decide"):
                    change = decision(loaded)
                if change is None:
                    loaded = await self._load(target, run)
                    continue
                standing = await self._try(target, loaded, change, run)
                if standing is None:
                    return change
                loaded = standing
        raise StateUnavailable(f"the webinar changed {ATTEMPTS} times while this was decided; repeat the request")

    async def _try(self, target: Target, loaded: Loaded, change: Change, run: Run) -> Loaded | None:
        """None: committed, or there was nothing to write. Else what stands instead."""
        if commits.is_empty(loaded.facts, change):
            return None
        plan = commits.Commit(
            webinar_id=target.webinar_id,
            lead=target.lead,
            before=loaded.facts,
            participation=loaded.participation,
            entry=loaded.entry,
            change=change,
            grace=self._grace,
        )
        with tracing.span("commit", webinar=target.webinar_id):
            reply = await run(self._commit, *commits.arguments(self.keys, plan))
        if reply[0] == b"committed":
            self._copies.remember(change.room)
            if change.room is not loaded.facts.room:
                commits.log_change(change.room)
            return None
        self.conflicts += 1
        return self._read(target, reply[1:])

    async def load(self, webinar_id: str, lead_id: int | None = None) -> Facts:
        """The records as they stand. Raises StateUnavailable."""
        async with deadline():
            return (await self._load(Target(webinar_id, str(lead_id or "")), self.run)).facts

    async def create(self, room: Room) -> Room:
        """A webinar that was not there before. Raises Conflict `webinar_exists`."""

        def born(loaded: Loaded) -> Change:
            if loaded.facts.room is not None:
                raise Conflict("webinar_exists", f"there is a webinar {room.webinar_id} already")
            return Change(room=room, participation=None)

        return (await self._converge(Target(room.webinar_id), born)).room

    async def edit(self, webinar_id: str, change: Callable[[Room], Room], run: Run | None = None) -> Room:
        """The room after `change`, which gets what stands and may refuse; `run` as in `_converge`. Raises Refusal."""
        return await self._revise(webinar_id, lambda room, _: Change(room=change(room), participation=None), run)

    async def amend(self, webinar_id: str, plan: Plan) -> Room:
        """The room after what the operator said. Raises Refusal."""
        return await self._revise(webinar_id, lambda room, recording: amended(room, recording, plan))

    async def _revise(self, webinar_id: str, revision: Revision, run: Run | None = None) -> Room:
        def decision(loaded: Loaded) -> Change:
            if loaded.facts.room is None:
                raise Unknown("webinar_unknown", f"there is no webinar {webinar_id}")
            return revision(loaded.facts.room, loaded.facts.recording)

        return (await self._converge(Target(webinar_id), decision, run=run)).room

    async def delete(self, webinar_id: str, archived_at: str = "") -> bool:
        """Everything of a webinar, as if it had never been; its sockets learn of the next one by its new epoch.

        With `archived_at` (Unix ms) only the one that was archived then; False for another. Its events stay.
        """
        places = self.keys.to_delete(webinar_id, new_id())
        async with deadline():
            reply = await self.run_replicated(
                Script.read("delete"), places, [commits.DONE_SECONDS, webinar_id, archived_at]
            )
        self._copies.drop(webinar_id)
        return bool(reply == b"deleted")

    async def renew(self, webinar_id: str, only: tuple[str, int] | None = None) -> Room:
        """The same room under a new epoch: a Redis that lost its last writes was promoted, and has no replica yet.

        With `only`, an epoch and a version, nothing is done once the room has others: somebody else was first.
        """

        def renewed(room: Room) -> Room:
            if only not in {None, (room.epoch, room.version)}:
                return room
            return replace(room, epoch=new_epoch(), version=room.version + 1)

        return await self.edit(webinar_id, renewed, self.run)

    async def public_texts(self, webinar_ids: list[str]) -> list[bytes | None]:
        """The room states as stored, in the order asked for; None: no such webinar. Raises StateUnavailable."""
        async with deadline():
            return await self.call_all([("HGET", self.keys.room(name), "public") for name in webinar_ids])

    def drop_copies(self, tag: str) -> None:
        """Drop the copies of a partition's rooms: the line to its server may have missed something."""
        self._copies.drop_all(tag)

    async def call(self, *command: Any) -> Any:
        """One command that may safely run twice, asked again when the line is cut, until the deadline around it."""
        return await with_retries(lambda: self.pipeline.call(*command))

    async def call_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Several such commands at once; where one is cut off, all are asked again."""
        return list(await with_retries(lambda: self.pipeline.call_all(commands)))

    async def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """One script that may safely run twice, asked again when the line is cut, until the deadline around it."""
        return await with_retries(lambda: self.pipeline.run(script, keys, arguments))

    async def run_replicated(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """The same; answered when as many replicas as are asked for have what it wrote, and all that it read."""
        return await with_retries(lambda: self.confirmed.run(script, keys, arguments))

    async def call_replicated(self, *command: Any) -> Any:
        """As `ask`, answered as `keep` is: then replicas also have all that was written to this partition before."""
        return await with_retries(lambda: self.confirmed.call(*command))

    def _assume(self, command: Command) -> Loaded | None:
        """What this process believes: its copy of the room, and that whoever enters was not here before."""
        room = self._copies.get(command.hook.webinar_id)
        if room is None or not isinstance(command.hook, SetStatus | SetCtaVisibility | Entered):
            return None
        return Loaded(facts=Facts(room=room), assumed=True)

    async def _load(self, target: Target, run: Run) -> Loaded:
        keys, name = self.keys, target.webinar_id
        places = [keys.room(name), keys.participations(name), keys.roster(name)]
        with tracing.span("load"):
            return self._read(target, await run(self._loading, places, [target.lead]))

    def _read(self, target: Target, replies: list[bytes | None]) -> Loaded:
        facts = self.records.facts(target.webinar_id, replies)
        if facts.room is not None:
            self._copies.remember(facts.room)
        return Loaded(facts=facts, participation=replies[1] or b"", entry=replies[2] or b"")

    def loaded_from(self, webinar_id: str, facts: Facts, participation: bytes, entry: bytes) -> Loaded:
        """`facts` of a room with records that were just read; the commit compares them. Raises UnreadableRecord."""
        read = self.records.facts(webinar_id, [None, participation, entry, None])
        known = replace(read, room=facts.room, named_recording=facts.named_recording)
        return Loaded(facts=known, participation=participation, entry=entry, assumed=True)


def new_epoch() -> str:
    """A random name for one life of a room's versions."""
    return secrets.token_hex(4)


def _answer(command: Command, loaded: Loaded) -> Change | None:
    """The decision; None when it may not be answered from assumed facts."""
    try:
        change = decide(command, loaded.facts, utc_now())
    except Refusal:
        if loaded.assumed:
            return None
        raise
    return None if loaded.assumed and change.duplicate else change
