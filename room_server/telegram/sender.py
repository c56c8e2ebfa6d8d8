"""One try to send one message by the Bot API, and what came of it. Nothing is retried here."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
from telegram import Bot
from telegram.constants import ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from room_server.config import Settings
from room_server.core.delivery import LEASE, Outcome

logger = logging.getLogger(__name__)

IN_FLIGHT = 4
"""Messages on the line at once, per worker."""
STEP_SECONDS = 3.0
"""For connecting, writing and reading each."""
SEND_SECONDS = LEASE.total_seconds() - 1
"""For the whole of one try: it must be over before its lease is."""
HALTED_SECONDS = 60.0
"""How long messages rest when the bot's token is refused."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Causes that prove that the request never went out."""


class Sender:
    """Sends by the Bot API; without a bot every message is a rehearsal."""

    def __init__(self, bot: Bot | None) -> None:
        self._bot = bot
        self.halted = False
        """The token is refused: nothing can be sent until it is mended."""

    async def send(self, chat_id: int, text: str) -> Outcome:
        """The outcome of one try, whatever happens."""
        if self._bot is None:
            return Outcome(kind="dry_run")
        if self.halted:
            return Outcome(kind="halted", seconds=HALTED_SECONDS)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                message = await self._bot.send_message(chat_id, text, parse_mode=ParseMode.HTML)
            return Outcome(kind="sent", message_id=message.message_id)
        except InvalidToken:
            self._halt()
            return Outcome(kind="halted", seconds=HALTED_SECONDS, error="invalid_token")
        except Exception as error:
            return outcome_of(error)

    def _halt(self) -> None:
        if not self.halted:
            logger.critical(
                "Telegram refuses ROOM_SERVER_TELEGRAM_TOKEN: nothing is sent and every message is kept; "
                "set the right token and start the worker again"
            )
        self.halted = True


def outcome_of(error: Exception) -> Outcome:
    """What a failed try means for its message."""
    word = f"{type(error).__name__}: {error}"[:200]
    cause = error.__cause__
    match error:
        case RetryAfter():
            return Outcome(kind="flood", seconds=_seconds(error), error="flood")
        case ChatMigrated():
            return Outcome(kind="migrated", chat_id=error.new_chat_id, error="migrated")
        case Forbidden() | BadRequest():
            return Outcome(kind="final", error=error.message[:200])
        case NetworkError() if isinstance(cause, NOT_SENT) or cause is None or isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=word)  # never sent, or answered with an HTTP error
        case _:
            return Outcome(kind="unknown", error=word)


def _seconds(error: RetryAfter) -> float:
    waits = error.retry_after
    return waits.total_seconds() if isinstance(waits, timedelta) else float(waits)


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """A sender whose connections are closed with the block."""
    if not settings.telegram_token:
        yield Sender(None)
        return
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of its own future at each flood
    request = HTTPXRequest(
        connection_pool_size=IN_FLIGHT,
        connect_timeout=STEP_SECONDS,
        read_timeout=STEP_SECONDS,
        write_timeout=STEP_SECONDS,
        pool_timeout=STEP_SECONDS,
    )
    base_url = f"{settings.telegram_base_url.rstrip('/')}/bot"
    bot = Bot(settings.telegram_token, base_url=base_url, request=request, get_updates_request=request)
    try:
        await request.initialize()
        yield Sender(bot)
    finally:
        await request.shutdown()
