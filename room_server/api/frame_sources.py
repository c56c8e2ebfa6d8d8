"""Whom the pages of a room may frame: its player's origin, and those that the operator names beside it.

Part of the policy of the room and of the speaker's console, which previews the player.

Strangers load pages, and Redis is not theirs: an answer serves everybody for a second, and only so many rooms a second
are looked up. Whoever was told too little loads the page again when the player comes.
"""

import time
from collections import OrderedDict

from room_server.core.players import origin
from room_server.core.room import Room, Status
from room_server.errors import StateUnavailable, TooManyRequests
from room_server.rate_limit import Throttle
from room_server.state.store import Store

NOBODY = "'none'"
ANYBODY = "http: https:"
"""For a host that no policy can name, such as an IPv6 address (CSP 3, 2.3.1)."""
FRESH_SECONDS = 1.0
KNOWN = 1000
"""Rooms that are remembered; the one looked up longest ago is forgotten first."""
READS_A_SECOND = 100
WITHOUT_PLAYER = frozenset({Status.DRAFT, Status.FINISHED, Status.ARCHIVED})


class FrameSources:
    """What the policies of this process's room pages allow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._throttle = Throttle(READS_A_SECOND, READS_A_SECOND)
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def sources(self, webinar_id: str) -> str:
        """The value of `frame-src` for the pages of this room; NOBODY when it cannot be told."""
        read_at, sources = self._known.get(webinar_id, (0.0, NOBODY))
        if time.monotonic() - read_at < FRESH_SECONDS:
            return sources
        try:
            self._throttle.check("pages")
            room = (await self._store.load(webinar_id)).room
        except (TooManyRequests, StateUnavailable):
            return sources
        sources = allowed(room)
        self._known.pop(webinar_id, None)
        self._known[webinar_id] = (time.monotonic(), sources)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return sources


def allowed(room: Room | None) -> str:
    """The sources of the player while one is shown or may come."""
    if room is None or room.player_url is None or room.status in WITHOUT_PLAYER:
        return NOBODY
    own = source(room.player_url)
    return own if own == ANYBODY else " ".join(dict.fromkeys([own, *room.frame_origins]))


def source(address: str) -> str:
    """The origin of an http(s) address as a policy names it."""
    return origin(address) or ANYBODY
