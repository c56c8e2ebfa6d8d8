"""The schedule of announcements, and their messages on the way to the outbox. All methods raise StateUnavailable.

Commits add to the schedule. The moments are those of the plan, so they count by Redis' own clock.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from room_server.core.delivery import Delivery
from room_server.core.messages import URGENT
from room_server.core.room import Room
from room_server.state.commits import field
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

TAKEN = 100
"""Most announcements that one read returns."""


class DueAnnouncement(NamedTuple):
    """An announcement whose moment has come: of which webinar, which one, when it was due (Unix ms), how late it is."""

    webinar_id: str
    name: str
    at: float
    late: float
    """Seconds."""


class Announced(NamedTuple):
    """What became of some messages: whether the room had changed since it was read (then nothing was done), how many
    were queued, and whether some must be tried again because an older one is just being sent.
    """

    is_stale: bool
    queued: int = 0
    is_busy: bool = False


async def due(store: Store, tag: str) -> list[DueAnnouncement]:
    """The announcements of a partition that are due, the first one first."""
    async with deadline():
        now, found = await store.run(Script.read("due_announcements"), [store.keys.announcements(tag)], [TAKEN])
    rows = ((member.decode(errors="replace").partition(" "), float(at)) for member, at in pairs(found))
    return [DueAnnouncement(name[0], name[2], at, (float(now) - at) / 1000) for name, at in rows]


async def finish(store: Store, done: DueAnnouncement) -> bool:
    """Take an announcement off the schedule; False, and it stays, if it was scheduled for another time meanwhile."""
    key = store.keys.announcements(store.keys.tag(done.webinar_id))
    async with deadline():
        arguments = [f"{done.webinar_id} {done.name}", f"{done.at:.0f}"]
        return bool(await store.run(Script.read("finish_evaluation"), [key], arguments))


async def queue(store: Store, room: Room, messages: Sequence[Delivery]) -> Announced:
    """Queue messages about this room, all of one name and planned time; those that exist already stay as they are."""
    keys, tag = store.keys, store.keys.tag(room.webinar_id)
    stream = keys.urgent(tag) if messages[0].name in URGENT else keys.outbox(tag)
    planned_at = msgspec.json.encode(messages[0].planned_at).decode().strip('"')
    rows = [part for one in messages for part in (field(one), msgspec.json.encode(one))]
    places = [keys.room(room.webinar_id), keys.deliveries(room.webinar_id), keys.fates(tag), stream, keys.clock(tag)]
    async with deadline():
        arguments = [room.webinar_id, f"{room.epoch}:{room.version}", planned_at, *rows]
        result, queued, busy = await store.run_replicated(Script.read("queue_announcement"), places, arguments)
    return Announced(result == b"stale", int(queued), bool(busy))
