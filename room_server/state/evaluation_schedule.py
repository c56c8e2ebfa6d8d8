"""When the leads of each webinar are evaluated: a sorted set per partition, by one clock in Redis (see steady.lua)."""

from typing import NamedTuple

from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

TAKEN = 100
"""Most webinars that one read returns."""


class ScheduledEvaluation(NamedTuple):
    """A webinar to evaluate, and when: Unix ms by the clock in Redis."""

    webinar_id: str
    at: float


class Schedule(NamedTuple):
    """The schedule of a partition."""

    waiting: int
    """How many evaluations are on it, due or not."""
    late: float
    """Seconds for which the first of them has been due; 0 if none is due."""
    due: list[ScheduledEvaluation]


class EvaluationSchedule:
    """Reads the schedule and removes finished evaluations; commits add webinars. All methods raise StateUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = Script.read("read_schedule")
        self._finish = Script.read("finish_evaluation")

    async def read(self, tag: str, most: int = TAKEN) -> Schedule:
        """The schedule of a partition; `due` has at most `most` entries."""
        keys = self._store.keys
        async with deadline():
            waiting, late, found = await self._store.run(self._read, [keys.evaluations(tag), keys.clock(tag)], [most])
        due = [ScheduledEvaluation(name.decode(errors="replace"), float(at)) for name, at in pairs(found)]
        return Schedule(waiting, late / 1000, due)

    async def pending(self, webinar_id: str) -> ScheduledEvaluation | None:
        """The webinar's evaluation, due or not; None when none is scheduled."""
        async with deadline():
            score = await self._store.call("ZSCORE", self._key(webinar_id), webinar_id)
        return None if score is None else ScheduledEvaluation(webinar_id, float(score))

    async def add(self, webinar_id: str) -> None:
        """Schedule an evaluation of a webinar that has ended, at once or when the one that is scheduled is due."""
        keys, tag = self._store.keys, self._store.keys.tag(webinar_id)
        async with deadline():
            places = [keys.evaluations(tag), keys.clock(tag)]
            await self._store.run(Script.read("arm_evaluation"), places, [webinar_id])

    async def finish(self, done: ScheduledEvaluation) -> bool:
        """Remove a finished evaluation; False, and nothing is removed, if it was scheduled again meanwhile."""
        async with deadline():
            return bool(await self._store.run(self._finish, [self._key(done.webinar_id)], [*done]))

    def _key(self, webinar_id: str) -> str:
        return self._store.keys.evaluations(self._store.keys.tag(webinar_id))
