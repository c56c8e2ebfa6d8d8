"""Receipts of a room's newest version: how many sockets got it, how many answered, and after how long.

The answer of a socket is the pong to a ping that was sent behind the version: the browser has read the version by then
(RFC 6455, 5.5.3). It does not say what a screen shows.
"""

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct

BOUNDS_MS: tuple[float, ...] = tuple(
    step * 10**power for power in range(5) for step in (1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)
)
"""Upper bounds of the histogram's buckets: 1 ms to 82 s, each a fifth above the last (E12 series)."""


class ReceiptCounts(Struct, frozen=True, kw_only=True):
    """One process's counts of one version: sockets it was sent to, and answers by bound (the last bucket has none)."""

    epoch: str
    version: int
    of: int
    buckets: list[int]


class Reach(Struct, frozen=True, kw_only=True):
    """What the monitor and the speaker's console show of the newest change."""

    version: int
    of: int
    reached: int
    p50_ms: float | None
    p99_ms: float | None


def no_answers() -> list[int]:
    """An empty histogram."""
    return [0] * (len(BOUNDS_MS) + 1)


def bucket(seconds: float) -> int:
    """The index of the bucket of an answer after so many seconds."""
    return bisect_left(BOUNDS_MS, seconds * 1000)


def merge(parts: Iterable[ReceiptCounts]) -> Reach | None:
    """The sum of all processes' counts of the newest version; None when there are none."""
    known = list(parts)
    if not known:
        return None
    newest = max(known, key=lambda part: part.version)
    same = [part for part in known if (part.epoch, part.version) == (newest.epoch, newest.version)]
    buckets = [sum(column) for column in zip(*(part.buckets for part in same), strict=True)]
    return Reach(
        version=newest.version,
        of=sum(part.of for part in same),
        reached=sum(buckets),
        p50_ms=percentile(buckets, 0.5),
        p99_ms=percentile(buckets, 0.99),
    )


def percentile(buckets: list[int], share: float) -> float | None:
    """The bound (ms) below which that share of the answers came; None without any."""
    needed = share * sum(buckets)
    if not needed:
        return None
    below = 0
    for bound, count in zip(BOUNDS_MS, buckets, strict=False):
        below += count
        if below >= needed:
            return bound
    return BOUNDS_MS[-1]
