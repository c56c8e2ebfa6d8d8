"""How fast messages may go out: one clock in Redis for the bot and for each chat, whatever number of workers there is.

It is a clock that is never set back (see state/steady.lua): a step of the server's own stops no delivery. Telegram
allows a bot 30 messages a second and one a second to a chat (Bots FAQ, "My bot is hitting limits").
"""

from typing import NamedTuple

from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

BOT_GAP_MS = 38
"""26 evenly spaced messages a second: some that are a tenth of a second late still leave none with more than 30."""
CHAT_GAP_MS = 1100
"""A second and what one message may be later than the one before it."""
HORIZON_MS = 400
"""The furthest moment that is taken: a sender that dies wastes no more."""
LATE = 0.03
"""Seconds after which a moment that was taken has passed: another one is asked for."""
FLOODED_CHATS = 3
"""So many chats in flood at once are the whole bot's flood."""


class SendSlot(NamedTuple):
    """When a message may go."""

    goes: bool
    """The moment is taken; else nothing is, and `seconds` is when to ask again."""
    chat_waits: bool
    seconds: float


class SendRateLimiter:
    """The pace of one bot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pace = Script.read("pace")
        self._flood = Script.read("hold_chat")

    async def turn(self, chat_id: int) -> SendSlot:
        """The next moment for a chat. Raises StateUnavailable."""
        return await self._ask(chat_id, "0")

    async def another(self, chat_id: int) -> SendSlot:
        """The bot's next, for a message whose own has passed; its chat waits from then. Raises StateUnavailable."""
        return await self._ask(chat_id, "1")

    async def hold(self, chat_id: int, seconds: float) -> bool:
        """Telegram said to wait: this chat does; whether the bot does, too. Raises StateUnavailable."""
        key = self._store.keys.pace
        keys = [key("bot"), key(str(chat_id)), key("floods"), key("clock")]
        async with deadline():
            arguments = [chat_id, round(seconds * 1000), FLOODED_CHATS]
            return bool(await self._store.run(self._flood, keys, arguments))

    async def _ask(self, chat_id: int, passed: str) -> SendSlot:
        key = self._store.keys.pace
        keys = [key("bot"), key(str(chat_id)), key(f"{chat_id}:line"), key("clock")]
        async with deadline():
            reply = await self._store.run(self._pace, keys, [BOT_GAP_MS, CHAT_GAP_MS, HORIZON_MS, passed])
        word, milliseconds = reply
        return SendSlot(word == b"go", word == b"chat", float(milliseconds) / 1000)
