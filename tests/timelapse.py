"""An event loop whose clock jumps: while nothing is ready, the moment of the next timer comes at once.

For code that waits for time or for other tasks of the same loop. Code that waits for a socket with a deadline would
see the deadline pass before the answer.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Jumps(selectors.DefaultSelector):
    """Waits for no time limit; counts the seconds that were to be waited."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The ready files, at once; without a time limit, as soon as there are any."""
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.passed += max(0.0, timeout)
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Its clock begins at 0 and is exact to the microsecond."""

    def __init__(self) -> None:
        self._jumps = Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """The seconds since the loop was made."""
        return round(self._jumps.passed, 6)


def timelapse(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` on such a loop; gives what it returns."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
