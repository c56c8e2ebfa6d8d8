"""The copies of rooms that a process decides on before it asks Redis: the commit compares them with what stands.

They are bounded, and those of a partition are dropped together whenever changes of it may have been missed.
"""

from room_server.core.room import Room
from room_server.state.keys import Keys

MOST = 4096
"""Rooms whose copy a process keeps."""


class Copies:
    """The copies by webinar id; the one that was remembered longest ago is the first to go."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._drops = dict.fromkeys(keys.tags, 0)
        """How often the copies of each partition were dropped."""
        self._rooms: dict[str, tuple[int, Room]] = {}
        """With the number that `_drops` had then: a copy with an older one counts no more."""

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, webinar_id: str) -> Room | None:
        """The copy, unless it was dropped."""
        drops, room = self._rooms.get(webinar_id, (-1, None))
        return room if drops == self._drops[self._keys.tag(webinar_id)] else None

    def remember(self, room: Room) -> None:
        """Keep this copy; it is the last to go now."""
        self._rooms.pop(room.webinar_id, None)
        if len(self._rooms) >= MOST:
            self._rooms.pop(next(iter(self._rooms)))
        self._rooms[room.webinar_id] = (self._drops[self._keys.tag(room.webinar_id)], room)

    def drop(self, webinar_id: str) -> None:
        """The webinar was deleted."""
        self._rooms.pop(webinar_id, None)

    def drop_all(self, tag: str) -> None:
        """The line to a partition's server may have missed something. The cost does not grow with the copies."""
        self._drops[tag] += 1
