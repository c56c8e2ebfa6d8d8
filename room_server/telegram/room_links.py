"""The personal link into the room that a reminder holds: a short link of the lead's own (state.short_links).

Its code is derived from what the message is, so that a message that is made again, as after a flood, holds the same
link. Stored is its hash only, as of all short links.
"""

import base64
import hmac
from datetime import datetime

from room_server.config import Settings
from room_server.core.delivery import Delivery
from room_server.core.messages import MessageKind
from room_server.core.room import Room
from room_server.state import short_links
from room_server.state.short_links import CODE_BYTES, LINK_VALIDITY
from room_server.state.store import Store
from room_server.telegram.deep_links import derived
from room_server.telegram.pacing import is_group

_PURPOSE = b"room-server: links into rooms"


class RoomLinks:
    """Makes the links. There are none without PUBLIC_URL, nor where this installation only verifies tokens."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._root = (settings.public_url or "").rstrip("/")
        secrets = () if settings.token_public_key else settings.token_secrets()
        self._key = derived(secrets[0].encode(), _PURPOSE) if secrets and self._root else b""

    async def url(self, delivery: Delivery, room: Room, now: datetime) -> str | None:
        """The link for a message; None when it holds none. Raises StateUnavailable.

        In a group everybody would enter as that lead, so no link goes there.
        """
        is_for_one = delivery.chat_id is not None and not is_group(delivery.chat_id)
        if delivery.kind is not MessageKind.REMINDER or not self._key or not is_for_one:
            return None
        code = self._code(delivery, room)
        expires_at = int((max(now, room.scheduled_at) + LINK_VALIDITY).timestamp())
        stored = await short_links.save_codes(self._store, room.webinar_id, {delivery.lead_id: code}, expires_at)
        return f"{self._root}/r/{code}" if stored else None

    def _code(self, delivery: Delivery, room: Room) -> str:
        parts = room.webinar_id, room.epoch, delivery.lead_id, delivery.name, room.scheduled_at.isoformat()
        mac = hmac.digest(self._key, " ".join(map(str, parts)).encode(), "sha256")
        return base64.urlsafe_b64encode(mac[:CODE_BYTES]).rstrip(b"=").decode()
