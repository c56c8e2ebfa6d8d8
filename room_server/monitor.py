"""Whether this process lives and is ready."""

import asyncio
from typing import Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from room_server.channels.handshake import Door
from room_server.channels.listener import Listener
from room_server.errors import StateUnavailable
from room_server.state import presence
from room_server.state.patience import deadline
from room_server.state.store import Store


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool


class Parts(Struct, frozen=True, kw_only=True):
    """What a web process needs to serve; and whether there is a worker, without which it serves all the same."""

    redis: bool
    listener: bool
    serving: bool
    """Nobody was asked to leave."""
    worker: Literal["running", "missing", "unknown"]
    """Any worker's heartbeat. `unknown`: Redis cannot be asked."""


class Readiness(Struct, frozen=True):
    """Whether callers may be sent here, and which part is not ready."""

    ready: bool
    parts: Parts


class Monitor:
    """The endpoints and what they need."""

    def __init__(self, store: Store, listener: Listener, door: Door) -> None:
        self._store = store
        self._door = door
        self._listener = listener

    async def ready(self, _: Request) -> Response:
        """200 when Redis answers, the listener is subscribed and nobody is asked to leave; else 503 and what is not.

        A missing worker is told and changes nothing: rooms are served without one, and no other process has more.
        """
        redis, worker = await asyncio.gather(self._redis_answers(), self._worker())
        listener, serving = self._listener.subscribed.is_set(), not self._door.draining
        ready = redis and listener and serving
        parts = Parts(redis=redis, listener=listener, serving=serving, worker=worker)
        return _json(Readiness(ready, parts), 200 if ready else 503)

    async def _redis_answers(self) -> bool:
        try:
            async with deadline():
                return bool(await self._store.ask("PING"))
        except StateUnavailable:
            return False

    async def _worker(self) -> Literal["running", "missing", "unknown"]:
        try:
            nodes = await presence.living(self._store)
        except StateUnavailable:
            return "unknown"
        return "running" if any(node.kind == "worker" for node in nodes) else "missing"


async def alive(_: Request) -> Response:
    """The process answers; nothing else is asked, so that a hiccup of Redis restarts nobody."""
    return _json(Alive(True))


def _json(answer: Alive | Readiness, status: int = 200) -> Response:
    content = msgspec.json.encode(answer)
    return Response(content, status, media_type="application/json", headers={"Cache-Control": "no-store"})
