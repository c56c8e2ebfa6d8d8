"""Whether this process lives and is ready."""

from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.channels.handshake import Admission
from room_server.channels.listener import Listener
from room_server.errors import StateUnavailable
from room_server.state import heartbeat
from room_server.state.heartbeat import Node
from room_server.state.store import Store


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool


class Checks(Struct, frozen=True, kw_only=True):
    """What a web process needs to serve; and whether there is a worker, without which it serves all the same."""

    redis: bool
    """Any partition's server answers."""
    listener: bool
    """The changes of any partition are heard."""
    serving: bool
    """Nobody was asked to leave."""
    worker: Literal["running", "missing", "unknown"]
    """Any worker's heartbeat. `unknown`: Redis cannot be asked where it may stand."""
    partitions_away: list[str]
    """Those whose server does not answer, or whose changes are not heard; the others are served."""


class Readiness(Struct, frozen=True):
    """Whether callers may be sent here, and which part is not ready."""

    ready: bool
    parts: Checks


class Health:
    """The endpoints and what they need."""

    def __init__(self, store: Store, listener: Listener, admission: Admission) -> None:
        self._store = store
        self._admission = admission
        self._listener = listener

    async def ready(self, _: Request) -> Response:
        """200 when any partition answers and is heard, and nobody is asked to leave; else 503 and what is not.

        Partitions that are away are named and change nothing: no other process could serve their rooms, and this one
        serves the others. So is a missing worker: rooms are served without one.
        """
        tags, deaf = self._store.keys.tags, self._listener.away()
        try:
            nodes, silent = await heartbeat.living(self._store), set(self._store.away)
        except StateUnavailable:
            nodes, silent = None, set(tags)
        parts = Checks(
            redis=nodes is not None,
            listener=len(deaf) < len(tags),
            serving=not self._admission.draining,
            worker=_worker(nodes, silent),
            partitions_away=[tag for tag in tags if tag in silent or tag in deaf],
        )
        ready = parts.serving and len(parts.partitions_away) < len(tags)
        return _json(Readiness(ready, parts), 200 if ready else 503)


def _worker(nodes: list[Node] | None, silent: set[str]) -> Literal["running", "missing", "unknown"]:
    if nodes is not None and any(node.kind == "worker" for node in nodes):
        return "running"
    return "unknown" if silent else "missing"


async def alive(_: Request) -> Response:
    """The process answers; nothing else is asked, so that a hiccup of Redis restarts nobody."""
    return _json(Alive(True))


def _json(answer: Alive | Readiness, status: int = 200) -> Response:
    content = msgspec.json.encode(answer)
    return Response(content, status, media_type="application/json", headers={"Cache-Control": "no-store"})
