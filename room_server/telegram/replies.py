"""Sends the replies of the bot, at the same pace as all messages. A reply is sent once; if its sender dies, once more.

Whether a reply arrived that went out without an answer is unknown; it is not sent again, since a person who misses one
presses Start again.
"""

import asyncio
import logging
from contextlib import suppress

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from room_server.core.bindings import person_of
from room_server.core.connecting import Reply
from room_server.core.incoming import button
from room_server.errors import StateUnavailable
from room_server.state.replies import Replies, WaitingReply
from room_server.state.store import Store
from room_server.telegram import texts
from room_server.telegram.calls import CallFailed, Calls
from room_server.telegram.pacing import SendRateLimiter
from room_server.telegram.sender import IN_FLIGHT, Sender

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.2
"""Between two looks at an empty queue."""
SEND_SECONDS = 6.0
"""How long one try may take; less than the lease of a reply."""
SLOT_SECONDS = 1.0
"""The longest wait for a send slot that occupies a sender; a reply whose slot is further off goes back."""
TRIES = 5
"""After so many a reply is dropped: by then nobody waits for it any more."""


class ReplySender:
    """Sends what waits, a few replies at once."""

    def __init__(self, store: Store, sender: Sender, calls: Calls) -> None:
        self._replies = Replies(store)
        self._rate = SendRateLimiter(store)
        self._sender = sender
        self._calls = calls

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping` is set; what was taken is sent first."""
        while not stopping.is_set():
            taken: list[WaitingReply] = []
            with suppress(StateUnavailable):  # `Worker` logs it
                taken = [] if self._sender.halted else await self._replies.take(IN_FLIGHT)
                await asyncio.gather(*(self._handle(waiting) for waiting in taken))
            if not taken:
                await asyncio.sleep(IDLE_SECONDS)

    async def _handle(self, waiting: WaitingReply) -> None:
        """Send one reply; it stays in the queue while nothing was sent. Raises StateUnavailable."""
        reply = waiting.reply
        if waiting.tries > TRIES:
            logger.warning("a reply of the bot is dropped after %d tries", TRIES)
            await self._replies.remove(waiting.name)
            return
        if reply.query:
            await self._stop_the_clock(reply.query)
        if not reply.text:
            await self._replies.remove(waiting.name)
            return
        wait = await self._slot(reply.chat_id)
        if wait is not None:
            await self._replies.postpone(waiting.name, wait, is_try=False)
            return
        buttons = _buttons(reply) if reply.question else None
        outcome = await self._sender.send(reply.chat_id, texts.reply(reply), SEND_SECONDS, buttons)
        logger.info("telegram: %s: %s", reply.text, outcome.kind)
        if outcome.kind == "flood":
            await self._rate.hold(reply.chat_id, outcome.seconds)
        if outcome.kind in {"flood", "halted", "refused"}:
            again = max(outcome.seconds, 2.0 ** min(waiting.tries, 5))
            await self._replies.postpone(waiting.name, again, is_try=outcome.kind == "refused")
        else:
            await self._replies.remove(waiting.name)

    async def _slot(self, chat_id: int) -> float | None:
        """Wait for a slot of the chat; None once it is there, else the seconds after which to ask again."""
        for _ in range(TRIES):
            slot = await self._rate.acquire(chat_id)
            if not slot.granted and (slot.chat_waits or slot.seconds > SLOT_SECONDS):
                return slot.seconds
            await asyncio.sleep(slot.seconds)  # bounded by SLOT_SECONDS or by the granted slot
            if slot.granted:
                return None
        return SLOT_SECONDS

    async def _stop_the_clock(self, query: str) -> None:
        """Answer the button. Telegram takes that for some seconds only, and nobody needs it."""
        with suppress(CallFailed):
            await self._calls.call("answerCallbackQuery", {"callback_query_id": query})


def _buttons(reply: Reply) -> InlineKeyboardMarkup:
    person, words = person_of(reply.person), texts.words(reply.locale)
    rows = [
        [InlineKeyboardButton(words[name], callback_data=button(person, reply.question, agrees))]
        for name, agrees in (("button_yes", True), ("button_no", False))
    ]
    return InlineKeyboardMarkup(rows)
