"""The send rate: one message a second to a chat, 20 a minute to a group and 30 a second for the bot, over all workers.

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
GROUP_GAP_MS = 3100
"""19 or 20 evenly spaced messages a minute: one that is 2 s late still leaves no minute with more than 20."""
HORIZON_MS = 400
"""How far ahead a slot may be granted: a worker that dies wastes no more than that."""
UNKNOWN_MS = max(CHAT_GAP_MS, HORIZON_MS + BOT_GAP_MS)
"""How long the bot waits when it is unknown what was granted: by then every slot that was granted has passed."""
FLOODED_CHATS = 3
"""When so many private chats are flooded at once, the whole bot waits."""


def is_group(chat_id: int) -> bool:
    """Whether an id is that of a group, a supergroup or a channel: these are negative (Bot API, Chat)."""
    return chat_id < 0


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
            gap = GROUP_GAP_MS if is_group(chat_id) else CHAT_GAP_MS
            reply = await self._store.run(self._pace, keys, [BOT_GAP_MS, gap, HORIZON_MS, UNKNOWN_MS])
        result, milliseconds = reply
        return SendSlot(result == b"go", result == b"chat", float(milliseconds) / 1000)

    async def hold(self, chat_id: int, seconds: float) -> bool:
        """Grant the chat no slot for so long, as Telegram demands; whether the whole bot waits, too.

        A group has a limit of its own, which others who write there use up: it never makes the bot wait.
        """
        key = self._store.keys.pace
        keys = [key("bot"), key(str(chat_id)), key("floods"), key("clock")]
        async with deadline():
            arguments = [chat_id, round(seconds * 1000), FLOODED_CHATS, int(is_group(chat_id))]
            return bool(await self._store.run(self._hold_chat, keys, arguments))
