"""The OpenAPI 3.1 document of the interface over HTTP, made from the rows of operations.py."""

import re
from collections.abc import Iterable
from importlib.metadata import version

from room_server.api import attendance, links, telegram_updates
from room_server.api.documents import operations, webhooks
from room_server.api.documents.document import TITLE, Json, ref, schema_of, schemas
from room_server.api.documents.operation import Answer, Operation
from room_server.core.messages import EMITTED, MAX_LEAD_ID, WebinarId
from room_server.errors import PROBLEMS
from room_server.problems import MEDIA_TYPE, ProblemDetails
from room_server.state.short_links import CODE

LICENSE = {"name": "MIT", "identifier": "MIT"}
ABOUT = """\
Webinar rooms: hooks come in, room states go out, and the site hears of it (`webhooks`). The sockets and the stream of
events are in `/asyncapi.json`.

Whatever takes GET takes HEAD too and answers it alike, without a body. A method that an address does not take is
answered as its `x-other-methods` says, any other address with 404 `not_found`. A browser that opens an address as a
page (`Accept: text/html`) gets a page in the place of a problem, or is led to the page that was meant.

Sites that the operator allows (`ROOM_SERVER_ALLOWED_ORIGINS`) may ask from a browser (CORS). Integers are written
without a fraction or an exponent. More fields may be added to what is answered, and fields of a request that are not
known are ignored.
"""
_TEXT = {"type": "string"}


def _header(description: str, schema: Json = _TEXT) -> Json:
    """A header that an answer may have."""
    return {"description": description, "schema": schema}


def _required(description: str, schema: Json = _TEXT) -> Json:
    """A header that every answer has for which it is listed."""
    return {**_header(description, schema), "required": True}


HEADERS: dict[str, Json] = {
    "Cache-Control": _required("Who may keep the answer, and for how long."),
    "ETag": _required(
        "The answer's version: send it as `If-None-Match` next time.", {"type": "string", "pattern": '^"[^"]+"$'}
    ),
    "Last-Modified": _required("When the file was last changed."),
    "Accept-Ranges": _required("Files are sent whole.", {"const": "none"}),
    "Retry-After": _required(
        "Seconds to wait before the same request is sent again.", {"type": "integer", "minimum": 1}
    ),
    "WWW-Authenticate": _required("How to say who is calling."),
    "Allow": _required("The methods that this address takes."),
    "Content-Disposition": _header("The name of the file for who saves it; CSV has one."),
    "Vary": _header("Headers of the request that the answer depends on."),
    "X-Request-Id": _header("The request's name in the server's log: the caller's, or one of our own."),
    "Content-Security-Policy": _header("What a page may load, and who may embed it."),
    "Referrer-Policy": _header("Pages tell nobody where they are.", {"const": "no-referrer"}),
    "X-Content-Type-Options": _header("The media type is what it says.", {"const": "nosniff"}),
    "Access-Control-Allow-Origin": _header("The site that may read the answer."),
    "Access-Control-Expose-Headers": _header("Headers that this site may read."),
}
"""Every header of an answer, except those of the transfer itself, such as Content-Length."""
COMMON_HEADERS = (
    "X-Request-Id",
    "Content-Security-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Vary",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
)
"""Any answer may have these, except the refusal of a request that could not be parsed."""
PROBLEM_HEADERS = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
"""The headers of a problem, by its status."""
SECURITY: dict[str, Json] = {
    operations.TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A person. Claims: `sub` (an attendee's is its lead id), `role`, `webinar_id` (or `*`), `exp`.",
    },
    operations.SCRAPER: {
        "type": "http",
        "scheme": "bearer",
        "description": "`ROOM_SERVER_METRICS_TOKEN`; where it is not set, whoever is on the same machine may ask.",
    },
    operations.TELEGRAM: {
        "type": "apiKey",
        "in": "header",
        "name": telegram_updates.HEADER,
        "description": "Telegram, by the secret of the webhook.",
    },
    **{
        f"webhook_{part}": {"type": "apiKey", "in": "header", "name": f"webhook-{part}", "description": text}
        for part, text in {
            "id": "The site's backend (Standard Webhooks): the request's own id. A repeat gets the same answer.",
            "timestamp": "The time of the request, Unix seconds; at most five minutes off.",
            "signature": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; several by spaces. "
            "The body of a GET is empty; its id is for this one address.",
        }.items()
    },
}
CALLERS: dict[str, Json] = {
    operations.ANONYMOUS: {},
    operations.SCRAPER: {operations.SCRAPER: []},
    operations.TOKEN: {operations.TOKEN: []},
    operations.TELEGRAM: {operations.TELEGRAM: []},
    operations.SIGNATURE: {f"webhook_{part}": [] for part in ("id", "timestamp", "signature")},
}
PARAMETERS: dict[str, Json] = {
    "webinar_id": {"description": "The webinar.", "schema": schema_of(WebinarId)},
    "name": {"description": "The hook.", "schema": {"enum": list(EMITTED)}},
    "If-None-Match": {"description": "ETags of answers that the caller has.", "schema": _TEXT},
    "after": {
        "description": "The page begins behind this lead: the last page's `next`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_LEAD_ID, "default": 0},
    },
    "limit": {
        "description": "The most leads in a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": attendance.PAGE, "default": attendance.PAGE},
    },
    links.HEADER: {"description": "The code of a short link, as it stands in `/r/{code}`.", "schema": _TEXT},
}
FILE_PARAMETERS: dict[str, Json] = {
    "webinar_id": {
        "description": "The webinar, whether there is one or not: it is the page that asks for the room.",
        "schema": schema_of(WebinarId),
    },
    "path": {"description": "The file.", "schema": _TEXT},
    "code": {
        "description": "The code of a short link, whether there is one or not: it is the page that asks for it.",
        "schema": {"type": "string", "pattern": f"^{CODE.pattern}$"},
    },
}


