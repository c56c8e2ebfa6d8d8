"""GET /monitor/counts: what all processes count together, by room, role and process."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.auth import Authenticator
from room_server.core.permissions import Reading, check_read
from room_server.core.receipt_stats import Reach, merge
from room_server.core.room import PublicRoom, Status
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state import heartbeat, webinars
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.heartbeat import Node
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

FRESH_SECONDS = 0.5
"""How old an answer may be: any number of monitors costs Redis no more."""
SHOWN = frozenset({Status.LIVE, Status.PAUSED, Status.FINISHED})
"""Rooms that are shown even when nobody is connected; of the finished only those still being evaluated."""


class Evaluation(Struct, frozen=True):
    """How far a pending evaluation is."""

    due_at: datetime
    done: int
    total: int


class RoomCount(Struct, frozen=True):
    """One room: its sockets in all processes."""

    webinar_id: str
    status: Status
    total: int
    roles: dict[str, int]
    reach: Reach | None
    evaluation: Evaluation | None


class NodeCount(Struct, frozen=True):
    """One process."""

    node: str
    kind: Literal["web", "worker"]
    total: int
    seen_at: datetime


class Counted(Struct, frozen=True, kw_only=True):
    """The answer; `hooks` by code since each living process began, `deliveries` by status."""

    total: int
    rooms: list[RoomCount]
    nodes: list[NodeCount]
    hooks: dict[str, int]
    deliveries: dict[str, int]


class Counts:
    """The endpoint and what it needs."""

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 4 * per_person)
        self._shared = SharedRead(self._summed, FRESH_SECONDS)

    async def answer(self, request: Request) -> Response:
        """The counts that the caller may see. Raises Refusal."""
        actor = self._authenticator.bearer(request.headers)
        check_read(actor, Reading.COUNTS, None)
        self._throttle.check(actor.person)
        content = await self.seen(actor.webinar_id)
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def seen(self, scope: str) -> bytes:
        """What a token for this webinar id, or for `*`, may see, as JSON. Raises StateUnavailable."""
        return msgspec.json.encode(seen_by(scope, await self.read()))

    async def read(self) -> Counted:
        """The sum over the living processes. Raises StateUnavailable."""
        return await self._shared.get()

    async def _summed(self) -> Counted:
        async with deadline():
            nodes, listed, deliveries = await asyncio.gather(
                heartbeat.living(self._store), webinars.latest(self._store), webinars.delivery_counts(self._store)
            )
            return await self._counted(nodes, listed, deliveries)

    async def _counted(self, nodes: list[Node], listed: list[PublicRoom], deliveries: dict[str, int]) -> Counted:
        roles: dict[str, Counter[str]] = {}
        hooks: Counter[str] = Counter()
        for node in nodes:
            hooks.update(node.hooks)
            for webinar_id, counted in node.rooms.items():
                roles.setdefault(webinar_id, Counter()).update(counted)
        return Counted(
            total=sum(node.total for node in nodes),
            rooms=await self._rooms(listed, roles, _reaches(nodes)),
            nodes=[_node(node) for node in nodes],
            hooks=dict(sorted(hooks.items())),
            deliveries=deliveries,
        )

    async def _rooms(
        self, listed: list[PublicRoom], roles: dict[str, Counter[str]], reaches: dict[str, Reach]
    ) -> list[RoomCount]:
        rooms = []
        for webinar_id, status in sorted((room.webinar_id, room.status) for room in listed):
            counted = roles.get(webinar_id, Counter())
            if not (counted or status in SHOWN):
                continue
            evaluation = await self._evaluation(webinar_id) if status is Status.FINISHED else None
            if counted or evaluation or status is not Status.FINISHED:
                rooms.append(
                    RoomCount(
                        webinar_id,
                        status,
                        counted.total(),
                        dict(sorted(counted.items())),
                        reaches.get(webinar_id),
                        evaluation,
                    )
                )
        return rooms

    async def _evaluation(self, webinar_id: str) -> Evaluation | None:
        due = await EvaluationSchedule(self._store).pending(webinar_id)
        if due is None:
            return None
        done, total = await webinars.evaluation_progress(self._store, webinar_id)
        return Evaluation(datetime.fromtimestamp(due.at / 1000, UTC), done, total)


def seen_by(scope: str, counted: Counted) -> Counted:
    """A token for one webinar gets that room only, and `total` counts it."""
    if scope == "*":
        return counted
    rooms = [room for room in counted.rooms if room.webinar_id == scope]
    return msgspec.structs.replace(counted, rooms=rooms, total=sum(room.total for room in rooms))


def _reaches(nodes: list[Node]) -> dict[str, Reach]:
    ids = {webinar_id for node in nodes for webinar_id in node.reach}
    found = {one: merge(node.reach[one] for node in nodes if one in node.reach) for one in ids}
    return {one: reach for one, reach in found.items() if reach is not None}


def _node(node: Node) -> NodeCount:
    return NodeCount(node.node, node.kind, node.total, node.seen_at)
