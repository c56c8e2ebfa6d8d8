"""What may be asked over HTTP and how it is answered: a row per operation, in the code's own types and codes.

What a row says of codes follows the answer table of hooks.py and the tables of the core; the tests provoke each.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from room_server.api.counts import Counted
from room_server.api.health import Alive, Readiness
from room_server.api.hooks import ANSWERS
from room_server.api.pages import PAGES
from room_server.api.rooms import Schedule, Standing
from room_server.core import lifecycle
from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import EMITTED, INBOUND, Completed, Entered, Inbound, Role, SetCtaVisibility, SetStatus
from room_server.core.permissions import MAY_READ, MAY_SEND, Reading
from room_server.core.room import PublicRoom, Status

AT_THE_EDGE = ("malformed_request", "request_timeout", "head_too_large", "too_many_requests", "internal_error")
"""Codes that any request may be answered with."""
TOKEN, SIGNATURE, SCRAPER, NOBODY = "token", "signature", "metrics_token", "nobody"


class Answer(NamedTuple):
    """An answer that is no problem: `kind` is its JSON's type, else `media` says what it is; none means no body."""

    says: str
    kind: type | None = None
    media: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ("Cache-Control",)


class Operation(NamedTuple):
    """One method of one address. `codes` are its problems, without those at the edge."""

    id: str
    says: str
    answers: dict[int, Answer]
    codes: tuple[str, ...] = ()
    takes: type | None = None
    """The type of the body."""
    callers: tuple[str, ...] = ()
    """Ways to say who is calling; none: it is not asked."""
    roles: frozenset[Role] = frozenset()
    asks: tuple[str, ...] = ()
    """Headers of the request that change the answer."""
    tag: str = "rooms"


def documented(kind: type[Any]) -> str:
    """What a type's docstring says of it, without the name of its hook."""
    says = (kind.__doc__ or "").rpartition("`: ")[2]
    return says[:1].upper() + says[1:]


def _conflicts(hook: type[Inbound]) -> tuple[str, ...]:
    """The 409s of a hook."""
    if hook is SetStatus:
        moves = [(status, trigger) for trigger in STATUS_WORDS.values() for status in Status]
        return tuple(
            lifecycle.SPECIAL_REFUSALS.get((status, trigger), lifecycle.REFUSALS[trigger])
            for status, trigger in moves
            if status is not lifecycle.RESULT[trigger] and status not in lifecycle.TRANSITIONS[trigger]
        )
    if hook is SetCtaVisibility:
        return tuple(lifecycle.CTA_REFUSALS.values())
    return ("webinar_not_live",) if hook is Entered else ("webinar_not_finished", "lead_not_entered")


def _hook(name: str, kind: type[Inbound]) -> Operation:
    roles = MAY_SEND[kind]
    return Operation(
        id=name,
        says=documented(kind),
        answers={200: Answer("It was done, or had been done before: then `duplicate` is true.", ANSWERS[kind])},
        codes=(
            "malformed_body",
            "unauthenticated",
            "forbidden_role",
            "forbidden_webinar",
            *(["forbidden_lead"] if kind in {Entered, Completed} else []),
            "webinar_unknown",
            *_conflicts(kind),
            "body_too_large",
            "invalid_payload",
            *(["webinar_status_mutation_forbidden"] if kind is SetStatus else []),
            "state_unavailable",
        ),
        takes=kind,
        callers=(TOKEN, SIGNATURE) if Role.SYSTEM in roles else (TOKEN,),
        roles=roles,
        tag="hooks",
    )


