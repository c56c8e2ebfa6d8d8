"""The one cache with a time to live: many callers who ask for the same value cause one read.

All who wait for a read get its value, or its refusal. A value also serves those who ask within the next moment; after a
refusal the next caller reads again.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from room_server.errors import StateUnavailable

Value = TypeVar("Value")

KEYS = 1000
"""Keys whose values are kept at most, unless it is said; the one read longest ago is dropped first."""


class Reading(Generic[Value]):
    """The newest outcome for one key, and the lock that its reader holds."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.ended_at = -math.inf
        self.value: Value | None = None
        """What was last read, also while `refusal` stands."""
        self.refusal: StateUnavailable | None = None


class SharedRead(Generic[Value]):
    """`read(*key)` bounds its own time and never gives None; a value serves for `seconds`. `clock` is monotonic.

    The values of `most` keys are kept.
    """

    def __init__(
        self,
        read: Callable[..., Awaitable[Value]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        most: int = KEYS,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._readings: OrderedDict[tuple[str, ...], Reading[Value]] = OrderedDict()

    async def get(self, *key: str) -> Value:
        """The value read at most `seconds` ago. Raises what `read` raised; StateUnavailable for all who waited."""
        asked_at = self._clock()
        reading = self._readings.setdefault(key, Reading())
        async with reading.lock:
            if not self._serves(reading, asked_at):
                try:
                    reading.value, reading.refusal = await self._read(*key), None
                except StateUnavailable as refusal:
                    reading.refusal = refusal
                finally:
                    self._keep(key, reading)
                reading.ended_at = self._clock()
        if reading.refusal is not None:
            raise reading.refusal.with_traceback(None)
        assert reading.value is not None  # noqa: S101 - `read` gave it
        return reading.value

    def latest(self, *key: str) -> Value | None:
        """The value that was last read, however old; None when none is kept."""
        reading = self._readings.get(key)
        return reading.value if reading else None

    def _serves(self, reading: Reading[Value], asked_at: float) -> bool:
        """Whether the outcome answers a caller of that moment: it was waited for, or is a value and fresh."""
        seconds = 0.0 if reading.refusal else self._seconds
        return asked_at - reading.ended_at < seconds or asked_at < reading.ended_at

    def _keep(self, key: tuple[str, ...], reading: Reading[Value]) -> None:
        """Keep what has a value: callers who ask for keys that have none cannot push the others out."""
        self._readings.pop(key, None)
        if reading.value is not None:
            self._readings[key] = reading
            if len(self._readings) > self._most:
                self._readings.popitem(last=False)
