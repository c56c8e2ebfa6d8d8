"""GET /monitor/counts: the sockets of all processes by room and role, their hooks, and the messages."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.auth import Authenticator
from room_server.core.permissions import Reading, check_read
from room_server.core.receipt_stats import Reach, merge
from room_server.core.room import Status
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state import heartbeat, webinars
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.heartbeat import Node
from room_server.state.redis.retry import deadline
from room_server.state.site_standing import ReceiverState, receivers
from room_server.state.store import Store

FRESH_SECONDS = 0.5
"""How old the counts may be: any number of monitors costs Redis no more than one."""
SHOWN = frozenset({Status.LIVE, Status.PAUSED, Status.FINISHED})
"""Rooms that are shown even when nobody is connected; finished ones only while they are evaluated."""

OVER = frozenset({Status.FINISHED, Status.ARCHIVED})


class Evaluation(Struct, frozen=True):
    """How far a pending evaluation is."""

    due_at: datetime
    done: int
    total: int


class Outcome(Struct, frozen=True):
    """What became of a webinar that is over: leads that entered, that count as attended, that clicked the CTA."""

    entered: int
    stayed: int
    clicked: int


class RoomCount(Struct, frozen=True):
    """One room: its sockets in all processes."""

    webinar_id: str
    status: Status
    total: int
    roles: dict[str, int]
    reach: Reach | None
    evaluation: Evaluation | None
    outcome: Outcome | None


class NodeCount(Struct, frozen=True):
    """One process."""

    node: str
    kind: Literal["web", "worker"]
    total: int
    seen_at: datetime


class ReceiverCount(Struct, frozen=True):
    """One receiver of the site's events; `receiver` is its host and a short hash."""

    receiver: str
    state: ReceiverState
    lag: int
    oldest_s: float
    parked: int


class Counted(Struct, frozen=True, kw_only=True):
    """The answer; `hooks` by code since each living process began, `deliveries` by status."""

    total: int
    rooms: list[RoomCount]
    nodes: list[NodeCount]
    hooks: dict[str, int]
    deliveries: dict[str, int]
    site_events: list[ReceiverCount]
    """Empty for a token of one webinar."""


class Counts:
    """The endpoint. A person may ask `per_person` times a second, with bursts of four times as many."""

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)
        self._shared = SharedRead(self._read, FRESH_SECONDS)

    async def answer(self, request: Request) -> Response:
        """The counts that the caller may see. Raises Refusal."""
        actor = self._authenticator.bearer(request.headers)
        check_read(actor, Reading.COUNTS, None)
        self._throttle.check(actor.person)
        return responses.json(await self.visible(actor.webinar_id))

    async def visible(self, scope: str) -> bytes:
        """The counts that a token for this webinar id, or for `*`, may see, as JSON. Raises StateUnavailable."""
        return msgspec.json.encode(limited(await self._shared.get(), scope))

    async def _read(self) -> Counted:
        async with deadline():
            nodes, listed, deliveries, found = await asyncio.gather(
                heartbeat.living(self._store),
                webinars.latest(self._store),
                webinars.delivery_counts(self._store),
                receivers(self._store),
            )
            rooms = [
                room
                for webinar_id, status in sorted((room.webinar_id, room.status) for room in listed)
                if (room := await self._room(webinar_id, status, nodes))
            ]
        hooks = sum((Counter(node.hooks) for node in nodes), Counter())
        return Counted(
            total=sum(node.total for node in nodes),
            rooms=rooms,
            nodes=[NodeCount(node.node, node.kind, node.total, node.seen_at) for node in nodes],
            hooks=dict(sorted(hooks.items())),
            deliveries=deliveries,
            site_events=[ReceiverCount(one.label, one.state, one.lag, one.oldest_s, one.parked) for one in found],
        )

    async def _room(self, webinar_id: str, status: Status, nodes: list[Node]) -> RoomCount | None:
        """The room's counts; None when it is not shown."""
        roles = sum((Counter(node.rooms[webinar_id]) for node in nodes if webinar_id in node.rooms), Counter[str]())
        if not (roles or status in SHOWN):
            return None
        evaluation = await self._evaluation(webinar_id) if status is Status.FINISHED else None
        if status is Status.FINISHED and not (roles or evaluation):
            return None
        reach = merge(node.reach[webinar_id] for node in nodes if webinar_id in node.reach)
        outcome = Outcome(*await webinars.outcome(self._store, webinar_id)) if status in OVER else None
        return RoomCount(webinar_id, status, roles.total(), dict(sorted(roles.items())), reach, evaluation, outcome)

    async def _evaluation(self, webinar_id: str) -> Evaluation | None:
        due = await EvaluationSchedule(self._store).pending(webinar_id)
        if due is None:
            return None
        done, total = await webinars.evaluation_progress(self._store, webinar_id)
        return Evaluation(datetime.fromtimestamp(due.at / 1000, UTC), done, total)


def limited(counted: Counted, scope: str) -> Counted:
    """What a token for `scope` may see: for one webinar id that room only, and `total` counts it."""
    if scope == "*":
        return counted
    rooms = [room for room in counted.rooms if room.webinar_id == scope]
    return msgspec.structs.replace(counted, rooms=rooms, total=sum(room.total for room in rooms), site_events=[])
