"""The operations over HTTP, a row each, with the types and codes that the code itself uses.

The codes of a hook's row are in refusals.py.
"""

from collections.abc import Iterable
from typing import Any

from room_server.api.attendance import AttendancePage
from room_server.api.counts import Counted
from room_server.api.documents.operation import Answer, Operation
from room_server.api.documents.refusals import codes_of
from room_server.api.health import Alive, Readiness
from room_server.api.hook_answers import ANSWERS
from room_server.api.hook_bodies import ACCEPTED
from room_server.api.hook_bodies import TELEGRAM_UPDATE as TELEGRAM_UPDATE_HOOK
from room_server.api.links import HEADER, Link
from room_server.api.pages import PAGES
from room_server.api.rooms import Schedule, Standing
from room_server.core.messages import EMITTED, Inbound, Role
from room_server.core.permissions import MAY_READ, MAY_SEND, Reading
from room_server.core.room import PublicRoom
from room_server.core.site_hooks import SiteHook
from room_server.webinar_report import Report

COMMON_CODES = ("malformed_request", "request_timeout", "head_too_large", "too_many_requests", "internal_error")
"""Codes with which any request may be refused."""
TOKEN, SIGNATURE, SCRAPER, ANONYMOUS = "token", "signature", "metrics_token", "nobody"
TELEGRAM = "telegram_secret"


def description_of(kind: type[Any]) -> str:
    """The type's docstring, without the name of the hook at its start."""
    text = (kind.__doc__ or "").rpartition("`: ")[2]
    return text[:1].upper() + text[1:]


def _hook(name: str, kind: type[Inbound | SiteHook]) -> Operation:
    roles = MAY_SEND[kind]
    return Operation(
        id=name,
        description=description_of(kind),
        answers={200: Answer("It was done, or had been done before: then `duplicate` is true.", ANSWERS[kind])},
        codes=codes_of(kind),
        body=kind,
        callers=(TOKEN, SIGNATURE) if Role.SYSTEM in roles else (TOKEN,),
        roles=roles,
        tag="hooks",
    )


