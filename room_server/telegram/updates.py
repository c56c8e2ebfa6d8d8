"""Updates of the bot, however they came: each is decoded, decided in the core and committed, and counts once."""

import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.bindings import Person, PersonKind
from room_server.core.connecting import connect
from room_server.core.incoming import Answered, Intent, Start, Update, intent_of
from room_server.errors import StateUnavailable
from room_server.shared_read import SharedRead
from room_server.state import connections, roster, webinars
from room_server.state.connections import Asked
from room_server.state.store import Store
from room_server.telegram.deep_links import DeepLinks

logger = logging.getLogger(__name__)

ATTEMPTS = 8
"""Most tries to commit one update; then it is asked for again."""
NEAREST = 20
"""Webinars nearest in time whose rosters are asked for a lead's language."""
SCHEDULE_SECONDS = 5.0
"""How old the list of these webinars may be."""

_UPDATE = msgspec.json.Decoder(Update)


def decode(raw: bytes | msgspec.Raw) -> Update | None:
    """The update; None for what is none, or one whose fields are not as Telegram has them: it must not hold up others.

    An answer of many updates is taken apart without looking into them, so one may hold half a character (RFC 8259, 8.2)
    or be nested without end.
    """
    try:
        return _UPDATE.decode(raw)
    except (ValueError, RecursionError):
        return None


class Updates:
    """Takes updates. `links` gives the links of this installation."""

    def __init__(self, store: Store, links: Callable[[], Awaitable[DeepLinks]]) -> None:
        self._store = store
        self._links = links
        self._nearest = SharedRead(self._read_nearest, SCHEDULE_SECONDS)

    async def take(self, update: Update) -> None:
        """Let the update have its effect. Raises StateUnavailable; then it may be taken again."""
        intent = intent_of(update)
        if intent is None:
            return
        asked = Asked(update.update_id, intent.chat_id, await self._person(intent))
        locale = await self._locale(asked.person) if isinstance(intent, Start) else None
        for _ in range(ATTEMPTS):
            loaded = await connections.load(self._store, asked)
            if loaded is None:
                return
            effect = connect(intent, replace(loaded.facts, locale=locale), utc_now())
            left_out = await connections.commit(self._store, asked, loaded, effect)
            if left_out is not None:
                if left_out:
                    logger.warning("%d replies are left out: too many wait, or a chat asks for too many", left_out)
                return
        raise StateUnavailable(f"a chat changed {ATTEMPTS} times while an update was decided")

    async def take_raw(self, raw: bytes) -> None:
        """The same for an update as JSON; what is none of Telegram's has no effect. Raises StateUnavailable."""
        update = decode(raw)
        if update is not None:
            await self.take(update)

    async def _person(self, intent: Intent) -> Person | None:
        if isinstance(intent, Answered):
            return intent.person
        return (await self._links()).person(intent.payload) if isinstance(intent, Start) else None

    async def _locale(self, person: Person | None) -> str | None:
        """The lead's language by a roster: that of the webinar nearest in time, of a few; None: on none of them."""
        if person is None or person.kind is not PersonKind.LEAD:
            return None
        return await roster.locale_of(self._store, await self._nearest.get(), person.id)

    async def _read_nearest(self) -> list[str]:
        now = utc_now()
        rooms = sorted(await webinars.latest(self._store), key=lambda room: abs(room.scheduled_at - now))
        return [room.webinar_id for room in rooms[:NEAREST]]


def by_chat(updates: Iterable[Update]) -> list[list[Update]]:
    """The updates of each chat in their order; those of different chats may be taken at the same time."""
    chats: dict[int, list[Update]] = {}
    for update in updates:
        intent = intent_of(update)
        if intent is not None:
            chats.setdefault(intent.chat_id, []).append(update)
    return list(chats.values())
