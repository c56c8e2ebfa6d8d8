"""One reading for everybody who asks at the same time: all of them get what it gave, or the refusal that it ended in.

What it gave also serves who asks within the next moment; after a refusal the next one who asks tries again.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from room_server.errors import StateUnavailable

Value = TypeVar("Value")


class SharedRead(Generic[Value]):
    """`read` bounds its own time; what it gave serves for `seconds`. `clock` is monotonic."""

    def __init__(
        self, read: Callable[[], Awaitable[Value]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._reading = asyncio.Lock()
        self._ended_at = -math.inf
        """When the last reading ended."""
        self._answer: Value | StateUnavailable = StateUnavailable()

    async def get(self) -> Value:
        """What was read at most `seconds` ago. Raises StateUnavailable when the reading that was waited for did."""
        asked_at = self._clock()
        async with self._reading:
            if not self._serves(asked_at):
                try:
                    self._answer = await self._read()
                except StateUnavailable as refusal:
                    self._answer = refusal
                self._ended_at = self._clock()
        if isinstance(self._answer, StateUnavailable):
            raise self._answer.with_traceback(None)
        return self._answer

    def _serves(self, asked_at: float) -> bool:
        """Whether the last answer is for who asked then: it was waited for, or is a good one and fresh."""
        lasts = 0.0 if isinstance(self._answer, StateUnavailable) else self._seconds
        return asked_at - self._ended_at < lasts or asked_at < self._ended_at
