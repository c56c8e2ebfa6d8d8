"""GET /healthz and /readyz: whether this process answers, and whether callers may be sent to it."""

from collections.abc import Callable
from typing import Literal, get_args

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.errors import StateUnavailable
from room_server.state import heartbeat
from room_server.state.heartbeat import Node, TelegramStatus
from room_server.state.store import Store


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool


class Checks(Struct, frozen=True, kw_only=True):
    """What a web process needs to serve; and whether there is a worker, without which it serves all the same."""

    redis: bool
    """At least one partition's server answers."""
    listener: bool
    """At least one partition is subscribed to."""
    serving: bool
    """The process is not draining: it takes new sockets."""
    worker: Literal["running", "missing", "unknown"]
    """Whether any worker's heartbeat is stored. `unknown`: a partition where it might be does not answer."""
    telegram: TelegramStatus | Literal["unknown"]
    """What the workers found out about Telegram; of several, what is worst. `unknown`: no worker's report is there."""
    partitions_away: list[str]
    """Tags of partitions whose server does not answer, or that are not subscribed to; the others are served."""


class Readiness(Struct, frozen=True):
    """Whether callers may be sent here, and which part is not ready."""

    ready: bool
    parts: Checks


class Health:
    """The endpoint `/readyz`.

    `unsubscribed` gives the tags of the partitions whose changes do not arrive in this process; `is_draining`, whether
    it asks its sockets to leave.
    """

    def __init__(self, store: Store, unsubscribed: Callable[[], list[str]], is_draining: Callable[[], bool]) -> None:
        self._store = store
        self._unsubscribed = unsubscribed
        self._is_draining = is_draining

    async def ready(self, _: Request) -> Response:
        """200 when any partition answers and its changes arrive, and the process is not draining; else 503 and why.

        Some partitions that are away are named and change nothing: no other process could serve their rooms, and this
        one serves the others. Neither does a missing worker or a token that Telegram refuses: rooms need none of them.
        """
        tags, unsubscribed = self._store.keys.tags, self._unsubscribed()
        try:
            nodes, unreachable = await heartbeat.living(self._store), set(self._store.unavailable)
        except StateUnavailable:
            nodes, unreachable = None, set(tags)
        parts = Checks(
            redis=nodes is not None,
            listener=len(unsubscribed) < len(tags),
            serving=not self._is_draining(),
            worker=_worker(nodes, unreachable),
            telegram=_telegram(nodes),
            partitions_away=[tag for tag in tags if tag in unreachable or tag in unsubscribed],
        )
        ready = parts.serving and len(parts.partitions_away) < len(tags)
        return responses.json(Readiness(ready, parts), 200 if ready else 503)


def _worker(nodes: list[Node] | None, unreachable: set[str]) -> Literal["running", "missing", "unknown"]:
    if any(node.kind == "worker" for node in nodes or ()):
        return "running"
    return "unknown" if unreachable else "missing"


def _telegram(nodes: list[Node] | None) -> TelegramStatus | Literal["unknown"]:
    found = {node.telegram for node in nodes or ()}
    worse: tuple[TelegramStatus, ...] = get_args(TelegramStatus)[::-1]
    return next((status for status in worse if status in found), "unknown")


async def alive(_: Request) -> Response:
    """200 whenever the process answers. Redis is not asked: a platform must not restart processes for its failure."""
    return responses.json(Alive(True))
