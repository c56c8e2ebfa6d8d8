"""How many leads were there in each slot of the time on air, and how long each of them watched."""

from itertools import accumulate

from msgspec import Struct

from room_server.core import watch_time
from room_server.core.watch_time import SLOT_MS

POINTS = 360
"""Most points of a curve."""
SHARES = 10


class Point(Struct, frozen=True):
    """A moment of the time on air, and the leads that were there: the most at once until the next point."""

    at_s: int
    leads: int


class WatchTimes(Struct, frozen=True):
    """How long those watched who were seen: the median and the 90th percentile, in seconds, and leads by their share.

    `shares` are ten numbers of leads: those that watched less than 10 % of the time on air, … 90 % or more.
    """

    p50_s: int
    p90_s: int
    shares: tuple[int, ...]


class Audience:
    """Adds up the slots of leads, one after the other."""

    def __init__(self, on_air_ms: int) -> None:
        self._on_air_ms = on_air_ms
        slots = -(-on_air_ms // SLOT_MS)
        self._changes = [0] * (slots + 1)
        """By how many leads each slot has more than the one before it."""
        self._watched: list[int] = []

    def add(self, slots: int) -> None:
        """One lead was seen in these slots."""
        counted = watch_time.within(slots, self._on_air_ms)
        if not counted:
            return
        self._watched.append(watch_time.watched_ms(counted, self._on_air_ms))
        for first, last in watch_time.runs(counted):
            self._changes[first] += 1
            self._changes[last + 1] -= 1

    def curve(self, until_ms: int) -> list[Point]:
        """The leads over the time on air until then, in at most POINTS equal steps of whole slots."""
        leads = list(accumulate(self._changes[:-1]))[: -(-until_ms // SLOT_MS) if until_ms > 0 else 0]
        step = max(1, -(-len(leads) // POINTS))
        return [Point(at * SLOT_MS // 1000, max(leads[at : at + step])) for at in range(0, len(leads), step)]

    def peak(self) -> int:
        """The most leads that were there at once."""
        return max(accumulate(self._changes))

    def watch_times(self) -> WatchTimes:
        """How long they watched."""
        watched = sorted(self._watched)
        shares = [0] * SHARES
        for one in watched:
            shares[min(one * SHARES // self._on_air_ms, SHARES - 1)] += 1
        return WatchTimes(_percentile(watched, 50) // 1000, _percentile(watched, 90) // 1000, tuple(shares))


def _percentile(ordered: list[int], percent: int) -> int:
    """The smallest value that so many percent of the values do not exceed (nearest rank); 0 of none."""
    return ordered[-(-percent * len(ordered) // 100) - 1] if ordered else 0
