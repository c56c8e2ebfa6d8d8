"""A paced goodbye: SIGTERM tells every socket when to come back, so that a crowd does not come back at once.

The window grows with the crowd: one process takes back about a thousand sockets a second. Until its own moment each
socket still gets every change. A second SIGTERM changes nothing.
"""

import asyncio
import logging
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from room_server.channels.handshake import Admission
from room_server.channels.hub import SLICE, Hub

logger = logging.getLogger(__name__)

RATE = 1000
"""Sockets a second that may be asked to come back."""
SHORTEST = 2.0
"""Seconds of the smallest window: even a few need not come in the same instant."""
CLOSED_AFTER = 1.0
"""Seconds between a socket's own moment and its close: it may open the new one first."""
TICK = 0.1
LAST_SECONDS = 3.0
"""For the closing handshakes after the window; whoever is left then is cut off."""


class Drain:
    """One process's leave. `say` runs once."""

    def __init__(self, hub: Hub, admission: Admission, drain_seconds: float) -> None:
        self._hub = hub
        self._admission = admission
        self._drain_seconds = drain_seconds

    @staticmethod
    def window(sockets: int, drain_seconds: float) -> float:
        """Seconds over which so many sockets are asked to leave."""
        return min(max(SHORTEST, sockets / RATE), drain_seconds)

    async def run(self) -> None:
        """Refuse newcomers, ask everyone to leave in turn, and wait until they have."""
        self._admission.draining = True
        members = [member for group in self._hub.groups.values() for member in group.members]
        if not members:
            return
        window = self.window(len(members), self._drain_seconds)
        logger.info("going away: %d sockets within %.1f seconds", len(members), window)
        random.shuffle(members)
        for number, member in enumerate(members):
            member.announce_reconnect(window * number / len(members), CLOSED_AFTER)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        deadline = asyncio.get_running_loop().time() + window + CLOSED_AFTER + LAST_SECONDS
        while self._admission.total and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - it is counted by many
            await asyncio.sleep(TICK)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """In the block SIGTERM and SIGINT end the process on the spot: nothing has begun that would have to end in order.

    A start waits for Redis as long as it must, and uvicorn acts on a signal only after the start. The handler is our
    own, since the system's default does nothing to the first process of a container.
    """
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(_: int, __: Any) -> None:
    os._exit(0)


@contextmanager
def drain_on_sigterm(spawn: Callable[[Any], Any], drain: Drain) -> Iterator[None]:
    """On SIGTERM, say goodbye first and let the server's own handler go on afterwards."""
    loop = asyncio.get_running_loop()
    after = signal.getsignal(signal.SIGTERM)
    leaving = False

    async def leave() -> None:
        try:
            await drain.run()
        except Exception:  # whatever it is: nobody asks twice, so the process would stay for ever
            logger.exception("not everybody could be told that this process ends")
        if callable(after):
            after(signal.SIGTERM, None)

    def heard() -> None:
        nonlocal leaving
        if not leaving:
            leaving = True
            spawn(leave())

    loop.add_signal_handler(signal.SIGTERM, heard)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, after)
