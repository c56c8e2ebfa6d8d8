"""The pages and their files, from the wheel or from the source tree, under a strict Content-Security-Policy.

The pages of a room may frame its player's origin, and those that the operator names beside it. A page is public and
must not cost one Redis read per visitor: each room is read at most once a second, and all rooms READS_A_SECOND times. A
page that got too narrow a policy is loaded again by its own script when the player comes.
"""

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

from room_server.core.players import origin
from room_server.core.room import Room, Status
from room_server.errors import StateUnavailable, TooManyRequests, Unknown
from room_server.rate_limit import Throttle
from room_server.shared_read import SharedRead
from room_server.state.short_links import CODE
from room_server.state.store import Store

SHORT_LINK = "link.html"
PAGES = {
    "/": "schedule.html",
    "/room/{webinar_id}": "room.html",
    "/speaker/{webinar_id}": "speaker.html",
    "/r/{code}": SHORT_LINK,
    "/report/{webinar_id}": "report.html",
    "/monitor": "monitor.html",
    "/demo/player": "demo-player.html",
    "/demo/cta": "demo-cta.html",
    "/demo/recording": "demo-recording.html",
}
WITH_PLAYER = ("room.html", "speaker.html")
"""The pages with a frame for the webinar's player."""
NO_SOURCE = "'none'"
ANY_SOURCE = "http: https:"
"""For a host that no policy can name, such as an IPv6 address (CSP 3, 2.3.1)."""
FRESH_SECONDS = 1.0
READS_A_SECOND = 100
WITHOUT_PLAYER = frozenset({Status.DRAFT, Status.FINISHED, Status.ARCHIVED})
HEADERS = {"Cache-Control": "no-cache", "Accept-Ranges": "none"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
_WEBINAR_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_CODE = re.compile(CODE.pattern + "(?![A-Za-z0-9_-])")
"""A short link's code, whatever a mailer has put behind it; whether it leads anywhere is asked by the page."""
_IS_LAWFUL = {"webinar_id": _WEBINAR_ID.fullmatch, "code": _CODE.match}
"""By the name of a parameter in a page's address."""
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?")


class FrameSources:
    """What the pages of a room may frame, as the value of the policy's `frame-src`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._throttle = Throttle(READS_A_SECOND, READS_A_SECOND)
        self._shared = SharedRead(self._read, FRESH_SECONDS)

    async def of(self, webinar_id: str) -> str:
        """The sources for this room. When they cannot be read, those that were read last, else NO_SOURCE."""
        try:
            return await self._shared.get(webinar_id)
        except (TooManyRequests, StateUnavailable):
            return self._shared.latest(webinar_id) or NO_SOURCE

    async def _read(self, webinar_id: str) -> str:
        self._throttle.check("pages")
        return frame_sources((await self._store.load(webinar_id)).room)


def frame_sources(room: Room | None) -> str:
    """The origins of the player and those beside it, while the room shows a player or may come to show one."""
    if room is None or room.player_url is None or room.status in WITHOUT_PLAYER:
        return NO_SOURCE
    player = origin(room.player_url)
    return ANY_SOURCE if player is None else " ".join(dict.fromkeys([player, *room.frame_origins]))


class Whole:
    """ASGI: small files are sent whole, whatever range is asked for (RFC 9110, 14.2 lets a server ignore it)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without its `Range`."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._app({**scope, "headers": headers}, receive, send)


COMPRESSED = [Middleware(GZipMiddleware, minimum_size=500), Middleware(Whole)]


class Files(StaticFiles):
    """Files that browsers revalidate each time: modules of two versions must not meet in one page."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Starlette's, with its ETag and 304."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


def folder() -> Path:
    """Where the static files are: inside the installed package, else beside it in the source tree."""
    packaged = Path(__file__).parents[1] / "static"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "static"


def routes() -> list[BaseRoute]:
    """The routes of the pages, and `/static/`."""
    root = folder()
    return [
        *(Route(path, _page(root / name), methods=["GET"], middleware=COMPRESSED) for path, name in PAGES.items()),
        Mount("/static", Files(directory=root), middleware=COMPRESSED),
    ]


def _page(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        frames = NO_SOURCE
        if not all(_IS_LAWFUL[name](value) for name, value in request.path_params.items()):
            raise Unknown("not_found", "there is nothing at this address")
        if path.name in WITH_PLAYER:
            frames = await request.state.web.read.frame_sources.of(request.path_params["webinar_id"])
        request.state.sources = _sources(request.headers.get("host", ""), frames)
        return FileResponse(path, headers=HEADERS)

    return page


def _sources(host: str = "", frames: str = NO_SOURCE) -> str:
    """The directives that depend on the request. Before Safari 16 'self' holds no sockets (WebKit 235873)."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return f"connect-src 'self'{sockets}; frame-src {frames}"


class SecurityHeaders:
    """ASGI: adds the headers that restrict what a browser does with an answer. Only `origins` may embed the pages."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        ancestors = " ".join(["'self'", *sorted(origins)])
        self._policy = f"{_POLICY}; frame-ancestors {ancestors}; "
        self._of_no_page = self._headers(_sources())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them to an HTTP answer; a page left its own `sources` in the request's state."""

        def with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                sources = scope.get("state", {}).get("sources")
                added = self._headers(sources) if sources else self._of_no_page
                message["headers"] = [*message["headers"], *added]
            return send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)

    def _headers(self, sources: str) -> list[tuple[bytes, bytes]]:
        """What is added to an answer whose directives of the request are `sources`."""
        return [
            (b"content-security-policy", (self._policy + sources).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]
