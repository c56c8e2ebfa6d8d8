"""GET /healthz and /readyz: whether this process answers, and whether callers may be sent to it."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.errors import StateUnavailable
from room_server.shared_read import SharedRead
from room_server.state import heartbeat
from room_server.state.heartbeat import Node, TelegramStatus
from room_server.state.site_standing import WORSE, ReceiverState, receivers
from room_server.state.store import Store

FRESH_SECONDS = 1.0
"""How old the state of the receivers may be: any number of probes costs Redis no more."""


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
    site_events: ReceiverState | Literal["none", "unknown"]
    """The state of the receivers of the site's events, of several the worst. `none`: there is none; `unknown`: Redis
    does not answer."""
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
        self._receivers = SharedRead(partial(receivers, store), FRESH_SECONDS)

    async def ready(self, _: Request) -> Response:
        """200 when any partition answers and its changes arrive, and the process is not draining; else 503 and why.

        Some partitions that are away are named and change nothing: no other process could serve their rooms, and this
        one serves the others. Neither does a missing worker, a token that Telegram refuses or a site that takes no
        events: rooms need none of them.
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
            site_events=await self._site_events() if nodes is not None else "unknown",
            partitions_away=[tag for tag in tags if tag in unreachable or tag in unsubscribed],
        )
        ready = parts.serving and len(parts.partitions_away) < len(tags)
        return responses.json(Readiness(ready, parts), 200 if ready else 503)

    async def _site_events(self) -> ReceiverState | Literal["none", "unknown"]:
        try:
            states = {one.state for one in await self._receivers.get()}
        except StateUnavailable:
            return "unknown"
        return next((state for state in WORSE if state in states), "none")


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
