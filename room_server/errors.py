"""Every error that a caller or an operator may see; what a caller sees has a stable code.

    RoomServerError
    ├── Refusal                 an answer: code, HTTP status, title (RFC 9457)
    │   ├── Unauthenticated     401 unauthenticated
    │   ├── Forbidden           403 forbidden_role, forbidden_webinar, forbidden_lead, hook_internal
    │   ├── Unknown             404 hook_unknown, webinar_unknown, not_found
    │   ├── Conflict            409 the state codes of the canon
    │   ├── BadInput            400, 405, 408, 413, 422, 431 the request is malformed, too large or too late
    │   ├── TooManyRequests     429 too_many_requests, with Retry-After
    │   └── StateUnavailable    503 state_unavailable: the outcome of a write is unknown
    │       └── UnreadableRecord    a stored record is of another version, or damaged
    ├── ConfigurationError      settings that cannot be used
    │   └── RedisAway           no Redis answers at the address that is set: waiting may help
    └── InputFileError          lines of a file that cannot be imported

`PROBLEMS` is the table of codes, `CLOSE_CODES` that of the sockets. No other file gives a code its status.
"""

import math
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Problem(NamedTuple):
    """What an error code is over HTTP; `title` as in RFC 9457."""

    status: int
    title: str


PROBLEMS: dict[str, Problem] = {
    "malformed_body": Problem(400, "The body is not a JSON object"),
    "malformed_request": Problem(400, "The request cannot be read"),
    "subprotocol_unsupported": Problem(400, "The socket's subprotocol is not room.v1"),
    "unauthenticated": Problem(401, "It is not known who is calling"),
    "forbidden_role": Problem(403, "This role may not do that"),
    "forbidden_webinar": Problem(403, "The token is for another webinar"),
    "forbidden_lead": Problem(403, "An attendee may only speak for itself"),
    "forbidden_origin": Problem(403, "This site may not open room sockets"),
    "hook_internal": Problem(403, "Only the server itself emits this hook"),
    "hook_unknown": Problem(404, "There is no such hook"),
    "webinar_unknown": Problem(404, "There is no such webinar"),
    "not_found": Problem(404, "There is nothing at this address"),
    "method_not_allowed": Problem(405, "This address does not take this method"),
    "request_timeout": Problem(408, "The request did not arrive in time"),
    "webinar_exists": Problem(409, "There is a webinar with this id already"),
    "webinar_state_invalid_start": Problem(409, "A webinar in this state cannot be started"),
    "webinar_state_invalid_stop": Problem(409, "A webinar in this state cannot be stopped"),
    "webinar_state_invalid_pause": Problem(409, "Only a live webinar can be paused"),
    "webinar_state_invalid_resume": Problem(409, "Only a paused webinar can be resumed"),
    "webinar_state_invalid_archive": Problem(409, "Only a finished webinar can be archived"),
    "webinar_state_invalid_rewind": Problem(409, "A webinar cannot go back to scheduled"),
    "webinar_state_invalid_restart": Problem(409, "A finished webinar cannot be started again"),
    "webinar_state_invalid_cancel": Problem(409, "Only a webinar that has not begun can be cancelled"),
    "webinar_state_invalid_cta": Problem(409, "The CTA cannot be switched in this state"),
    "webinar_state_locked": Problem(409, "An archived webinar never changes"),
    "webinar_rule_locked": Problem(409, "The rule for attendance is fixed once a webinar has begun"),
    "webinar_not_live": Problem(409, "A webinar can be entered only while it is live"),
    "webinar_not_finished": Problem(409, "Participation can be completed only when the webinar is finished"),
    "lead_not_entered": Problem(409, "This lead has not entered the webinar"),
    "cta_not_visible": Problem(409, "The call to action is not shown"),
    "lead_in_running_webinar": Problem(409, "The lead is in a webinar that is running"),
    "body_too_large": Problem(413, "The body is too large"),
    "invalid_payload": Problem(422, "A field of the payload is missing or wrong"),
    "webinar_status_mutation_forbidden": Problem(422, "The status is changed only by the hook made for it"),
    "head_too_large": Problem(431, "The request's head is too large"),
    "too_many_requests": Problem(429, "Too many requests"),
    "internal_error": Problem(500, "This is our fault"),
    "state_unavailable": Problem(503, "The room state cannot be reached"),
    "too_many_sockets": Problem(503, "This process takes no more sockets now"),
    "draining": Problem(503, "This process is going away"),
}


