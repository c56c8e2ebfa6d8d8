"""POST /hooks/{name}: the only way to write over HTTP. A hook is checked, decided and stored, then answered.

The order of the checks decides which refusal a wrong request gets: hook name, caller, internal hook, size, JSON syntax,
fields; then, in the core, role, webinar scope, lead, whether the webinar exists, its state.
"""

import re
import time
from collections import Counter

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from room_server.api import responses
from room_server.auth import Authenticator, is_signed
from room_server.core.decide import STATUS_WORDS
from room_server.core.decision_types import Change, Command
from room_server.core.messages import (
    EMITTED,
    INBOUND,
    Actor,
    Completed,
    Entered,
    Inbound,
    Role,
    SetCtaVisibility,
    SetStatus,
)
from room_server.core.room import Status, Visibility
from room_server.errors import BadInput, Forbidden, Refusal, Unknown
from room_server.ids import new_id
from room_server.rate_limit import Throttle
from room_server.state import idempotency
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from room_server.telemetry import tracing
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import P, Samples

UNKNOWN = "unknown"
"""The name under which hooks of unknown names are counted: callers must not be able to create metrics."""
MAX_BODY = 16 * 1024
"""Bytes of a hook's body."""
_DECODERS: dict[str, msgspec.json.Decoder[Inbound]] = {
    name: msgspec.json.Decoder(kind) for name, kind in INBOUND.items()
}
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)
_FIELD = re.compile(r"`\$\.?([^`]*)`|field `([^`]+)`")
"""Where msgspec's messages name a field: by its path, or by its name when it is missing."""


class CoreAnswer(Struct, frozen=True):
    """The answer to a hook that is about the room."""

    webinar_id: str
    duplicate: bool
    status: Status
    version: int
    cta_visibility: Visibility


class EnteredAnswer(Struct, frozen=True):
    """The answer to `client_webinar_entered`."""

    webinar_id: str
    duplicate: bool
    lead_id: int


class CompletedAnswer(Struct, frozen=True):
    """The answer to `client_webinar_completed`; `attended` is the lead's classification."""

    webinar_id: str
    duplicate: bool
    lead_id: int
    attended: bool | None


Answer = CoreAnswer | EnteredAnswer | CompletedAnswer
ANSWERS: dict[type[Inbound], type[Answer]] = {
    SetStatus: CoreAnswer,
    SetCtaVisibility: CoreAnswer,
    Entered: EnteredAnswer,
    Completed: CompletedAnswer,
}
"""The type of the answer to each hook that is accepted."""


