"""Messages that found no chat go out when somebody is bound within a day of the evaluation.

Who is bound is counted in Redis, in the same step. When the count has grown, the webinars that ended a short time ago
are evaluated again, which looks at their messages without a chat. Two workers at once do no harm.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from room_server.clock import utc_now
from room_server.core.room import Room, Status
from room_server.jobs.evaluation import binds_in_time
from room_server.state import connections, webinars
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.redis.retry import DEADLINE
from room_server.transactions import Transactions

SETTLED_SECONDS = DEADLINE + 1.0
"""After a binding: by then every decision that did not know of it is stored, and its messages are found."""
LONGEST_GRACE = timedelta(days=30)
"""Webinars that ended longer ago are not looked at, whatever their grace is."""
OVER = frozenset({Status.FINISHED, Status.ARCHIVED})


class LateBindings:
    """Looks for new bindings. Each method raises StateUnavailable."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._store = transactions.store

    async def check(self) -> int:
        """Evaluate again what ended a short time ago, if somebody was bound since the last time; how many webinars."""
        bound, seen = await connections.bound_count(self._store)
        if bound == seen:
            return 0
        await asyncio.sleep(SETTLED_SECONDS)
        schedule, found = EvaluationSchedule(self._store), 0
        async for room in self._ended():
            await schedule.add(room.webinar_id)
            found += 1
        await connections.bound_seen(self._store, bound)
        return found

    async def _ended(self) -> AsyncIterator[Room]:
        """The webinars whose messages may still wait for a binding."""
        now = utc_now()
        for listed in await webinars.latest(self._store):
            if listed.status in OVER and listed.finished_at and now < listed.finished_at + LONGEST_GRACE:
                room = (await self._store.load(listed.webinar_id)).room
                if room is not None and binds_in_time(room, self._transactions.grace_of(room), now):
                    yield room