class RoomServerError(Exception):
    """The root of the tree."""


class Refusal(RoomServerError):
    """A request is refused. `code` is a key of PROBLEMS, `detail` explains it to a person, in one sentence.

    `status` replaces that of the code; `field` names the field of the payload that is wrong.
    """

    def __init__(self, code: str, detail: str, *, status: int | None = None, field: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status or PROBLEMS[code].status
        self.field = field
        self.headers: dict[str, str] = {}
        """Further headers of the answer."""


class Unauthenticated(Refusal):
    """No token or signature, or one that is not valid (401)."""

    def __init__(self, detail: str) -> None:
        super().__init__("unauthenticated", detail)
        self.headers = {"WWW-Authenticate": 'Bearer realm="room"'}


class Forbidden(Refusal):
    """The caller is known, and may not do this (403)."""


class Unknown(Refusal):
    """No such hook, webinar or address (404)."""


def webinar_unknown(webinar_id: str) -> Unknown:
    """The refusal when there is no such webinar, or none for this caller."""
    return Unknown("webinar_unknown", f"there is no webinar {webinar_id}")


class Conflict(Refusal):
    """The state of the webinar does not allow it (409)."""


class BadInput(Refusal):
    """The request is malformed, too large or too late (400, 405, 408, 413, 422, 431)."""


class TooManyRequests(Refusal):
    """The caller is over its limit; it may ask again after `retry_after` seconds (429)."""

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__("too_many_requests", detail)
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}


class StateUnavailable(Refusal):
    """Redis cannot be reached, or its reply was lost: it is not known whether a write happened (503)."""

    def __init__(self, detail: str = "Redis did not answer in time; repeat the request, it is safe") -> None:
        super().__init__("state_unavailable", detail)
        self.headers = {"Retry-After": "1"}


class UnreadableRecord(StateUnavailable):
    """A stored record that this version of the server cannot read; nothing was written (503)."""


class ConfigurationError(RoomServerError):
    """The settings cannot be used. The text names each wrong setting and what would be right, one a line."""


class RedisAway(ConfigurationError):
    """No Redis answers at the address that is set. A server process waits for it; a command reports it and ends."""


class InputFileError(RoomServerError):
    """Some lines of a file cannot be imported, so none was. `problems` has a text for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Verdict(StrEnum):
    """What a client does after its socket was closed."""

    NOW = "come back now"
    LATER = "come back later, with back-off"
    NEVER = "do not come back with the same request"


class CloseCode(IntEnum):
    """Close codes of the sockets: those of RFC 6455, 7.4.1, and ours (4000-4499 reconnect, 4500-4999 do not)."""

    PROTOCOL_ERROR = 1002
    READ_ONLY = 1008
    TOO_BIG = 1009
    RESTART = 1012
    STALLED = 4408
    TOKEN_EXPIRED = 4501
    WEBINAR_GONE = 4504


CLOSE_CODES: dict[CloseCode, tuple[Verdict, str]] = {
    CloseCode.PROTOCOL_ERROR: (Verdict.LATER, "a frame broke RFC 6455"),
    CloseCode.READ_ONLY: (Verdict.NEVER, "webinar_status_mutation_forbidden"),
    CloseCode.TOO_BIG: (Verdict.LATER, "a frame was too big"),
    CloseCode.RESTART: (Verdict.NOW, "this process is going away"),
    CloseCode.STALLED: (Verdict.LATER, "the peer reads too slowly"),
    CloseCode.TOKEN_EXPIRED: (Verdict.NEVER, "the token expired: come back only with another one"),
    CloseCode.WEBINAR_GONE: (Verdict.NEVER, "the webinar was deleted"),
}