class Hooks:
    """The endpoint. A person may send `per_person` hooks a second, in bursts twice as many; the site has no limit."""

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 2 * per_person)
        self._answered = Counter({(name, "ok"): 0 for name in INBOUND})
        """Hooks that this process answered, by name and code; `ok` for those that were accepted."""
        self._seconds = {name: Histogram() for name in (*INBOUND, *EMITTED, UNKNOWN)}
        """How long each answer took, from the request's head on, by name."""

    async def receive(self, request: Request) -> Response:
        """Handle one hook; it is answered when its change is durable. Raises Refusal."""
        name, code, started = request.path_params["name"], "internal_error", time.perf_counter()
        known = name if name in self._seconds else UNKNOWN
        try:
            with tracing.span(f"hook {known}"):
                response = responses.json(await self._handle(request, name))
            code = "ok"
        except Refusal as refusal:
            code = refusal.code
            raise
        finally:
            self._answered[known, code] += 1
            self._seconds[known].observe(time.perf_counter() - started)
        return response

    def by_code(self) -> Counter[str]:
        """How many hooks this process answered, by code."""
        codes: Counter[str] = Counter()
        for (_, code), answered in self._answered.items():
            codes[code] += answered
        return +codes

    def metrics(self) -> Samples:
        """What this process counted of hooks."""
        samples: Samples = {(P + "hooks_total", *key): answered for key, answered in self._answered.items()}
        for name, seconds in self._seconds.items():
            samples |= seconds.series(P + "hook_seconds", name)
        return samples

    async def _handle(self, request: Request, name: str) -> bytes:
        """The answer's JSON. Raises Refusal."""
        if name not in INBOUND and name not in EMITTED:
            raise Unknown("hook_unknown", f"there is no hook {name}")
        if is_signed(request.headers):
            return await self._handle_signed(request, name)
        actor = self._authenticator.bearer(request.headers)
        _check_internal(name)
        if actor.role is not Role.SYSTEM:
            self._throttle.check(actor.person)
        return await self._apply(actor, decode(name, await read_body(request)))

    async def _handle_signed(self, request: Request, name: str) -> bytes:
        """The same for a request of the site's backend, which repeats a request under the same `webhook-id`."""
        self._authenticator.check_signed_head(request.headers)
        body = await read_body(request)
        actor = self._authenticator.signed(request.headers, body)
        _check_internal(name)
        digest, webhook_id = idempotency.digest(name, body), request.headers["webhook-id"]
        async with deadline():  # one for three requests to Redis
            answer = await idempotency.recall(self._store, webhook_id, digest)
            if answer is None:
                given = idempotency.StoredAnswer(digest, await self._apply(actor, decode(name, body)))
                answer = await idempotency.remember(self._store, webhook_id, given)
        return answer

    async def _apply(self, actor: Actor, hook: Inbound) -> bytes:
        change = await self._store.apply(Command(id=new_id(), actor=actor, hook=hook))
        return msgspec.json.encode(answer_to(hook, change))


def _check_internal(name: str) -> None:
    if name in EMITTED:
        raise Forbidden("hook_internal", f"{name} is emitted by the server itself")


async def read_body(request: Request) -> bytes:
    """The whole body. Raises BadInput: `body_too_large`, or `request_timeout` when the caller left before its end."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise _too_large()
    except ClientDisconnect:
        raise BadInput("request_timeout", "the body never arrived whole") from None
    return bytes(body)


def _too_large() -> Refusal:
    return BadInput("body_too_large", f"a hook's body has at most {MAX_BODY} bytes")


def decode(name: str, body: bytes) -> Inbound:
    """The typed hook. Raises BadInput: `malformed_body` when it is no JSON object, else what is wrong with a field."""
    _check_syntax(body)
    try:
        hook = _DECODERS[name].decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    if isinstance(hook, SetStatus) and hook.status not in STATUS_WORDS:
        detail = "status is `start` or `stop`; all else is internal"
        raise BadInput("webinar_status_mutation_forbidden", detail, field="status")
    return hook


def _check_syntax(body: bytes) -> None:
    """Raises BadInput when the body is no JSON object. The typed decoder would stop at a wrong field before that."""
    if body.lstrip(b" \t\r\n")[:1] != b"{":
        raise BadInput("malformed_body", "the body is not a JSON object")
    try:
        _SYNTAX.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("malformed_body", f"the body is not JSON: {error}") from None


def _invalid(message: str) -> Refusal:
    """The refusal for msgspec's message, from which it takes the field's path."""
    found = _FIELD.search(message)
    return BadInput("invalid_payload", message, field=(found[1] or found[2]) if found else None)


def answer_to(hook: Inbound, change: Change) -> Answer:
    """The answer to a hook that was accepted and caused `change`, if only in an earlier attempt."""
    match hook:
        case Entered():
            return EnteredAnswer(hook.webinar_id, change.duplicate, hook.lead_id)
        case Completed():
            attended = change.participation.attended if change.participation else None
            return CompletedAnswer(hook.webinar_id, change.duplicate, hook.lead_id, attended)
        case _:
            room = change.room
            return CoreAnswer(room.webinar_id, change.duplicate, room.status, room.version, room.cta_visibility)
