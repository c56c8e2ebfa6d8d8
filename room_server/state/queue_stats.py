"""What Redis tells of all processes together: what is late, what stands where, and whether writes are kept.

Each reading costs a few commands per partition, and the listing of the latest webinars. What it tells is of the
partitions that are there.
"""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from msgspec import Struct
from redis.exceptions import RedisError

from room_server.clock import utc_now
from room_server.core.messages import DeliveryStatus
from room_server.core.room import Status
from room_server.errors import StateUnavailable
from room_server.state import heartbeat, webinars
from room_server.state.bulk_reads import ANSWER_SECONDS, answer
from room_server.state.evaluation_schedule import EvaluationSchedule, Schedule
from room_server.state.outbox import Outbox
from room_server.state.redis.retry import deadline
from room_server.state.store import Store


class QueueStats(Struct, frozen=True, kw_only=True):
    """One reading; lags in seconds, 0 when nothing is late."""

    processes: dict[str, int]
    """By kind: `web`, `worker`."""
    messages: dict[str, int]
    """By status, every one of them."""
    webinars: dict[str, int]
    """By status, every one of them; of the latest webinars that one listing reads."""
    longest_live: float
    """Since the start of the webinar that has been live for longest, seconds; 0 when none is."""
    evaluations: int
    """On the schedule."""
    evaluation_lag: float
    """Of the one that should have begun first."""
    delivery_lag: float
    """Of the message that should have been looked at first."""
    partitions_away: int
    """Whose server did not answer: they are missing from the rest."""
    durable: bool | None
    """Whether the server keeps an append-only file and can write to it; None: it does not say."""


async def read(store: Store) -> QueueStats:
    """The vitals now. Raises StateUnavailable."""
    async with deadline():
        now = utc_now()
        nodes, fates, rooms, lags, durable = await asyncio.gather(
            heartbeat.living(store),
            webinars.delivery_counts(store),
            webinars.latest(store),
            _lags(store),
            _durable(store),
        )
    kinds = Counter(node.kind for node in nodes)
    states = Counter(room.status for room in rooms)
    begun = [room.started_at for room in rooms if room.status is Status.LIVE and room.started_at is not None]
    return QueueStats(
        processes={"web": kinds["web"], "worker": kinds["worker"]},
        messages={fate.value: fates.get(fate.value, 0) for fate in DeliveryStatus},
        webinars={status.value: states[status] for status in Status},
        longest_live=max((now - min(begun)).total_seconds(), 0.0) if begun else 0.0,
        partitions_away=len(store.away),
        durable=durable,
        **lags,
    )


async def _lags(store: Store) -> dict[str, Any]:
    """Evaluations on the schedule, and by how many seconds the first of them and the first message are late."""
    evaluations, outbox = EvaluationSchedule(store), Outbox(store)

    async def read_one(tag: str) -> tuple[Schedule, float]:
        return await evaluations.read(tag, 0), await outbox.lag(tag)

    found = await asyncio.gather(*(answer(store, tag, partial(read_one, tag)) for tag in store.keys.tags))
    there = [one for one in found if one is not None]
    if not there:
        raise StateUnavailable
    return {
        "evaluations": sum(schedule.waiting for schedule, _ in there),
        "evaluation_lag": max(schedule.late for schedule, _ in there),
        "delivery_lag": max(late for _, late in there),
    }


async def _durable(store: Store) -> bool | None:
    """Of a Cluster, one server's word; whoever does not let us ask, or is away, says nothing."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            told = await store.pipeline.call("INFO", "persistence")
    except (RedisError, TimeoutError):
        return None
    if not isinstance(told, dict) or "aof_enabled" not in told:
        return None
    return bool(told["aof_enabled"] == 1 and told.get("aof_last_write_status", "ok") == "ok")
