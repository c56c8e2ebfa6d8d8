"""Replies of the bot that wait to be sent. All methods raise StateUnavailable.

Who takes a reply has it for LEASE_SECONDS; when its process dies, another one takes it after that.
"""

from typing import NamedTuple

import msgspec

from room_server.core.connecting import Reply
from room_server.state.connections import BOT
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

LEASE_SECONDS = 10.0

_REPLY = msgspec.json.Decoder(Reply)


class WaitingReply(NamedTuple):
    """A reply, its name in the queue, and how often it was taken, this time included."""

    name: str
    reply: Reply
    tries: int


class Replies:
    """The queue."""

    def __init__(self, store: Store) -> None:
        self._store = store
        key = store.keys.bot
        self._keys = [key("replies_due"), key("replies"), store.keys.clock(BOT)]

    async def take(self, most: int) -> list[WaitingReply]:
        """Replies that are due."""
        async with deadline():
            found = await self._store.run(Script.read("claim_replies"), self._keys, [most, int(LEASE_SECONDS * 1000)])
        taken = []
        for name, raw, tries in zip(found[::3], found[1::3], found[2::3], strict=True):
            reply = self._store.records.readable(_REPLY, raw, "a reply of the bot")
            if reply is None:
                await self.remove(name.decode())
            else:
                taken.append(WaitingReply(name.decode(), reply, tries))
        return taken

    async def remove(self, name: str) -> None:
        """The reply is over."""
        await self._postpone([name, "", "0"])

    async def postpone(self, name: str, seconds: float, is_try: bool) -> None:
        """Send it in so many seconds; `is_try`: whether this time counts."""
        await self._postpone([name, round(seconds * 1000), "0" if is_try else "1"])

    async def _postpone(self, arguments: list[object]) -> None:
        async with deadline():
            await self._store.run(Script.read("postpone_reply"), self._keys, arguments)
