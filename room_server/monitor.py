"""Whether this process lives and is ready."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from room_server.channels.handshake import Door
from room_server.channels.listener import Listener
from room_server.errors import StateUnavailable
from room_server.state.patience import deadline
from room_server.state.store import Store


class Monitor:
    """The endpoints and what they need."""

    def __init__(self, store: Store, listener: Listener, door: Door) -> None:
        self._store = store
        self._door = door
        self._listener = listener

    async def ready(self, _: Request) -> Response:
        """200 when Redis answers, the listener is subscribed and nobody is asked to leave; else 503 and what is not."""
        parts = {
            "redis": await self._redis_answers(),
            "listener": self._listener.subscribed.is_set(),
            "serving": not self._door.draining,
        }
        ready = all(parts.values())
        return JSONResponse({"ready": ready, "parts": parts}, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def _redis_answers(self) -> bool:
        try:
            async with deadline():
                return bool(await self._store.ask("PING"))
        except StateUnavailable:
            return False


async def alive(_: Request) -> Response:
    """The process answers; nothing else is asked, so that a hiccup of Redis restarts nobody."""
    return JSONResponse({"alive": True}, headers={"Cache-Control": "no-store"})
