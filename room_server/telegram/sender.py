"""One try to send one message by the Bot API, and its outcome. Nothing is retried here."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx
from telegram import Bot, InlineKeyboardMarkup
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
from room_server.proxy import ProxySetting, UnusableProxy, proxy_to
from room_server.state.heartbeat import TelegramStatus

logger = logging.getLogger(__name__)

IN_FLIGHT = 4
"""Most messages that one worker sends at once."""
STEP_SECONDS = 3.0
"""Timeout of connecting, of writing and of reading."""
TROUBLE_SECONDS = 30.0
"""Pause of a message after a server error: it is tried only once more, so rather when Telegram has recovered."""
HALTED_SECONDS = 1.0
"""Pause of a message after its token was refused: then another worker with a valid token may send it."""
USER_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
"""A user name of Telegram as it may stand in a link."""
_written: ContextVar[list[str]] = ContextVar("what of the request in this context was begun to be written")
SILENCED_LOGGERS = ("httpx", "httpcore", "telegram")
"""Loggers of libraries that would log the token (in URLs) or names and chat ids (in answers that are no JSON)."""


class Sender:
    """Sends by the Bot API; without a bot nothing is sent.

    `status` is what is known of Telegram: `no_answer` with a bot, at first; without one `dry_run`, which is then the
    outcome of every message, or `proxy_unusable`, with which they wait.
    """

    def __init__(self, bot: Bot | None, status: TelegramStatus = "dry_run", proxy: str = "") -> None:
        self._bot = bot
        self.status = status
        self._way = f" through the proxy of {proxy}" if proxy else ""
        self._is_warned = False
        self.name = ""
        """The bot's user name, once Telegram has told it."""

    @property
    def halted(self) -> bool:
        """Whether nothing is sent and every message waits until the worker is started with another setting."""
        return self.status in {"token_refused", "proxy_unusable"}

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is ever sent, so that no send slot is needed."""
        return self.status == "dry_run"

    async def check(self) -> bool:
        """Ask Telegram whether it takes the token; False: there was no answer, which is logged once."""
        if self._bot is None or self.halted:
            return True
        try:
            async with asyncio.timeout(STEP_SECONDS):
                name = (await self._bot.get_me()).username
        except InvalidToken:
            self._halt()
        except Exception as error:  # whatever it is, it must not end the worker
            if not self._is_warned:
                logger.warning(
                    "Telegram does not answer%s (%s): it is asked again, and messages wait", self._way, describe(error)
                )
            self._is_warned = True
            return False
        else:
            self.name = name if isinstance(name, str) and USER_NAME.fullmatch(name) else ""
            if not self.halted:
                self.status = "ok"
        return True

    async def send(
        self, chat_id: int, text: str, seconds: float, buttons: InlineKeyboardMarkup | None = None
    ) -> Outcome:
        """The outcome of one try, whatever happens; it takes no longer than `seconds`."""
        if self.is_dry_run:
            return Outcome(kind="dry_run")
        if self._bot is None or self.halted:
            return Outcome(kind="halted", seconds=HALTED_SECONDS)
        written: list[str] = []
        _written.set(written)
        try:
            async with asyncio.timeout(seconds):
                message = await self._bot.send_message(chat_id, text, parse_mode=ParseMode.HTML, reply_markup=buttons)
            return Outcome(kind="sent", message_id=message.message_id)
        except InvalidToken:
            self._halt()
            return Outcome(kind="halted", seconds=HALTED_SECONDS, error="invalid_token")
        except Exception as error:  # every failure becomes an outcome of the message
            return outcome_of(error, is_sent=bool(written))

    def _halt(self) -> None:
        if not self.halted:
            logger.critical(
                "Telegram refuses ROOM_SERVER_TELEGRAM_TOKEN (or ROOM_SERVER_TELEGRAM_BASE_URL is no Bot API): "
                "nothing is sent and every message is kept; set it right and start the worker again"
            )
        self.status = "token_refused"


class ServerError(TelegramError):
    """An answer of 5xx. It follows a complete request, so it is unknown whether the message arrived."""


def outcome_of(error: Exception, is_sent: bool) -> Outcome:
    """The outcome of a failed try, of which anything was sent or not.

    It is final only when the answer has the form of Telegram's API.
    """
    description = describe(error)
    cause = error.__cause__
    match error:
        case RetryAfter():
            return Outcome(kind="flood", seconds=_seconds(error), error="flood")
        case ChatMigrated():
            return Outcome(kind="migrated", chat_id=error.new_chat_id, error="migrated")
        case Forbidden() | NetworkError() if isinstance(cause, TelegramError):
            return Outcome(kind="refused", error=description)  # no JSON: a proxy or a firewall answered, not Telegram
        case Forbidden() | BadRequest():
            return Outcome(kind="final", error=error.message[:200])
        case _ if not is_sent or (isinstance(error, NetworkError) and cause is None):
            return Outcome(kind="refused", error=description)  # never sent, or refused with an HTTP status
        case _:
            seconds = TROUBLE_SECONDS if isinstance(error, ServerError) else 0.0
            return Outcome(kind="unknown", seconds=seconds, error=description)


def describe(error: Exception) -> str:
    """The error in at most 200 characters."""
    return f"{type(error).__name__}: {error}"[:200]


def _seconds(error: RetryAfter) -> float:
    waits = error.retry_after
    return waits.total_seconds() if isinstance(waits, timedelta) else float(waits)


class Request(HTTPXRequest):
    """Reads only the ids of an answer, so that no other field can make a message doubtful that has arrived."""

    async def do_request(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ServerError for 5xx, TelegramError."""
        status, body = await super().do_request(*args, **more)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(f"HTTP {status}")
        return status, body

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer, its result reduced to what the library's `Message` or `User` requires. Raises TelegramError."""
        match answer := HTTPXRequest.parse_json_payload(payload):
            case {"ok": True, "result": {"message_id": int(number)}}:
                return {"result": {"message_id": number, "date": 1, "chat": {"id": 1, "type": "private"}}}
            case {"ok": True, "result": {"id": int(number), "first_name": _, **more}}:
                return {"result": {"id": number, "is_bot": True, "first_name": "", "username": more.get("username")}}
            case {"ok": True}:
                raise TelegramError("the answer tells of no message")
        return answer


