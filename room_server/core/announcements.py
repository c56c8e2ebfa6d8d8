"""What registered leads are told of a webinar by Telegram before it ends: reminders, a new time, that it is called off.
And which messages have become wrong while they waited.

Each announcement goes to every registered lead with a chat, once for each planned time. It has a moment at which it is
due; the schedule of these moments is stored with the room, so it moves with the webinar.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from room_server.core.messages import MOMENTS, Message, MessageKind, Moment
from room_server.core.room import ON_AIR, Room, RosterEntry, Status

BEFORE: dict[Moment, timedelta] = {
    "24h": timedelta(hours=24),
    "1h": timedelta(hours=1),
    "15m": timedelta(minutes=15),
}
"""How long before the planned time each reminder is due; `start` is the start itself."""
JUST_NOW = timedelta(seconds=5)
"""A moment that passed so short a time ago is still due: between the decision and its commit time passes."""
REMINDERS = tuple(f"{MessageKind.REMINDER}_{moment}" for moment in MOMENTS)
ANNOUNCEMENTS = (*REMINDERS, MessageKind.MOVED.value, MessageKind.CANCELLED.value)
"""The names of all announcements; a message's field in Redis ends with it."""


class Schedule(Struct, frozen=True):
    """What a change does to the schedule: names that leave it, and names that come to it, each with when it is due."""

    drop: tuple[str, ...] = ()
    add: tuple[tuple[str, datetime], ...] = ()


def reminders(room: Room) -> dict[str, datetime]:
    """The reminders of a room as it is now, each with its moment."""
    if room.status is Status.SCHEDULED and room.cancelled_at is None:
        return {
            f"{MessageKind.REMINDER}_{moment}": room.scheduled_at - BEFORE[moment]
            for moment in room.remind
            if moment in BEFORE
        }
    if room.status in ON_AIR and room.started_at is not None and "start" in room.remind:
        return {f"{MessageKind.REMINDER}_start": room.started_at}
    return {}


def rescheduled(before: Room | None, after: Room, notice: MessageKind | None, now: datetime) -> Schedule:
    """The change of the schedule that goes with a change of the room; moments that have passed are left out.

    `notice`: what is to be told of the change at once.
    """
    old, new = (reminders(before) if before else {}), reminders(after)
    drop: set[str] = set()
    add: dict[str, datetime] = {}
    if old != new:
        drop |= set(REMINDERS)
        add |= {name: at for name, at in new.items() if at >= now - JUST_NOW}
    if notice is not None:
        drop |= {MessageKind.MOVED.value, MessageKind.CANCELLED.value}
        add[notice.value] = now
    return Schedule(tuple(sorted(drop - add.keys())), tuple(add.items()))


def is_announced(room: Room, name: str) -> bool:
    """Whether an announcement of this name is right for the room as it is now."""
    if name == MessageKind.CANCELLED:
        return room.cancelled_at is not None
    if name == MessageKind.MOVED:
        return room.status is Status.SCHEDULED and room.cancelled_at is None
    return name in reminders(room)


def can_be_outdated(message: Message) -> bool:
    """Whether the message tells of a plan or of what goes on now, which may not be so any more when it is sent."""
    return message.planned_at is not None or message.kind is MessageKind.ARRIVAL


def is_outdated(message: Message, room: Room, entry: RosterEntry | None, now: datetime) -> bool:
    """Whether the message says something that is not so any more, and must not be sent.

    So does what tells of the plan to a lead that is not registered any more, a reminder that would come after the
    planned time, unless it tells of the start, and after the end that a lead is in the room.
    """
    if message.kind is MessageKind.ARRIVAL:
        return room.status not in ON_AIR
    if message.planned_at is None:
        return False
    if entry is None or message.planned_at != room.scheduled_at or not is_announced(room, message.name):
        return True
    return message.kind is MessageKind.REMINDER and message.moment != "start" and now >= room.scheduled_at
