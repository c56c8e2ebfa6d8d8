"""What a person's browser gets where a program gets problem JSON: the page that was meant, else one in plain words.

Mailers, trackers and copying change links on their way: a fragment is encoded into the path, a slash, a dot or a
bracket sticks to the end. Where the page can still be known, the browser is led to its right address; a token goes into
the fragment again, which is never sent. A browser keeps a link's fragment when it is redirected (RFC 9110, 10.2.2).
"""

import re
from urllib.parse import unquote

from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, RedirectResponse, Response

from room_server import problems
from room_server.api import pages
from room_server.errors import Refusal

_ENCODINGS = 3
"""How often an address may have been encoded, at most."""
_PAGE = re.compile(
    r"/+(?:(rooms?|speaker)/+([A-Za-z0-9_-]{1,64})|(monitor))(?![A-Za-z0-9_-])(.*)", re.DOTALL | re.IGNORECASE
)
_TOKEN = re.compile(r"(?<![\w-])(?:3D)?(eyJ[\w-]*\.[\w-]+\.[\w-]+)", re.ASCII)
"""A JWT: its first letters are those of every JSON object in base64. Each word is looked at once."""
_STUCK = re.compile(r"""[\s/.,:;!?#&=*<>()\[\]{}'"«»“”…]*""")
"""What sticks to the end of a link in a text."""
_FOLDERS = ("/room/", "/speaker/", "/static/")
NOT_FOUND, UNAVAILABLE = "not-found.html", "unavailable.html"


def response(request: HTTPConnection, refusal: Refusal) -> Response:
    """The answer to a request that is refused: to a browser that opens an address as a page, a page."""
    if not _is_for_a_person(request, refusal):
        return problems.response(refusal)
    if refusal.status == 404 and (
        meant := corrected(request.scope["path"], request.scope["query_string"].decode("latin-1"))
    ):
        return RedirectResponse(meant, 302, {"Cache-Control": "no-store"})
    headers = {"Cache-Control": "no-store", "Vary": "Accept", **refusal.headers}
    name = NOT_FOUND if refusal.status == 404 else UNAVAILABLE
    return FileResponse(pages.folder() / name, refusal.status, headers, "text/html")


def corrected(path: str, query: str = "") -> str | None:
    """The right address of the page that was meant by a decoded path; None when none was, or it is right already."""
    found = _PAGE.fullmatch(_decoded(path))
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


def _is_for_a_person(request: HTTPConnection, refusal: Refusal) -> bool:
    """Whether a browser opens an address as a page (Fetch Metadata, 2.2), and one that is not the interface's."""
    if request.scope["method"] not in {"GET", "HEAD"} or "text/html" not in request.headers.get("accept", ""):
        return False
    path = request.scope["path"]
    is_page = refusal.code == "not_found" or path in pages.PAGES or path.startswith(_FOLDERS)
    return is_page and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


def _decoded(text: str) -> str:
    for _ in range(_ENCODINGS):
        text = unquote(text)
    return text