async def _note_writing(request: httpx.Request) -> None:
    """Note in `_written` when the request itself is begun to be written, and not what asks a proxy for the way."""
    written = _written.get([])

    async def trace(name: str, info: dict[str, Any]) -> None:
        if name == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            written.append(name)

    request.extensions["trace"] = trace


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """A sender; its connections are closed when the block ends."""
    if not settings.telegram_token:
        yield Sender(None)
        return
    try:
        setting = proxy_to(settings.telegram_base_url)
    except UnusableProxy as error:
        logger.warning("%s. No message is sent and every message waits; set it right and start the worker again", error)
        yield Sender(None, "proxy_unusable")
        return
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of a deprecation at each flood
    for name in SILENCED_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    request = _request(setting)
    base_url = f"{settings.telegram_base_url.rstrip('/')}/bot"
    bot = Bot(settings.telegram_token, base_url=base_url, request=request, get_updates_request=request)
    try:
        await request.initialize()
        yield Sender(bot, "no_answer", setting.variable if setting else "")
    finally:
        await request.shutdown()


def _request(setting: ProxySetting | None) -> Request:
    return Request(
        connection_pool_size=2 * IN_FLIGHT + 1,  # messages, replies, the check of the token
        connect_timeout=STEP_SECONDS,
        read_timeout=STEP_SECONDS,
        write_timeout=STEP_SECONDS,
        pool_timeout=STEP_SECONDS,
        proxy=setting.proxy if setting else None,
        httpx_kwargs={
            "trust_env": False,  # it would read the proxies again
            "verify": httpx.create_ssl_context(),
            "event_hooks": {"request": [_note_writing]},
        },
    )
