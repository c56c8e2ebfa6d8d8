"""The heartbeat of a process: once a second it says that it lives and what it counts."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from room_server.errors import StateUnavailable
from room_server.state import presence
from room_server.state.presence import Word
from room_server.state.store import Store

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0


def node_name() -> str:
    """Unique to this process, and telling where it runs."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


class Heartbeat:
    """`counted` gives what the process counts now: fields of Word."""

    def __init__(self, store: Store, name: str, counted: Callable[[], dict[str, Any]]) -> None:
        self._store = store
        self.name = name
        self._counted = counted
        self.announced_at = time.monotonic()
        """When Redis last took this process's word; monotonic."""

    async def beat(self) -> None:
        """Beat for ever; the process is withdrawn when this is cancelled."""
        try:
            while True:
                with suppress(StateUnavailable):  # the listener tells of it, and the word expires
                    await presence.announce(self._store, Word(node=self.name, **self._counted()))
                    self.announced_at = time.monotonic()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            with suppress(StateUnavailable):
                await presence.withdraw(self._store, self.name)
