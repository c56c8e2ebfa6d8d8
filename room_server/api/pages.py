"""The pages and their files, from the wheel or from the source tree, under a strict Content-Security-Policy."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from room_server.errors import Unknown

PAGES = {
    "/": "schedule.html",
    "/room/{webinar_id}": "room.html",
    "/speaker/{webinar_id}": "speaker.html",
    "/monitor": "monitor.html",
    "/demo/player": "demo-player.html",
    "/demo/cta": "demo-cta.html",
    "/demo/recording": "demo-recording.html",
}
NOBODY = "'none'"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


def folder() -> Path:
    """Where the static files are: inside the installed package, else beside it in the source tree."""
    packaged = Path(__file__).parents[1] / "static"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "static"


def routes() -> list[BaseRoute]:
    """The pages and `/static/`."""
    root = folder()
    return [
        *(Route(path, _page(root / name), methods=["GET"], middleware=COMPRESSED) for path, name in PAGES.items()),
        Mount("/static", Files(directory=root), middleware=COMPRESSED),
    ]


class Whole:
    """Files are small: each is sent whole, whatever range is asked for (RFC 9110, 14.2 lets a server ignore it)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._app({**scope, "headers": headers}, receive, send)


PLAYS = ("room.html", "speaker.html")
"""The pages of one webinar, with a frame for its player."""
_FRAMED = "frame_sources"
_SOCKETS = "socket_sources"
_WEBINAR_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?")
COMPRESSED = [Middleware(GZipMiddleware, minimum_size=500), Middleware(Whole)]
HEADERS = {"Cache-Control": "no-cache", "Accept-Ranges": "none"}


class Files(StaticFiles):
    """Files that browsers ask about each time: modules of two versions must not meet in one page."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Starlette's, with its ETag and 304."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


def _page(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        if path.name in PLAYS:
            webinar_id = request.path_params["webinar_id"]
            if not _WEBINAR_ID.fullmatch(webinar_id):
                raise Unknown("not_found", "there is nothing at this address")
            setattr(request.state, _FRAMED, await request.state.web.frame_sources.sources(webinar_id))
        setattr(request.state, _SOCKETS, _sockets_of(request.headers.get("host", "")))
        return FileResponse(path, headers=HEADERS)

    return page


def _sockets_of(host: str) -> str:
    """What `connect-src` says beside 'self', which holds no sockets before Safari 16 (WebKit 235873)."""
    return f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""


class SecurityHeaders:
    """Sends with every answer what browsers should hold us to. `origins` may embed the pages.

    The request's state may say whom its page may frame, else that is nobody, and which sockets it may open.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        ancestors = " ".join(["'self'", *sorted(origins)])
        self._policy = f"{_POLICY}; frame-ancestors {ancestors}; "
        self._headers = (
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                state = scope.get("state", {})
                sockets, framed = state.get(_SOCKETS, ""), state.get(_FRAMED, NOBODY)
                policy = f"{self._policy}connect-src 'self'{sockets}; frame-src {framed}"
                own = (b"content-security-policy", policy.encode())
                message["headers"] = [*message["headers"], own, *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
