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


class Timed(Protocol):
    """What stands on the wheel."""

    def on_timer(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); the next time to be asked, None for never."""


class TimerWheel:
    """Buckets of a second."""

    def __init__(self) -> None:
        self._buckets: defaultdict[int, set[Timed]] = defaultdict(set)
        self._places: dict[Timed, int] = {}
        self._turned = 0

    def __len__(self) -> int:
        return len(self._places)

    def schedule(self, what: Timed, at: float) -> None:
        """Ask `what` at the time `at`, and not at any other that was said before."""
        self.cancel(what)
        place = max(int(at) + 1, self._turned + 1)
        self._places[what] = place
        self._buckets[place].add(what)

    def cancel(self, what: Timed) -> None:
        """Never ask `what` again."""
        place = self._places.pop(what, -1)
        bucket = self._buckets.get(place)
        if bucket is not None:
            bucket.discard(what)
            if not bucket:  # an emptied set keeps the room that it had for thousands
                del self._buckets[place]

    async def run(self) -> None:
        """Ask whoever is due, for ever."""
        clock = asyncio.get_running_loop().time
        self._turned = int(clock())
        for what, place in list(self._places.items()):  # put before the wheel turned
            self.schedule(what, place - 1)
        while True:
            await asyncio.sleep(TICK)
            now = clock()
            for what in self._taken(int(now)):
                again = what.on_timer(now)
                if again is not None:
                    self.schedule(what, again)

    def _taken(self, second: int) -> Iterator[Timed]:
        for place in range(self._turned + 1, second + 1):
            self._turned = place
            for what in self._buckets.pop(place, set()):
                if self._places.get(what) == place:  # neither dropped nor put elsewhere since
                    del self._places[what]
                    yield what
