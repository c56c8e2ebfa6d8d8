"""Receives the updates of the bot: one worker asks Telegram for them, or tells it where to send them.

The workers share a lease, and the one that has it acts; when that one dies, another has it within LEASE_SECONDS. Two at
once would do no harm, since each update counts once; Telegram refuses one of them (409).
"""

import asyncio
import logging
import time
from contextlib import suppress

import msgspec
from msgspec import Struct

from room_server.config import PREFIX, Settings
from room_server.core.incoming import ALLOWED, Update
from room_server.errors import StateUnavailable, UnreadableRecord
from room_server.state import bot
from room_server.state.store import Store
from room_server.telegram.calls import CallFailed, Calls
from room_server.telegram.deep_links import OfferedLinks
from room_server.telegram.sender import Sender
from room_server.telegram.updates import Updates, by_chat, decode

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
POLL_SECONDS = 5.0
"""How long Telegram waits for an update before it answers that there is none."""
BATCH = 100
"""Most updates in one answer (Bot API, getUpdates)."""
IDLE_SECONDS = 0.2
"""After an empty answer, which a server that does not wait gives at once."""
TOLD_EVERY = 3600.0
"""Seconds after which Telegram is told again where to send updates, and the bot's name is kept on."""
RETRY_SECONDS = 1.0
"""Before a worker without the lease looks for it again."""
ERROR_SECONDS = 3600.0
"""An error of sending that Telegram knows of and that is older than this says nothing of updates that wait now."""
PATH = "/hooks/telegram_update"
"""Where updates are sent to."""
TOKEN = f"{PREFIX}TELEGRAM_TOKEN"
"""The setting whose name the log tells."""


class Waits(Struct, frozen=True):
    """How long a receiver waits, in seconds."""

    after_failure: float = 5.0
    """After a call that failed."""
    between_checks: float = 60.0
    """Between two questions whether the updates that Telegram sends get through."""


USUAL = Waits()


class Number(Struct, frozen=True):
    """The one field of an update that must be there."""

    update_id: int


class WebhookInfo(Struct, frozen=True):
    """What Telegram knows of sending updates (Bot API, WebhookInfo); the date is in Unix seconds."""

    url: str = ""
    pending_update_count: int = 0
    last_error_date: int = 0
    last_error_message: str = ""


