"""A webinar that nobody stopped: the worker ends it after LIVE_HOURS, since nobody is evaluated before its end."""

import logging
from datetime import datetime, timedelta

from room_server.core.decision_types import Command, OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.core.messages import Actor, Role
from room_server.core.room import PublicRoom, Status
from room_server.errors import Refusal
from room_server.ids import new_id
from room_server.state import webinars
from room_server.transactions import Transactions

logger = logging.getLogger(__name__)

NOTICE = timedelta(hours=1)
"""From the warning in the log to the stop."""
ACTOR = Actor(role=Role.SYSTEM, subject="live_hours")
ON_AIR = frozenset({Status.LIVE, Status.PAUSED})


class LiveLimit:
    """Warns, and an hour later stops. A worker that has just started has warned of nothing, and does so first."""

    def __init__(self, transactions: Transactions, hours: int) -> None:
        """`hours`: how long a webinar may be live, pauses included; at least 1."""
        self._transactions = transactions
        self._limit = timedelta(hours=hours)
        self._warned: dict[tuple[str, datetime], datetime] = {}
        """When it was warned of a webinar, by its id and its start."""

    async def check(self, now: datetime) -> None:
        """Look at the webinars that are on air, among those nearest in time (`webinars.LISTED`).

        Raises StateUnavailable.
        """
        store = self._transactions.store
        rooms = await webinars.latest(store)
        on_air = {(room.webinar_id, room.started_at): room for room in rooms if room.status in ON_AIR}
        if not store.unavailable:  # else a webinar may be missing from the list only for now
            self._warned = {key: at for key, at in self._warned.items() if key in on_air}
        for (_, started_at), room in on_air.items():
            if started_at is not None and self._is_over(room, started_at, now):
                await self._stop(room.webinar_id)

    def _is_over(self, room: PublicRoom, started_at: datetime, now: datetime) -> bool:
        """Whether its time is over and the warning an hour old. The warning is given here, when it is due."""
        end = started_at + self._limit
        if now < end - NOTICE:
            return False
        key = (room.webinar_id, started_at)
        if key not in self._warned:
            self._warned[key] = now
            at = max(end, now + NOTICE)
            logger.warning(
                "%s has been live since %s; if nobody stops it, it is stopped at %s (ROOM_SERVER_LIVE_HOURS)",
                *(room.webinar_id, f"{started_at:%Y-%m-%d %H:%M} UTC", f"{at:%Y-%m-%d %H:%M} UTC"),
            )
        return now >= max(end, self._warned[key] + NOTICE)

    async def _stop(self, webinar_id: str) -> None:
        """Stop one webinar; if that fails now, the next look tries again, and the other webinars do not wait."""
        try:
            hook = OperatorAction(webinar_id, Trigger.STOP)
            await self._transactions.apply(Command(id=new_id(), actor=ACTOR, hook=hook))
            logger.warning("%s was stopped: it had been live for ROOM_SERVER_LIVE_HOURS", webinar_id)
        except Refusal as refusal:
            logger.warning("%s could not be stopped: %s", webinar_id, refusal.detail)
