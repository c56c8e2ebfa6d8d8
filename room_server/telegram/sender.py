"""One try to send one message by the Bot API, and what came of it. Nothing is retried here."""

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
"""Messages on the line at once, per worker."""
STEP_SECONDS = 3.0
"""For connecting, writing and reading each."""
TROUBLE_SECONDS = 30.0
"""How long a message rests after a server error: it is tried once more only, so better when Telegram is well again."""
HALTED_SECONDS = 1.0
"""How long messages rest that were tried with a token that is refused: then a worker with the right one has them."""
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Causes that prove that the request never went out."""
NARRATORS = ("httpx", "httpcore", "telegram")
"""Libraries whose log would hold the token (in addresses) or names and chat ids (in answers that are no JSON)."""


class Sender:
    """Sends by the Bot API; without a bot every message is a rehearsal."""

    def __init__(self, bot: Bot | None) -> None:
        self._bot = bot
        self.halted = False
        """The token is refused: nothing can be sent until it is mended."""

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing ever goes out, so that no pace needs to be kept."""
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
        except Exception as error:  # whatever it is, the message's record must say so
            return outcome_of(error)

    def _halt(self) -> None:
        if not self.halted:
            logger.critical(
                "Telegram refuses ROOM_SERVER_TELEGRAM_TOKEN (or ROOM_SERVER_TELEGRAM_BASE_URL is no Bot API): "
                "nothing is sent and every message is kept; set it right and start the worker again"
            )
        self.halted = True


class ServerError(TelegramError):
    """An answer of 5xx. It came after the request was written, so nobody knows whether the message arrived."""


def outcome_of(error: Exception) -> Outcome:
    """What a failed try means for its message; only what is in Telegram's own form is its last word."""
    word = f"{type(error).__name__}: {error}"[:200]
    cause = error.__cause__
    match error:
        case RetryAfter():
            return Outcome(kind="flood", seconds=_seconds(error), error="flood")
        case ChatMigrated():
            return Outcome(kind="migrated", chat_id=error.new_chat_id, error="migrated")
        case Forbidden() | BadRequest() if isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=word)  # no JSON: a proxy or a firewall said so, not Telegram
        case Forbidden() | BadRequest():
            return Outcome(kind="final", error=error.message[:200])
        case NetworkError() if isinstance(cause, NOT_SENT) or cause is None or isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=word)  # never sent, or refused with an HTTP status
        case _:
            seconds = TROUBLE_SECONDS if isinstance(error, ServerError) else 0.0
            return Outcome(kind="unknown", seconds=seconds, error=word)


def _seconds(error: RetryAfter) -> float:
    waits = error.retry_after
    return waits.total_seconds() if isinstance(waits, timedelta) else float(waits)


class Request(HTTPXRequest):
    """Reads no more of an answer than is needed: what else it holds must not put a message that arrived in doubt."""

    async def do_request(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ServerError for 5xx, TelegramError."""
        status, body = await super().do_request(*args, **more)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(f"HTTP {status}")
        return status, body

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """As the library's, which then makes a Message of the result. Raises TelegramError."""
        match said := HTTPXRequest.parse_json_payload(payload):
            case {"ok": True, "result": {"message_id": int(number)}}:
                return {"result": {"message_id": number, "date": 1, "chat": {"id": 1, "type": "private"}}}
            case {"ok": True}:
                raise TelegramError("the answer tells of no message")
        return said


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """A sender whose connections are closed with the block."""
    if not settings.telegram_token:
        yield Sender(None)
        return
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of its own future at each flood
    for narrator in NARRATORS:
        logging.getLogger(narrator).setLevel(logging.CRITICAL)
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
