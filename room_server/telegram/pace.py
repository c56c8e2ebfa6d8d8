"""How fast messages may go out: one clock in Redis for the bot and for each chat, whatever number of workers there is.

Telegram allows a bot 30 messages a second and one a second to a chat (Bots FAQ, "My bot is hitting limits").
"""

import time
from typing import NamedTuple

from room_server.state.patience import deadline
from room_server.state.pipeline import Script
from room_server.state.store import Store

BOT_GAP_MS = 36
"""28 evenly spaced messages a second: a late one still leaves no second with more than 30."""
CHAT_GAP_MS = 1050
HORIZON_MS = 400
"""The furthest moment that is taken: a sender that dies wastes no more."""
LATE = 0.03
"""Seconds after which a moment that was taken has passed: another one is asked for."""
FLOODED_CHATS = 3
"""So many chats in flood at once are the whole bot's flood."""


class Turn(NamedTuple):
    """When a message may go."""

    goes: bool
    """The moment is taken; else nothing is, and `seconds` is when to ask again."""
    chat_waits: bool
    seconds: float


class Pace:
    """The pace of one bot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._script = Script.read("pace")
        self._floods: dict[int, float] = {}
        """Chats that are held, and until when (monotonic seconds)."""

    async def turn(self, chat_id: int) -> Turn:
        """The next moment for a chat. Raises StateUnavailable."""
        word, milliseconds = await self._ask(chat_id, "", "0")
        return Turn(word == b"go", word == b"chat", float(milliseconds) / 1000)

    async def hold(self, chat_id: int, seconds: float) -> None:
        """Telegram said to wait: this chat does; the bot does, when it is not this chat alone."""
        now = time.monotonic()
        self._floods = {chat: until for chat, until in self._floods.items() if until > now}
        self._floods[chat_id] = now + seconds
        everyone = "1" if len(self._floods) >= FLOODED_CHATS else "0"
        await self._ask(chat_id, str(round(seconds * 1000)), everyone)

    async def _ask(self, chat_id: int, hold: str, holds_bot: str) -> tuple[bytes, int]:
        keys = [self._store.keys.pace("bot"), self._store.keys.pace(str(chat_id))]
        arguments = [BOT_GAP_MS, CHAT_GAP_MS, HORIZON_MS, hold, holds_bot]
        async with deadline():
            word, milliseconds = await self._store.ask_script(self._script, keys, arguments)
        return word, milliseconds
