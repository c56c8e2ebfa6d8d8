"""What `room-server site status` prints."""

from typing import Any

from room_server.commands.common import counted
from room_server.core.site_event import event_of
from room_server.state.site_events import PartitionStanding, StreamEntry


def event_id_of(entry: StreamEntry) -> str:
    """The event's id; of one that was erased, the stream's."""
    try:
        return event_of(entry.id, entry.fields or {}).id
    except ValueError:  # msgspec's decoding errors are ValueErrors
        return entry.id


def facts_of(one: PartitionStanding) -> dict[str, Any]:
    """How far a receiver is in a partition, for a program; seconds are counted from now."""
    progress = one.progress
    return {
        "url": progress.url,
        "receiver": progress.label,
        "partition": one.tag,
        "state": progress.state,
        "lag": one.lag,
        "oldest_s": one.oldest_s,
        "parked": one.parked,
        "lost": one.lost,
        "erased": one.erased,
        "sent": progress.sent,
        "next_try_s": max(0, progress.due - one.now) / 1000 if progress.state == "waiting" else None,
        "off_s": None if progress.off_since is None else (one.now - progress.off_since) / 1000,
        "answer": progress.answer or None,
        "answered_s": (one.now - progress.answered_at) / 1000 if progress.answered_at else None,
        "place": one.place,
    }


def line_of(one: PartitionStanding, partitions: int) -> str:
    """The same for a person; of several partitions it is named."""
    facts = facts_of(one)
    state = {
        "ok": "ok",
        "waiting": f"waits {_seconds(facts['next_try_s'])} for the next try",
        "off": f"OFF for {_seconds(facts['off_s'])}",
    }[one.progress.state]
    place = f" [{one.tag}]" if partitions > 1 else ""
    waiting = counted(one.lag, "event") + (" waits" if one.lag == 1 else " wait")
    oldest = f", the oldest for {_seconds(one.oldest_s)}" if one.lag else ""
    parked = f"{one.parked} {'is' if one.parked == 1 else 'are'} parked"
    lost = f", {were(one.lost)} lost" if one.lost else ""
    erased = f", {were(one.erased)} erased before being sent" if one.erased else ""
    answer = f"; last answer {_seconds(facts['answered_s'])} ago: {facts['answer']}" if facts["answer"] else ""
    return f"{one.progress.url}{place}: {state}; {waiting}{oldest}; {parked}{lost}{erased}{answer}"


def were(number: int) -> str:
    """The number and its verb: "1 was", "2 were"."""
    return f"{number} {'was' if number == 1 else 'were'}"


def _seconds(seconds: float | None) -> str:
    """A time in words that is long enough to be read at a glance."""
    whole = round(seconds or 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
