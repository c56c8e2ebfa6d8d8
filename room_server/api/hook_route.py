"""ASGI: the hooks are found by their address before Starlette looks through its routes.

It is the innermost of the application's own middlewares, so the request id, the security headers, the limit per address
and CORS are around it as around every route. What it saves are Starlette's layers inside of those, a tenth of a hook:
the exception handlers, the router with its regular expressions, and what wraps `send` for each of them.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from room_server.api import responses
from room_server.api.hook_bodies import ACCEPTED
from room_server.errors import Refusal

_JSON = (b"content-type", b"application/json")


class HookRoute:
    """Answers `POST /hooks/<name>` for each hook that may come in, and passes everything else on to `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._names = {f"/hooks/{name}": name for name in ACCEPTED}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What is raised besides Refusal is answered by Starlette's outermost layer."""
        name = self._names.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if name is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await scope["state"]["web"].hooks.answer(request, name)
        except Refusal as refusal:
            await responses.refused(request, refusal)(scope, receive, send)
            return
        headers = [(b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body)), _JSON]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
