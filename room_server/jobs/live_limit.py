"""A webinar that nobody stopped: the worker ends it after LIVE_HOURS, since nobody is evaluated before its end."""

import logging
from datetime import datetime, timedelta

from room_server.core.decision_types import Command, OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.core.messages import Actor, Role
from room_server.core.room import ON_AIR
from room_server.errors import Refusal
from room_server.ids import new_id
from room_server.state import webinars
from room_server.transactions import Transactions

logger = logging.getLogger(__name__)

NOTICE = timedelta(hours=1)
"""From the warning in the log to the stop."""
ACTOR = Actor(role=Role.SYSTEM, subject="live_hours")


class LiveLimit:
    """Warns, and an hour later stops. That it was warned is stored, so another worker neither repeats nor delays it."""

    def __init__(self, transactions: Transactions, hours: int) -> None:
        """`hours`: how long a webinar may be live, pauses included; at least 1."""
        self._transactions = transactions
        self._limit = timedelta(hours=hours)

    async def check(self, now: datetime) -> None:
        """Look at what is on air among the webinars nearest in time (`webinars.LISTED`). Raises StateUnavailable.

        If one cannot be stopped now, the next look tries again, and the others do not wait.
        """
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        for room in await webinars.latest(self._transactions.store):
            if room.status in ON_AIR and room.started_at is not None and now >= room.started_at + self._limit - NOTICE:
                try:
                    await self._warn_or_stop(room.webinar_id, room.started_at, now)
                except Refusal as refusal:
                    logger.warning("%s could not be stopped: %s", room.webinar_id, refusal.detail)

    async def _warn_or_stop(self, webinar_id: str, started_at: datetime, now: datetime) -> None:
        """Stop the webinar if its time is over and its warning an hour old. The first worker warns."""
        end = started_at + self._limit
        warned_at = await webinars.warned_at(self._transactions.store, webinar_id, end, now)
        stops_at = max(end, warned_at + NOTICE)
        if warned_at == now:
            logger.warning(
                "%s has been live since %s; if nobody stops it, it is stopped at %s (ROOM_SERVER_LIVE_HOURS)",
                *(webinar_id, f"{started_at:%Y-%m-%d %H:%M} UTC", f"{stops_at:%Y-%m-%d %H:%M} UTC"),
            )
        if now >= stops_at:
            hook = OperatorAction(webinar_id, Trigger.STOP)
            await self._transactions.apply(Command(id=new_id(), actor=ACTOR, hook=hook))
            logger.warning("%s was stopped: it had been live for ROOM_SERVER_LIVE_HOURS", webinar_id)
