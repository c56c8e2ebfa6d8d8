"""A paced shutdown: after SIGTERM each socket is asked to reconnect at a time of its own, not all at once.

The window grows with the number of sockets, since one process can take about a thousand new ones a second. Until its
own time each socket still gets every change. A second SIGTERM changes nothing.
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
"""Sockets a second that may be asked to reconnect."""
SHORTEST = 2.0
"""Seconds of the smallest window: even a few sockets are spread over it."""
CLOSED_AFTER = 1.0
"""Seconds between a socket's time to reconnect and its close: the peer may open the new one first."""
TICK = 0.1
LAST_SECONDS = 3.0
"""Seconds for the closing handshakes after the window; sockets that are open then are cut off."""


class Drain:
    """Drains the sockets of one process. `run` runs once; `drain_seconds` bounds the window."""

    def __init__(self, hub: Hub, admission: Admission, drain_seconds: float) -> None:
        self._hub = hub
        self._admission = admission
        self._drain_seconds = drain_seconds

    @staticmethod
    def window(sockets: int, drain_seconds: float) -> float:
        """Seconds over which so many sockets are asked to reconnect."""
        return min(max(SHORTEST, sockets / RATE), drain_seconds)

    async def run(self) -> None:
        """Refuse new sockets, ask each one to reconnect in its turn, and wait until they are closed."""
        self._admission.draining = True
        subscribers = [subscriber for group in self._hub.groups.values() for subscriber in group.subscribers]
        if not subscribers:
            return
        window = self.window(len(subscribers), self._drain_seconds)
        logger.info("going away: %d sockets within %.1f seconds", len(subscribers), window)
        random.shuffle(subscribers)
        for number, subscriber in enumerate(subscribers):
            subscriber.announce_reconnect(window * number / len(subscribers), CLOSED_AFTER)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        deadline = asyncio.get_running_loop().time() + window + CLOSED_AFTER + LAST_SECONDS
        while self._admission.total and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(TICK)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Within the block SIGTERM and SIGINT end the process at once, for a start that has nothing to close yet.

    A start may wait long for Redis, and uvicorn acts on a signal only after it. The handler is our own, since the
    system's default one is not applied to the first process of a container.
    """
    before = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(_: int, __: Any) -> None:
    os._exit(0)


@contextmanager
def drain_on_sigterm(spawn: Callable[[Any], Any], drain: Drain) -> Iterator[None]:
    """On the first SIGTERM within the block, drain in a task that `spawn` makes; then call uvicorn's own handler."""
    loop = asyncio.get_running_loop()
    server_handler = signal.getsignal(signal.SIGTERM)
    draining = False

    async def drain_and_stop() -> None:
        try:
            await drain.run()
        except Exception:  # the process must end all the same
            logger.exception("not everybody could be told that this process ends")
        if callable(server_handler):
            server_handler(signal.SIGTERM, None)

    def on_sigterm() -> None:
        nonlocal draining
        if not draining:
            draining = True
            spawn(drain_and_stop())

    loop.add_signal_handler(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, server_handler)
