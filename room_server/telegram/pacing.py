"""The send rate: one message a second to a chat and 30 a second for the bot, over any number of workers.

These are Telegram's limits (Bots FAQ, "My bot is hitting limits"). Slots are granted by a script in Redis, by the clock
of `state/steady.lua`: a server clock that is set back stops no delivery.
"""

from typing import NamedTuple

from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

BOT_GAP_MS = 38
"""26 evenly spaced messages a second: some that are 0.1 s late still leave no second with more than 30."""
CHAT_GAP_MS = 1100
"""A second, and a tenth by which one message may be later than the one before it."""
HORIZON_MS = 400
"""How far ahead a slot may be granted: a worker that dies wastes no more than that."""
FLOODED_CHATS = 3
"""When so many chats are flooded at once, the whole bot waits."""


class SendSlot(NamedTuple):
    """When a message may be sent, in `seconds` from now."""

    granted: bool
    """False: nothing is reserved, and `seconds` is when to ask again."""
    chat_waits: bool
    """Whether the chat is the reason to wait, and not the bot."""
    seconds: float


class SendRateLimiter:
    """The send rate of one bot. Each method raises StateUnavailable when Redis does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pace = Script.read("pace")
        self._hold_chat = Script.read("hold_chat")

    async def acquire(self, chat_id: int) -> SendSlot:
        """The next slot of a chat."""
        key = self._store.keys.pace
        keys = [key("bot"), key(str(chat_id)), key(f"{chat_id}:line"), key("clock")]
        async with deadline():
            reply = await self._store.run(self._pace, keys, [BOT_GAP_MS, CHAT_GAP_MS, HORIZON_MS])
        result, milliseconds = reply
        return SendSlot(result == b"go", result == b"chat", float(milliseconds) / 1000)

    async def hold(self, chat_id: int, seconds: float) -> bool:
        """Grant the chat no slot for so long, as Telegram demands; whether the whole bot waits, too."""
        key = self._store.keys.pace
        keys = [key("bot"), key(str(chat_id)), key("floods"), key("clock")]
        async with deadline():
            arguments = [chat_id, round(seconds * 1000), FLOODED_CHATS]
            return bool(await self._store.run(self._hold_chat, keys, arguments))
