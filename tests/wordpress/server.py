"""A room server for the plugin to talk to: a real HTTP server that answers as the test says and keeps what it was told.

The tests that are about the two together run against the real one (`test_story.py`).
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from room_server.protocols.bounded_http import bind
from tests.support import HOOK_SECRET, TOKEN_SECRET, started, stopped
from tests.wordpress.site import WordPress


class Told(Struct, frozen=True):
    """A request of the plugin's."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def hook(self) -> str:
        """The hook that was sent."""
        return self.path.removeprefix("/hooks/")

    @property
    def payload(self) -> Any:
        """What it says."""
        return json.loads(self.body)

    @property
    def claims(self) -> dict[str, Any]:
        """Those of its token, which must be valid."""
        token = self.headers["authorization"].removeprefix("Bearer ")
        claims: dict[str, Any] = jwt.decode(token, TOKEN_SECRET, ["HS256"], options={"verify_exp": False})
        return claims

    def is_signed(self) -> bool:
        """Whether one of its signatures holds (Standard Webhooks)."""
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        return f"v1,{signature(head + self.body)}" in self.headers["webhook-signature"].split()


Answer = Callable[[Told], Response]


class RoomServer:
    """What arrived, and what requests get instead of a yes."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"
        self.told: list[Told] = []
        self.next: deque[Answer] = deque()
        """Answers for the next requests; then `usual`."""
        self.usual: Answer = lambda told: JSONResponse({"duplicate": False})

    async def receive(self, request: Request) -> Response:
        """Any request."""
        told = Told(time.time(), request.url.path, dict(request.headers), await request.body())
        self.told.append(told)
        return (self.next.popleft() if self.next else self.usual)(told)

    def hooks(self) -> list[tuple[str, Any]]:
        """The hooks that were sent, with their payloads."""
        return [(told.hook, told.payload) for told in self.told if told.path.startswith("/hooks/")]

    def constants(self) -> dict[str, str]:
        """What a `wp-config.php` has to say to use this server."""
        return constants(self.url)


def constants(url: str) -> dict[str, str]:
    """What a `wp-config.php` has to say to use the server at `url`."""
    return {"ROOM_SERVER_URL": url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET, "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET}


@asynccontextmanager
async def room_server() -> AsyncIterator[RoomServer]:
    """It, on a port of its own."""
    listening = bind("127.0.0.1", 0)
    server = RoomServer(f"127.0.0.1:{listening.getsockname()[1]}")
    app = Starlette(routes=[Route("/{path:path}", server.receive, methods=["GET", "POST"])])
    running = await started(uvicorn.Config(app, log_config=None), listening)
    try:
        yield server
    finally:
        await stopped(running)


def refusal(status: int, code: str, detail: str = "as the test wants") -> Answer:
    """A refusal in the server's own form."""
    return lambda told: JSONResponse({"code": code, "detail": detail, "status": status}, status)


def page(status: int) -> Answer:
    """What a proxy answers."""
    return lambda told: Response("<!DOCTYPE html><h1>no</h1>", status, media_type="text/html")


def signature(content: bytes, secret: str = HOOK_SECRET) -> str:
    """The signature of id, time and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def event(kind: str, webinar_id: str | None = "launch", **more: Any) -> dict[str, Any]:
    """An event as the server tells it; `data` holds what else is given."""
    lead = f":{more['lead_id']}" if "lead_id" in more else ""
    return {
        "id": more.pop("id", f"{kind}:{webinar_id}{lead}"),
        "type": kind,
        "timestamp": "2026-11-22T19:00:02Z",
        "webinar_id": webinar_id,
        "actor": more.pop("actor", None),
        "data": {"webinar_id": webinar_id, **more},
    }


async def tell(site: WordPress, *events: Any, **how: Any) -> httpx.Response:
    """Send events as the server does. `url`, `secret`, `late` (seconds), `id`, `body` (bytes) may be given."""
    batch = {"type": "room_server.events", "timestamp": "2026-11-22T19:00:02Z", "data": {"events": events}}
    body = how.get("body", json.dumps(batch).encode())
    identity, stamp = how.get("id", uuid.uuid4().hex), str(int(time.time() - how.get("late", 0)))
    headers = {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature(f'{identity}.{stamp}.'.encode() + body, how.get('secret', HOOK_SECRET))}",
    }
    return await site.http.post(how.get("url", site.events_url), content=body, headers=headers)
