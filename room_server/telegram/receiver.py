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
WAIT_SECONDS = 5.0
"""After a call that failed."""
PATH = "/hooks/telegram_update"
"""Where updates are sent to."""


class Number(Struct, frozen=True):
    """The one field of an update that must be there."""

    update_id: int


class Receiver:
    """Receives the updates for one worker; `owner` is unique to its process."""

    def __init__(self, settings: Settings, store: Store, sender: Sender, owner: str) -> None:
        self._settings = settings
        self._store = store
        self._sender = sender
        self._owner = owner
        self._links = OfferedLinks(settings, store)
        self._updates = Updates(store, self._links.links)
        self._offset = 0
        self._told_at: float | None = None
        """When Telegram was told how we receive, since this worker has the lease; monotonic."""
        self._failure = ""

    async def run(self, calls: Calls) -> None:
        """Receive until this is cancelled; then another worker may."""
        try:
            while True:
                wait = await self._step(calls)
                await asyncio.sleep(wait)
        finally:
            with suppress(StateUnavailable):
                await bot.release_receiver(self._store, self._owner)

    async def _step(self, calls: Calls) -> float:
        """Receive once; seconds until the next time."""
        try:
            if self._sender.status != "ok" or not await bot.hold_receiver(self._store, self._owner, LEASE_SECONDS):
                self._told_at = None
                return RETRY_SECONDS
            await self._tell(calls)
            if self._settings.telegram_updates == "webhook":
                return RETRY_SECONDS
            idle = 0.0 if await self._poll(calls) else IDLE_SECONDS
        except StateUnavailable as refusal:
            logger.warning("updates of the bot wait: %s", refusal.detail)
            return RETRY_SECONDS
        except CallFailed as failure:
            self._log(failure)
            return max(WAIT_SECONDS, failure.wait)
        self._recovered()
        return idle

    async def _tell(self, calls: Calls) -> None:
        """Tell Telegram how we receive, and the other processes the bot's name, once in a while."""
        if self._told_at is not None and time.monotonic() - self._told_at < TOLD_EVERY:
            return
        if self._settings.telegram_updates == "webhook":
            address = str(self._settings.public_url).rstrip("/") + PATH
            secret = (await self._links.links()).webhook_secrets[0]
            hook = {"url": address, "secret_token": secret, "allowed_updates": ALLOWED}
            await calls.call("setWebhook", hook)
            self._recovered()
        else:
            await calls.call("deleteWebhook", {})
        if self._sender.name:
            await bot.keep_name(self._store, self._sender.name)
        self._told_at = time.monotonic()

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

    def _log(self, failure: CallFailed) -> None:
        """Log a failure once, until receiving works again."""
        text = f"it refuses ({failure})" if failure.status else f"it does not answer ({failure})"
        if failure.status == 409:
            text = f"another program with the same {PREFIX}TELEGRAM_TOKEN receives them ({failure})"
        if text != self._failure:
            logger.warning("no updates of the bot come from Telegram: %s; it is tried again", text)
        self._failure = text

    def _recovered(self) -> None:
        if self._failure:
            logger.warning("updates of the bot come from Telegram again")
        self._failure = ""
