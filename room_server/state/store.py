"""The records of webinars in Redis: load the facts of a decision, commit what was decided, delete.

It stores and never decides: see room_server.transactions. All methods raise StateUnavailable when Redis refuses a
command. `call`, `call_all`, `run`, their replicated forms, `load_to_decide` and `commit` retry without end, so the
caller puts a `retry.deadline` around them; the other methods have their own.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from room_server.core.announcements import ANNOUNCEMENTS
from room_server.core.decision_types import Change, Facts
from room_server.core.room import Room
from room_server.ids import new_id
from room_server.state import commits
from room_server.state.keys import Keys
from room_server.state.records import LeadRecords, Loaded, Records, Target
from room_server.state.redis.pipeline import Pipeline, Script
from room_server.state.redis.retry import deadline, with_retries
from room_server.telemetry import tracing

MAX_COPIES = 4096
"""Most rooms of which a process keeps a copy."""


class RoomCopies:
    """Copies of rooms, for decisions without a read: the commit compares each with the stored room.

    Bounded: the copy that was stored longest ago goes first. The copies of a partition are dropped together when
    announcements of changes may have been missed.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._rooms: dict[str, tuple[str, Room]] = {}
        """By webinar id, each with the tag of its partition."""

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, webinar_id: str) -> Room | None:
        """The copy, if there is one."""
        _, room = self._rooms.get(webinar_id, ("", None))
        return room

    def remember(self, room: Room) -> None:
        """Keep a copy, in place of an older one."""
        self._rooms.pop(room.webinar_id, None)
        if len(self._rooms) >= MAX_COPIES:
            self._rooms.pop(next(iter(self._rooms)))
        self._rooms[room.webinar_id] = (self._keys.tag(room.webinar_id), room)

    def drop(self, webinar_id: str) -> None:
        """Drop the copy of one room."""
        self._rooms.pop(webinar_id, None)

    def drop_all(self, tag: str) -> None:
        """Drop the copies of a partition."""
        self._rooms = {webinar_id: copy for webinar_id, copy in self._rooms.items() if copy[0] != tag}


class Store:
    """The state of all webinars, through two pipelines: one that waits for replicas, and one that does not.

    They are the same when the setting REPLICAS is 0.
    """

    def __init__(self, pipeline: Pipeline, keys: Keys, replicated: Pipeline) -> None:
        self.pipeline = pipeline
        self.replicated = replicated
        self.keys = keys
        self.records = Records()
        self.copies = RoomCopies(keys)
        self.unavailable: set[str] = set()
        """Tags of the partitions that did not answer the last time (see bulk_reads)."""
        self._commit = Script.read("commit")
        self._loading = Script.read("load")
        self._deletion = Script.read("delete")

    async def load(self, webinar_id: str, lead_id: int | None = None) -> Facts:
        """The stored records of a webinar, and of a lead. They may not have reached the replicas."""
        async with deadline():
            return (await self.load_to_decide(Target(webinar_id, str(lead_id or "")), replicated=False)).facts

    async def load_to_decide(self, target: Target, replicated: bool = True) -> Loaded:
        """The same, with the bytes to compare; with `replicated`, once all that was read has reached the replicas."""
        keys, name = self.keys, target.webinar_id
        places = [keys.room(name), keys.participations(name), keys.roster(name), keys.watch(name)]
        run = self.run_replicated if replicated else self.run
        with tracing.span("load"):
            return self._loaded(target, await run(self._loading, places, [target.lead]))

    async def commit(
        self, loaded: Loaded, change: Change, evaluation_in: timedelta | None = None, replicated: bool = True
    ) -> Loaded | None:
        """Write a change that was decided on `loaded`. Returns None when it is written, or when it changes nothing.

        If the records have changed since `loaded`, nothing is written, and the changed records are returned.
        `evaluation_in`: see `commits.commit_of`.
        """
        if commits.is_empty(loaded.facts, change):
            return None
        target, run = loaded.target, self.run_replicated if replicated else self.run
        commit = commits.commit_of(loaded, change, evaluation_in)
        with tracing.span("commit", webinar=target.webinar_id):
            outcome, *stored = await run(self._commit, *commits.arguments(self.keys, loaded, commit))
        if outcome == b"conflict":
            return self._loaded(target, stored)
        self.copies.remember(change.room)
        if change.room is not loaded.facts.room:
            commits.log_change(change.room, change.actor)
        return None

    def with_records(self, webinar_id: str, facts: Facts, lead: LeadRecords) -> Loaded:
        """The facts of a room together with the records of one lead, as just read. Raises UnreadableRecord."""
        read = self.records.facts(webinar_id, [None, lead.participation, lead.entry, None, lead.slots])
        known = replace(read, room=facts.room, named_recording=facts.named_recording)
        target = Target(webinar_id, lead.id.decode())
        return Loaded(target=target, facts=known, participation=lead.participation, entry=lead.entry)

    async def delete(self, webinar_id: str, archived_at: str = "") -> bool:
        """Delete everything of a webinar but its events. A new webinar with this id has another epoch.

        `archived_at` (Unix ms): nothing is deleted, and False returned, unless the webinar was archived at that time.
        """
        places = self.keys.to_delete(webinar_id, new_id())
        arguments = [commits.DONE_SECONDS, webinar_id, archived_at, *ANNOUNCEMENTS]
        async with deadline():
            reply = await self.run_replicated(self._deletion, places, arguments)
        self.copies.drop(webinar_id)
        return bool(reply == b"deleted")

    async def public_texts(self, webinar_ids: list[str]) -> list[bytes | None]:
        """The room states as they are sent (JSON), in the order of the ids; None: no such webinar."""
        async with deadline():
            return await self.call_all([("HGET", self.keys.room(name), "public") for name in webinar_ids])

    async def call(self, *command: Any) -> Any:
        """The reply to a command that may safely run twice; it is repeated after a temporary error."""
        return await with_retries(lambda: self.pipeline.call(*command))

    async def call_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send several such commands at once, and return the replies; if the connection breaks, all are repeated."""
        return list(await with_retries(lambda: self.pipeline.call_all(commands)))

    async def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """The reply of a script that may safely run twice; it is repeated after a temporary error."""
        return await with_retries(lambda: self.pipeline.run(script, keys, arguments))

    async def run_replicated(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """Like `run`, but waits until REPLICAS replicas have what the script wrote, and what it read."""
        return await with_retries(lambda: self.replicated.run(script, keys, arguments))

    async def call_replicated(self, *command: Any) -> Any:
        """Like `call`, but waits for replicas as `run_replicated` does: for all earlier writes of this partition."""
        return await with_retries(lambda: self.replicated.call(*command))

    def _loaded(self, target: Target, replies: list[bytes | None]) -> Loaded:
        facts = self.records.facts(target.webinar_id, replies)
        if facts.room is not None:
            self.copies.remember(facts.room)
        return Loaded(target=target, facts=facts, participation=replies[1] or b"", entry=replies[2] or b"")
