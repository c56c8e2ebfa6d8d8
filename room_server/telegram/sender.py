"""One try to send one message by the Bot API, and its outcome. Nothing is retried here."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any

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
from room_server.core.delivery import Outcome

logger = logging.getLogger(__name__)

IN_FLIGHT = 4
"""Most messages that one worker sends at once."""
STEP_SECONDS = 3.0
"""Timeout of connecting, of writing and of reading."""
TROUBLE_SECONDS = 30.0
"""Pause of a message after a server error: it is tried only once more, so rather when Telegram has recovered."""
HALTED_SECONDS = 1.0
"""Pause of a message after its token was refused: then another worker with a valid token may send it."""
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Causes that prove that the request was never sent."""
SILENCED_LOGGERS = ("httpx", "httpcore", "telegram")
"""Loggers of libraries that would log the token (in URLs) or names and chat ids (in answers that are no JSON)."""


class Sender:
    """Sends by the Bot API; without a bot nothing is sent and every outcome is `dry_run`."""

    def __init__(self, bot: Bot | None) -> None:
        self._bot = bot
        self.halted = False
        """Whether Telegram refused the token: nothing is sent until the worker is started with another."""

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is ever sent, so that no send slot is needed."""
        return self._bot is None

    async def send(self, chat_id: int, text: str, seconds: float) -> Outcome:
        """The outcome of one try, whatever happens; it takes no longer than `seconds`."""
        if self._bot is None:
            return Outcome(kind="dry_run")
        if self.halted:
            return Outcome(kind="halted", seconds=HALTED_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                message = await self._bot.send_message(chat_id, text, parse_mode=ParseMode.HTML)
            return Outcome(kind="sent", message_id=message.message_id)
        except InvalidToken:
            self._halt()
            return Outcome(kind="halted", seconds=HALTED_SECONDS, error="invalid_token")
        except Exception as error:  # every failure becomes an outcome of the message
            return outcome_of(error)

    def _halt(self) -> None:
        if not self.halted:
            logger.critical(
                "Telegram refuses ROOM_SERVER_TELEGRAM_TOKEN (or ROOM_SERVER_TELEGRAM_BASE_URL is no Bot API): "
                "nothing is sent and every message is kept; set it right and start the worker again"
            )
        self.halted = True


class ServerError(TelegramError):
    """An answer of 5xx. It follows a complete request, so it is unknown whether the message arrived."""


def outcome_of(error: Exception) -> Outcome:
    """The outcome of a failed try; it is final only when the answer has the form of Telegram's API."""
    description = f"{type(error).__name__}: {error}"[:200]
    cause = error.__cause__
    match error:
        case RetryAfter():
            return Outcome(kind="flood", seconds=_seconds(error), error="flood")
        case ChatMigrated():
            return Outcome(kind="migrated", chat_id=error.new_chat_id, error="migrated")
        case Forbidden() | BadRequest() if isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=description)  # no JSON: a proxy or a firewall answered, not Telegram
        case Forbidden() | BadRequest():
            return Outcome(kind="final", error=error.message[:200])
        case NetworkError() if isinstance(cause, NOT_SENT) or cause is None or isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=description)  # never sent, or refused with an HTTP status
        case _:
            seconds = TROUBLE_SECONDS if isinstance(error, ServerError) else 0.0
            return Outcome(kind="unknown", seconds=seconds, error=description)


def _seconds(error: RetryAfter) -> float:
    waits = error.retry_after
    return waits.total_seconds() if isinstance(waits, timedelta) else float(waits)


class Request(HTTPXRequest):
    """Reads only the message id of an answer, so that no other field can make a message doubtful that has arrived."""

    async def do_request(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ServerError for 5xx, TelegramError."""
        status, body = await super().do_request(*args, **more)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(f"HTTP {status}")
        return status, body

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer, its result reduced to what the library's `Message` requires. Raises TelegramError."""
        match answer := HTTPXRequest.parse_json_payload(payload):
            case {"ok": True, "result": {"message_id": int(number)}}:
                return {"result": {"message_id": number, "date": 1, "chat": {"id": 1, "type": "private"}}}
            case {"ok": True}:
                raise TelegramError("the answer tells of no message")
        return answer


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """A sender; its connections are closed when the block ends."""
    if not settings.telegram_token:
        yield Sender(None)
        return
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of a deprecation at each flood
    for name in SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    request = Request(
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
