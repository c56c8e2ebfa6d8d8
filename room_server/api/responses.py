"""Responses that several endpoints share: JSON, 304, and refusals as problem JSON or, in a browser, as a page.

A person's browser gets the page that was meant, else a page in plain words. Mail programs, trackers and copying change
links: a fragment is percent-encoded into the path; a slash, a dot or a bracket sticks to the end. Where the page can
still be known, the browser is redirected to its address. A token goes into the fragment again, which is never sent; a
browser keeps a link's fragment when it is redirected (RFC 9110, 10.2.2).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from room_server import problems
from room_server.api import pages
from room_server.errors import BadInput, Refusal, Unknown
from room_server.telemetry import tracing

NO_STORE = {"Cache-Control": "no-store"}
NOT_FOUND, UNAVAILABLE = "not-found.html", "unavailable.html"
_ENCODINGS = 3
"""How often an address may have been percent-encoded, at most."""
_PAGE = re.compile(
    r"/+(?:(rooms?|speaker|report|r)/+([A-Za-z0-9_-]{1,64})|(monitor))(?![A-Za-z0-9_-])(.*)", re.DOTALL | re.IGNORECASE
)
_TOKEN = re.compile(r"(?<![\w-])(?:3D)?(eyJ[\w-]*\.[\w-]+\.[\w-]+)", re.ASCII)
"""A JWT: its first letters are those of every JSON object in base64. No part of the text is scanned twice."""
_STUCK = re.compile(r"""[\s/.,:;!?#&=*<>()\[\]{}'"«»“”…]*""")
"""What sticks to the end of a link in a text."""
_FOLDERS = ("/room/", "/speaker/", "/report/", "/r/", "/static/")


def json(content: Any, status: int = 200, headers: Mapping[str, str] = NO_STORE) -> Response:
    """`content` as JSON; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, headers, "application/json")


def conditional(request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
    """The JSON `body`, or 304 when the caller has what the `ETag` in `headers` names (RFC 9110, 13.1.2)."""
    known = re.findall(r'\*|"[^"]*"', ",".join(request.headers.getlist("if-none-match")))
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return json(body, headers=headers)


def refused(request: HTTPConnection, refusal: Refusal) -> Response:
    """The answer to a request that is refused: a page for a browser that opens the address, else problem JSON."""
    if not _wants_a_page(request, refusal):
        return problems.response(refusal)
    if refusal.status == 404 and (
        meant := corrected(request.scope["path"], request.scope["query_string"].decode("latin-1"))
    ):
        return RedirectResponse(meant, 302, NO_STORE)
    headers = {**NO_STORE, "Vary": "Accept", **refusal.headers}
    name = NOT_FOUND if refusal.status == 404 else UNAVAILABLE
    return FileResponse(pages.folder() / name, refusal.status, headers, "text/html")


def corrected(path: str, query: str = "") -> str | None:
    """The address of the page that was meant by a decoded path; None when none was, or when it is right already."""
    decoded = path
    for _ in range(_ENCODINGS):
        decoded = unquote(decoded)
    found = _PAGE.fullmatch(decoded)
    if found is None:
        return None
    kind, webinar_id, alone, rest = found.groups()
    token = _TOKEN.search(rest)
    if token is None and not _STUCK.fullmatch(rest):
        return None
    place = f"/{kind.lower().removesuffix('s')}/{webinar_id}" if kind else f"/{alone.lower()}"
    if place == path:
        return None
    return place + (f"?{query}" if query else "") + (f"#token={token[1]}" if token else "")


def _wants_a_page(request: HTTPConnection, refusal: Refusal) -> bool:
    """Whether a browser opens an address as a page (Fetch Metadata, 2.2), and not one of the programming interface."""
    if request.scope["method"] not in {"GET", "HEAD"} or "text/html" not in request.headers.get("accept", ""):
        return False
    path = request.scope["path"]
    is_page = refusal.code == "not_found" or path in pages.PAGES or path.startswith(_FOLDERS)
    return is_page and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for this class alone
    return refused(request, error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    refusal = (
        BadInput("method_not_allowed", "this address does not take this method")
        if error.status_code == 405
        else Unknown("not_found", "there is nothing at this address")
    )
    refusal.headers = dict(error.headers or {})
    return refused(request, refusal)


async def _failure(request: Request, _: Exception) -> Response:
    """Starlette sends this answer outside of every middleware, so it names the request itself."""
    answer = refused(request, Refusal("internal_error", "something went wrong here; it is in the log"))
    answer.headers["X-Request-ID"] = tracing.request_id.get()
    return answer


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    Refusal: _refusal,
    HTTPException: _http_exception,
    Exception: _failure,
}
"""Starlette's exception handlers: the one place where errors become answers."""