HOOKS = {f"/hooks/{name}": _hook(name, kind) for name, kind in ACCEPTED.items()}
INTERNAL = Operation(
    id="internal_hook",
    description=f"Hooks that only the server emits, and names that are none: refused. They are {', '.join(EMITTED)}.",
    answers={},
    codes=("unauthenticated", "hook_internal", "hook_unknown", "body_too_large"),
    callers=(TOKEN, SIGNATURE),
    tag="hooks",
)
TELEGRAM_UPDATE = Operation(
    id=TELEGRAM_UPDATE_HOOK,
    description="Telegram tells of an `Update` of its Bot API. Whatever a well-formed body holds is taken.",
    answers={200: Answer("It was taken.", dict)},
    codes=("malformed_body", "unauthenticated", "body_too_large", "state_unavailable"),
    callers=(TELEGRAM,),
    tag="hooks",
)
UNCHANGED = Answer("The caller has it already.", media=(), headers=("Cache-Control", "ETag"))
READING: dict[str, Operation] = {
    "/rooms/{webinar_id}/state": Operation(
        id="room_state",
        description="The room as it stands, byte for byte what its socket sends.",
        answers={
            200: Answer("The room state.", PublicRoom, headers=("Cache-Control", "ETag", "Vary")),
            304: UNCHANGED._replace(headers=("Cache-Control", "ETag", "Vary")),
        },
        codes=("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.ROOM],
        request_headers=("If-None-Match",),
    ),
    "/rooms/{webinar_id}/me": Operation(
        id="own_standing",
        description="What is stored of the attendee that asks: whether it entered, completed, attended.",
        answers={200: Answer("Its standing.", Standing, headers=("Cache-Control", "Vary"))},
        codes=("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.STANDING],
    ),
    "/links": Operation(
        id="short_link",
        description="The token of a short link, by its code. Wrong codes are limited by address.",
        answers={200: Answer("The webinar and the token.", Link)},
        codes=("not_found", "state_unavailable"),
        request_headers=(HEADER,),
    ),
    "/webinars": Operation(
        id="schedule",
        description="The public schedule.",
        answers={200: Answer("Upcoming, live and past webinars.", Schedule)},
        codes=("state_unavailable",),
    ),
    "/webinars/{webinar_id}/attendance": Operation(
        id="attendance",
        description="Who came: in pages, or all of it as CSV where the header Accept prefers that.",
        answers={
            200: Answer(
                description="Leads of the roster or who entered, ascending. A list of many is up to five seconds old.",
                kind=AttendancePage,
                media=("application/json", "text/csv"),
                headers=("Cache-Control", "Vary", "Content-Disposition"),
            )
        },
        codes=(
            *("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "invalid_payload"),
            "state_unavailable",
        ),
        callers=(TOKEN, SIGNATURE),
        roles=MAY_READ[Reading.ATTENDANCE],
        query=("after", "limit"),
    ),
    "/webinars/{webinar_id}/report": Operation(
        id="report",
        description="What became of a webinar: who came, stayed and clicked, and how many were there when.",
        answers={200: Answer("The report; it is up to five seconds old.", Report, headers=("Cache-Control", "Vary"))},
        codes=("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "state_unavailable"),
        callers=(TOKEN, SIGNATURE),
        roles=MAY_READ[Reading.ATTENDANCE],
    ),
    "/monitor/counts": Operation(
        id="counts",
        description="What all processes count together. A token for one webinar gets that room only.",
        answers={200: Answer("The counts.", Counted)},
        codes=("unauthenticated", "forbidden_role", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.COUNTS],
        tag="operation",
    ),
    "/healthz": Operation("alive", "Whether the process answers.", {200: Answer("It does.", Alive)}, tag="operation"),
    "/readyz": Operation(
        id="ready",
        description="Whether callers may be sent to this process.",
        answers={200: Answer("They may.", Readiness), 503: Answer("They may not; `parts` says why.", Readiness)},
        tag="operation",
    ),
    "/metrics": Operation(
        id="metrics",
        description="What the processes of this host count, for Prometheus; see docs/monitoring.",
        answers={200: Answer("The metrics.", media=("text/plain", "application/openmetrics-text"))},
        codes=("unauthenticated",),
        callers=(ANONYMOUS, SCRAPER),
        tag="operation",
    ),
}


def _document(name: str, description: str) -> Operation:
    return Operation(
        id=name,
        description=description,
        answers={200: Answer("The document.", dict, headers=("Cache-Control", "ETag")), 304: UNCHANGED},
        request_headers=("If-None-Match",),
        tag="operation",
    )


DOCUMENTS = {
    "/openapi.json": _document("openapi", "This document: the interface over HTTP (OpenAPI 3.1)."),
    "/asyncapi.json": _document("asyncapi", "The interface over WebSocket, and the stream of events (AsyncAPI 3)."),
}
_FILE = ("Cache-Control", "ETag", "Last-Modified", "Accept-Ranges")
FILES = {
    **{
        path: Operation(
            id="page_" + name.removesuffix(".html").replace("-", "_"),
            description="A page for people; its token travels in the fragment of the address and is not sent.",
            answers={200: Answer("The page.", media=("text/html",), headers=_FILE)},
            codes=("not_found",) if "{" in path else (),
            tag="pages",
        )
        for path, name in PAGES.items()
    },
    "/static/{path}": Operation(
        id="static_file",
        description="The files of the pages.",
        answers={
            200: Answer("The file.", media=("*/*",), headers=_FILE),
            304: UNCHANGED._replace(headers=(*UNCHANGED.headers, "Accept-Ranges")),
        },
        codes=("not_found",),
        request_headers=("If-None-Match",),
        tag="pages",
    ),
}
OPERATIONS: dict[str, dict[str, Operation]] = {
    **{path: {"post": operation} for path, operation in HOOKS.items()},
    f"/hooks/{TELEGRAM_UPDATE_HOOK}": {"post": TELEGRAM_UPDATE},
    "/hooks/{name}": {"post": INTERNAL},
    **{path: {"get": operation} for path, operation in {**READING, **DOCUMENTS, **FILES}.items()},
}
"""By path and method. Each path with GET has HEAD, too."""
OTHER_METHODS = {"/rooms/{webinar_id}/state": "webinar_status_mutation_forbidden"}
"""The code of a 405 by path, where it is not `method_not_allowed`."""


def kinds(operations: Iterable[Operation]) -> list[type[Any]]:
    """All types of bodies and answers of these operations."""
    listed = list(operations)
    answered = [answer.kind for operation in listed for answer in operation.answers.values()]
    return [kind for kind in [*(operation.body for operation in listed), *answered] if kind not in {None, dict}]