class Receiver:
    """Receives the updates for one worker; `owner` is unique to its process."""

    def __init__(self, settings: Settings, store: Store, sender: Sender, owner: str) -> None:
        self._settings = settings
        self._store = store
        self._sender = sender
        self._owner = owner
        self._links = OfferedLinks(settings, store)
        self._updates = Updates(store, self._links.links)
        self._holding: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._holding.set_result(False)
        self._offset = 0
        self._told_at: float | None = None
        """When Telegram was told how we receive, since this worker has the lease; monotonic."""
        self._checked_at: float | None = None
        """When Telegram was last asked whether its updates get through, since then; monotonic."""
        self._failure = ""

    @property
    def is_failing(self) -> bool:
        """Whether this worker is the one that receives, and updates do not come."""
        return bool(self._failure)

    async def run(self, calls: Calls, waits: Waits = USUAL) -> None:
        """Receive until this is cancelled; then another worker may."""
        try:
            while True:
                wait = await self._step(calls, waits)
                await asyncio.sleep(wait)
        finally:
            with suppress(StateUnavailable):
                await self._holding  # else it might be stored after the release
                await bot.release_receiver(self._store, self._owner)

    async def _step(self, calls: Calls, waits: Waits) -> float:
        """Receive once; seconds until the next time."""
        try:
            if self._sender.status != "ok" or not await self._hold():
                self._told_at = self._checked_at = None
                self._failure = ""  # of the worker that has the lease now
                return RETRY_SECONDS
            await self._tell(calls)
            if self._settings.telegram_updates == "webhook":
                if _is_due(self._checked_at, waits.between_checks):
                    await self._check_webhook(calls)
                return RETRY_SECONDS
            idle = 0.0 if await self._poll(calls) else IDLE_SECONDS
        except StateUnavailable as refusal:
            logger.warning("updates of the bot wait: %s", refusal.detail)
            return RETRY_SECONDS
        except CallFailed as failure:
            self._fail(_reason(failure))
            return max(waits.after_failure, failure.wait)
        self._recovered()
        return idle

    async def _hold(self) -> bool:
        """Whether this worker is the one that receives; that it asked to be is stored even if it is cancelled now."""
        self._holding = asyncio.ensure_future(bot.hold_receiver(self._store, self._owner, LEASE_SECONDS))
        return await asyncio.shield(self._holding)

    async def _tell(self, calls: Calls) -> None:
        """Tell Telegram how we receive, and the other processes the bot's name, once in a while."""
        if not _is_due(self._told_at, TOLD_EVERY):
            return
        if self._settings.telegram_updates == "webhook":
            secret = (await self._links.links()).webhook_secrets[0]
            hook = {"url": self._address, "secret_token": secret, "allowed_updates": ALLOWED}
            await calls.call("setWebhook", hook)
        else:
            await calls.call("deleteWebhook", {})
        if self._sender.name:
            await bot.keep_name(self._store, self._sender.name)
        self._told_at = time.monotonic()

    async def _check_webhook(self, calls: Calls) -> None:
        """Ask Telegram whether its updates get through to us, and tell when they do not. Raises CallFailed."""
        raw = await calls.call("getWebhookInfo", {})
        try:
            found = msgspec.json.decode(raw, type=WebhookInfo)
        except ValueError:
            raise CallFailed(200, "the answer tells of no webhook") from None
        self._checked_at = time.monotonic()
        if not found.url:
            self._told_at = None  # somebody took it away: it is set again at once
            self._fail(f"nobody has told it where to send them, or another program with the same {TOKEN} took it back")
        elif found.url != self._address:
            self._fail(f"another program with the same {TOKEN} has them sent elsewhere")
        elif found.pending_update_count and time.time() - found.last_error_date < ERROR_SECONDS:
            self._fail(f"it cannot send them to {self._address} ({found.last_error_message[:200]})")
        else:
            self._recovered()

    @property
    def _address(self) -> str:
        return str(self._settings.public_url).rstrip("/") + PATH

    async def _poll(self, calls: Calls) -> bool:
        """Ask for updates, and take them; whether there were any. They are confirmed by the next question."""
        question = {"offset": self._offset, "limit": BATCH, "timeout": int(POLL_SECONDS), "allowed_updates": ALLOWED}
        found = await calls.call("getUpdates", question, POLL_SECONDS)
        try:
            raws = msgspec.json.decode(found, type=list[msgspec.Raw])
            numbers = [msgspec.json.decode(raw, type=Number).update_id for raw in raws]
        except ValueError:
            raise CallFailed(200, "the answer holds no updates") from None
        known = [decode(raw) for raw in raws]
        chats = by_chat(update for update in known if update is not None)
        done = await asyncio.gather(*(self._take(chat) for chat in chats), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
        # an empty answer means that all are confirmed; after a quiet week Telegram may count from anywhere
        self._offset = max([self._offset, *(number + 1 for number in numbers)]) if numbers else 0
        return bool(numbers)

    async def _take(self, updates: list[Update]) -> None:
        for update in updates:
            with suppress(UnreadableRecord):  # state.records logs it; it must not hold up the others
                await self._updates.take(update)

    def _fail(self, reason: str) -> None:
        """Log why no updates come, once, until they do again."""
        if reason != self._failure:
            logger.warning("no updates of the bot come from Telegram: %s; it is tried again", reason)
        self._failure = reason

    def _recovered(self) -> None:
        if self._failure:
            logger.warning("updates of the bot come from Telegram again")
        self._failure = ""


def _is_due(last: float | None, seconds: float) -> bool:
    """Whether so many seconds have passed since then, by the monotonic clock; None: never."""
    return last is None or time.monotonic() - last >= seconds


def _reason(failure: CallFailed) -> str:
    if failure.status == 409:
        return f"another program with the same {TOKEN} receives them ({failure})"
    return f"it refuses ({failure})" if failure.status else f"it does not answer ({failure})"
