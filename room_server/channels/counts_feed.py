"""The counts, pushed once a second to the monitors' sockets of this process: `/monitor/socket`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from room_server.channels import frames
from room_server.channels.hub import Hub
from room_server.channels.subscribers import counts_group
from room_server.errors import StateUnavailable

PUSH_SECONDS = 1.0


class CountsFeed:
    """`read` gives what a scope (a webinar id, or `*`) may see of the counts, as JSON. It costs nothing unwatched."""

    def __init__(self, hub: Hub, read: Callable[[str], Awaitable[bytes]]) -> None:
        self._hub = hub
        self._read = read
        self._number = 0

    async def push(self) -> None:
        """Push for ever; whoever opens the first socket of a scope is served at once."""
        while True:
            self._hub.watched.clear()
            self._number += 1
            await self._tell(self._hub.scopes())
            if not self._hub.scopes():
                await self._hub.watched.wait()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PUSH_SECONDS):
                        await self._hub.watched.wait()

    async def _tell(self, scopes: list[str]) -> None:
        """What cannot be read is not told: those who have older counts see their age, those who wait are refused."""
        try:
            for scope in scopes:
                self._hub.deliver(counts_group(scope), frames.counts(scope, self._number, await self._read(scope)))
        except StateUnavailable as refusal:
            for scope in scopes:
                self._hub.refuse_waiting(counts_group(scope), refusal)