def document(address: str | None) -> Json:
    """The whole document. `address` is the server's public address; without one the document is relative to its own."""
    rows = [row for methods in operations.OPERATIONS.values() for row in methods.values()]
    responses: dict[str, Json] = {}
    kinds = schemas([ProblemDetails, *operations.kinds(rows), *webhooks.KINDS])
    webhooks.refine(kinds)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version(TITLE), "description": ABOUT, "license": LICENSE},
        "servers": [{"url": (address or "/").rstrip("/") or "/"}],
        "paths": {path: _path(path, methods, responses) for path, methods in operations.OPERATIONS.items()},
        "webhooks": webhooks.webhooks(),
        "components": {
            "schemas": kinds,
            "responses": dict(sorted(responses.items())),
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }


def _path(path: str, methods: dict[str, Operation], responses: dict[str, Json]) -> Json:
    other = operations.OTHER_METHODS.get(path, "method_not_allowed")
    known = FILE_PARAMETERS if path in operations.FILES else PARAMETERS
    named = re.findall(r"\{(\w+)\}", path)
    parameters = [{"name": name, "in": "path", "required": True, **known[name]} for name in named]
    return {
        **({"parameters": parameters} if parameters else {}),
        **{method: _operation(row, responses) for method, row in methods.items()},
        "x-other-methods": _problem(405, [other], responses),
    }


def _operation(row: Operation, responses: dict[str, Json]) -> Json:
    roles = f" Roles: {', '.join(sorted(row.roles))}." if row.roles else ""
    places = [("header", row.request_headers), ("query", row.query)]
    asked = [{"name": name, "in": place, **PARAMETERS[name]} for place, names in places for name in names]
    body = {"required": True, "content": {"application/json": {"schema": ref(row.body)}}} if row.body else {}
    return {
        "operationId": row.id,
        "tags": [row.tag],
        "summary": row.description.partition(". ")[0].rstrip("."),
        "description": row.description + roles,
        "security": [CALLERS[caller] for caller in row.callers],
        **({"parameters": asked} if asked else {}),
        **({"requestBody": body} if body else {}),
        "responses": {str(status): answered for status, answered in sorted(_responses(row, responses).items())},
    }


def _responses(row: Operation, responses: dict[str, Json]) -> dict[int, Json]:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys([*row.codes, *operations.COMMON_CODES]):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    problems = {status: _problem(status, codes, responses) for status, codes in by_status.items()}
    return problems | {status: _answer(answer) for status, answer in row.answers.items()}


def _problem(status: int, codes: list[str], responses: dict[str, Json]) -> Json:
    """A reference to the response with one of these codes. It is added to `responses`, once for each set of codes."""
    name = ".".join([str(status), *sorted(codes)])
    responses[name] = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in sorted(codes)),
        "headers": _headers(["Cache-Control", *PROBLEM_HEADERS.get(status, [])]),
        "content": {MEDIA_TYPE: {"schema": ref(ProblemDetails)}},
        "x-codes": sorted(codes),
    }
    return {"$ref": f"#/components/responses/{name}"}


def _answer(answer: Answer) -> Json:
    made: Json = {"description": answer.description, "headers": _headers(answer.headers)}
    if answer.media:
        schema: Json = _TEXT if answer.kind is None else {"type": "object"} if answer.kind is dict else ref(answer.kind)
        made["content"] = {media: {"schema": schema if media.endswith("json") else _TEXT} for media in answer.media}
    return made


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys([*names, *COMMON_HEADERS])}
