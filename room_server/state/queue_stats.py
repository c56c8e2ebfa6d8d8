"""Numbers for monitoring that Redis has of all processes together: what is late, counts by status, durability.

One reading costs a few commands a partition, and one list of webinars. Partitions that are unavailable are missing from
all numbers but `partitions_away`.
"""

import asyncio
from collections import Counter
from functools import partial
from typing import get_args

from msgspec import Struct
from redis.exceptions import RedisError

from room_server.clock import utc_now
from room_server.core.messages import DeliveryStatus
from room_server.core.room import Status
from room_server.errors import StateUnavailable
from room_server.state import heartbeat, webinars
from room_server.state.bulk_reads import ANSWER_SECONDS, answer
from room_server.state.evaluation_schedule import EvaluationSchedule, Schedule
from room_server.state.heartbeat import TelegramStatus
from room_server.state.outbox import Outbox
from room_server.state.redis.retry import deadline
from room_server.state.site_standing import ReceiverStanding, receivers
from room_server.state.store import Store


class QueueStats(Struct, frozen=True, kw_only=True):
    """One reading. Lags are in seconds, 0 when nothing is late."""

    processes: dict[str, int]
    """By kind: `web`, `worker`."""
    telegram: dict[str, int]
    """Workers by what they know of Telegram; every status is there."""
    messages: dict[str, int]
    """By status; every status is there."""
    webinars: dict[str, int]
    """By status; every status is there. Only the webinars of one list count (see `webinars.latest`)."""
    longest_live: float
    """Seconds since the start of the webinar that has been live for longest; 0 when none is."""
    evaluations: int
    """On the schedule, due or not."""
    evaluation_lag: float
    """Of the evaluation that has been due for longest."""
    delivery_lag: float
    """Of the message that has been due for longest."""
    receivers: list[ReceiverStanding]
    """Of the site's events."""
    partitions_away: int
    """Partitions whose server did not answer."""
    durable: bool | None
    """Whether the server has an append-only file and can write to it; None: it does not tell."""


async def read(store: Store) -> QueueStats:
    """The numbers now. Raises StateUnavailable."""
    now = utc_now()
    try:
        async with deadline(), asyncio.TaskGroup() as reading:  # unlike gather's, its tasks have ended after an error
            nodes = reading.create_task(heartbeat.living(store))
            messages = reading.create_task(webinars.delivery_counts(store))
            rooms = reading.create_task(webinars.latest(store))
            lags = reading.create_task(_lags(store))
            durable = reading.create_task(_durable(store))
            found = reading.create_task(receivers(store))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    evaluations, evaluation_lag, delivery_lag = lags.result()
    kinds = Counter(node.kind for node in nodes.result())
    known = Counter(node.telegram for node in nodes.result() if node.kind == "worker")
    statuses = Counter(room.status for room in rooms.result())
    started = [room.started_at for room in rooms.result() if room.status is Status.LIVE and room.started_at is not None]
    return QueueStats(
        processes={"web": kinds["web"], "worker": kinds["worker"]},
        telegram={status: known[status] for status in get_args(TelegramStatus)},
        messages={status.value: messages.result().get(status.value, 0) for status in DeliveryStatus},
        webinars={status.value: statuses[status] for status in Status},
        longest_live=max((now - min(started)).total_seconds(), 0.0) if started else 0.0,
        receivers=found.result(),
        partitions_away=len(store.unavailable),
        durable=durable.result(),
        evaluations=evaluations,
        evaluation_lag=evaluation_lag,
        delivery_lag=delivery_lag,
    )


async def _lags(store: Store) -> tuple[int, float, float]:
    """Evaluations on the schedule, evaluation lag and delivery lag, over the partitions that are available."""
    evaluations, outbox = EvaluationSchedule(store), Outbox(store)

    async def read_one(tag: str) -> tuple[Schedule, float]:
        return await evaluations.read(tag, 0), await outbox.lag(tag)

    replies = await asyncio.gather(*(answer(store, tag, partial(read_one, tag)) for tag in store.keys.tags))
    found = [reply for reply in replies if reply is not None]
    if not found:
        raise StateUnavailable
    schedules, delivery_lags = zip(*found, strict=True)
    waiting = sum(schedule.waiting for schedule in schedules)
    return waiting, max(schedule.late for schedule in schedules), max(delivery_lags)


async def _durable(store: Store) -> bool | None:
    """See QueueStats. Of a Cluster, one server is asked. None if INFO is forbidden, or the server is unavailable."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            info = await store.pipeline.call("INFO", "persistence")
    except (RedisError, TimeoutError):
        return None
    if not isinstance(info, dict) or "aof_enabled" not in info:
        return None
    return bool(info["aof_enabled"] == 1 and info.get("aof_last_write_status", "ok") == "ok")
