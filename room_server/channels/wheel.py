"""One clock for all sockets of the process: keepalive, token expiry, stalled peers, unfinished goodbyes.

Each socket stands in the bucket of one second to come, never in two; turning the wheel costs what is due, not what is
connected.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

TICK = 0.25
"""Seconds between two turns."""


class Due(Protocol):
    """What stands on the wheel."""

    def due(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); the next time to be asked, None for never."""


class Wheel:
    """Buckets of a second."""

    def __init__(self) -> None:
        self._buckets: defaultdict[int, set[Due]] = defaultdict(set)
        self._places: dict[Due, int] = {}
        self._turned = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, what: Due, at: float) -> None:
        """Ask `what` at the time `at`, and not at any other that was said before."""
        self.drop(what)
        place = max(int(at) + 1, self._turned + 1)
        self._places[what] = place
        self._buckets[place].add(what)

    def drop(self, what: Due) -> None:
        """Never ask `what` again."""
        place = self._places.pop(what, -1)
        bucket = self._buckets.get(place)
        if bucket is not None:
            bucket.discard(what)
            if not bucket:  # an emptied set keeps the room that it had for thousands
                del self._buckets[place]

    async def turn(self) -> None:
        """Ask whoever is due, for ever."""
        clock = asyncio.get_running_loop().time
        self._turned = int(clock())
        for what, place in list(self._places.items()):  # put before the wheel turned
            self.put(what, place - 1)
        while True:
            await asyncio.sleep(TICK)
            now = clock()
            for what in self._taken(int(now)):
                again = what.due(now)
                if again is not None:
                    self.put(what, again)

    def _taken(self, second: int) -> Iterator[Due]:
        for place in range(self._turned + 1, second + 1):
            self._turned = place
            for what in self._buckets.pop(place, set()):
                if self._places.get(what) == place:  # neither dropped nor put elsewhere since
                    del self._places[what]
                    yield what