HOOKS = {f"/hooks/{name}": _hook(name, kind) for name, kind in INBOUND.items()}
INTERNAL = Operation(
    id="internal_hook",
    says=f"Hooks that only the server emits, and names that are none: refused. They are {', '.join(EMITTED)}.",
    answers={},
    codes=("unauthenticated", "hook_internal", "hook_unknown", "body_too_large"),
    callers=(TOKEN, SIGNATURE),
    tag="hooks",
)
UNCHANGED = Answer("The caller has it already.", media=(), headers=("Cache-Control", "ETag"))
READING: dict[str, Operation] = {
    "/rooms/{webinar_id}/state": Operation(
        id="room_state",
        says="The room as it stands, byte for byte what its socket sends.",
        answers={
            200: Answer("The room state.", PublicRoom, headers=("Cache-Control", "ETag", "Vary")),
            304: UNCHANGED._replace(headers=("Cache-Control", "ETag", "Vary")),
        },
        codes=("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.ROOM],
        asks=("If-None-Match",),
    ),
    "/rooms/{webinar_id}/me": Operation(
        id="own_standing",
        says="What is stored of the attendee that asks: whether it entered, completed, attended.",
        answers={200: Answer("Its standing.", Standing, headers=("Cache-Control", "Vary"))},
        codes=("unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.STANDING],
    ),
    "/webinars": Operation(
        id="schedule",
        says="The public schedule.",
        answers={200: Answer("Upcoming, live and past webinars.", Schedule)},
        codes=("state_unavailable",),
    ),
    "/monitor/counts": Operation(
        id="counts",
        says="What all processes count together. A token for one webinar gets that room only.",
        answers={200: Answer("The counts.", Counted)},
        codes=("unauthenticated", "forbidden_role", "state_unavailable"),
        callers=(TOKEN,),
        roles=MAY_READ[Reading.COUNTS],
        tag="operation",
    ),
    "/healthz": Operation("alive", "Whether the process answers.", {200: Answer("It does.", Alive)}, tag="operation"),
    "/readyz": Operation(
        id="ready",
        says="Whether callers may be sent to this process.",
        answers={200: Answer("They may.", Readiness), 503: Answer("They may not; `parts` says why.", Readiness)},
        tag="operation",
    ),
    "/metrics": Operation(
        id="metrics",
        says="What the processes of this host count, for Prometheus; see docs/monitoring.",
        answers={200: Answer("The metrics.", media=("text/plain", "application/openmetrics-text"))},
        codes=("unauthenticated",),
        callers=(NOBODY, SCRAPER),
        tag="operation",
    ),
}


def _document(name: str, says: str) -> Operation:
    return Operation(
        id=name,
        says=says,
        answers={200: Answer("The document.", dict, headers=("Cache-Control", "ETag")), 304: UNCHANGED},
        asks=("If-None-Match",),
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
            says="A page for people; its token travels in the fragment of the address and is not sent.",
            answers={200: Answer("The page.", media=("text/html",), headers=_FILE)},
            codes=("not_found",) if "{webinar_id}" in path else (),
            tag="pages",
        )
        for path, name in PAGES.items()
    },
    "/static/{path}": Operation(
        id="static_file",
        says="The files of the pages.",
        answers={
            200: Answer("The file.", media=("*/*",), headers=_FILE),
            304: UNCHANGED._replace(headers=(*UNCHANGED.headers, "Accept-Ranges")),
        },
        codes=("not_found",),
        asks=("If-None-Match",),
        tag="pages",
    ),
}
OPERATIONS: dict[str, dict[str, Operation]] = {
    **{path: {"post": operation} for path, operation in HOOKS.items()},
    "/hooks/{name}": {"post": INTERNAL},
    **{path: {"get": operation} for path, operation in {**READING, **DOCUMENTS, **FILES}.items()},
}
"""Path and method to what they do. Whatever takes GET takes HEAD too."""
OTHER_METHODS = {"/rooms/{webinar_id}/state": "webinar_status_mutation_forbidden"}
"""What a method that is not taken is answered, where it is not `method_not_allowed`."""


def kinds(operations: Iterable[Operation]) -> list[type[Any]]:
    """Every type that these operations take or answer with."""
    listed = list(operations)
    answered = [answer.kind for operation in listed for answer in operation.answers.values()]
    return [kind for kind in [*(operation.takes for operation in listed), *answered] if kind not in {None, dict}]
