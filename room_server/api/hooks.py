"""POST /hooks/{name}: the only writer. Checks in the order of the answer table, decides and remembers, answers.

hook name · who is calling · internal hook · size · syntax · fields · role · webinar scope · lead · webinar · state;
the last five are the core's.
"""

import re
import time
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

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
"""How every hook is counted whose name is none of ours."""
MAX_BODY = 16 * 1024
"""Bytes."""
DECODERS: dict[str, msgspec.json.Decoder[Inbound]] = {
    name: msgspec.json.Decoder(kind) for name, kind in INBOUND.items()
}
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)
_FIELD = re.compile(r"`\$\.?([^`]*)`|field `([^`]+)`")


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
"""What each hook is answered with when it is accepted."""


class Hooks:
    """The endpoint and what it needs."""

    def __init__(self, store: Store, authenticator: Authenticator, per_person: int) -> None:
        self._store = store
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 2 * per_person)
        self._answered = Counter({(name, "ok"): 0 for name in INBOUND})
        """Hooks that this process answered, by name and code; `ok` for those that were accepted."""
        self._seconds = {name: Histogram() for name in (*INBOUND, *EMITTED, UNKNOWN)}
        """How long each answer took, from the request's head on, by name."""

    async def receive(self, request: Request) -> Response:
        """One hook, answered when it is durable. Raises Refusal."""
        name, code, started = request.path_params["name"], "internal_error", time.perf_counter()
        known = name if name in self._seconds else UNKNOWN
        try:
            with tracing.span(f"hook {known}"):
                response = await self._received(request, name)
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

    async def _received(self, request: Request, name: str) -> Response:
        if name not in INBOUND and name not in EMITTED:
            raise Unknown("hook_unknown", f"there is no hook {name}")
        if is_signed(request.headers):
            return _json(await self._signed(request, name))
        actor = self._authenticator.bearer(request.headers)
        _check_internal(name)
        self._throttle_person(actor)
        hook = decode(name, await read_body(request))
        return _json(await self._act(actor, hook))

    async def _signed(self, request: Request, name: str) -> bytes:
        self._authenticator.check_signed_head(request.headers)
        body = await read_body(request)
        actor = self._authenticator.signed(request.headers, body)
        _check_internal(name)
        asked, webhook_id = idempotency.digest(name, body), request.headers["webhook-id"]
        async with deadline():  # three questions to Redis, one deadline
            answer = await idempotency.recall(self._store, webhook_id, asked)
            if answer is None:
                given = idempotency.StoredAnswer(asked, await self._act(actor, decode(name, body)))
                answer = await idempotency.remember(self._store, webhook_id, given)
        return answer

    def _throttle_person(self, actor: Actor) -> None:
        if actor.role is not Role.SYSTEM:
            self._throttle.check(actor.person)

    async def _act(self, actor: Actor, hook: Inbound) -> bytes:
        change = await self._store.apply(Command(id=new_id(), actor=actor, hook=hook))
        return msgspec.json.encode(answer_to(hook, change))


def _check_internal(name: str) -> None:
    if name in EMITTED:
        raise Forbidden("hook_internal", f"{name} is emitted by the server itself")


async def read_body(request: Request) -> bytes:
    """The body, as far as it may go. Raises BadInput `body_too_large`."""
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
    """The typed hook. Raises BadInput: `malformed_body` for no JSON object, else the field's own trouble."""
    _check_syntax(body)
    try:
        hook = DECODERS[name].decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    if isinstance(hook, SetStatus) and hook.status not in STATUS_WORDS:
        refusal = BadInput("webinar_status_mutation_forbidden", "status is `start` or `stop`; all else is internal")
        refusal.field = "status"
        raise refusal
    return hook


def _check_syntax(body: bytes) -> None:
    """The whole body, before any of its fields: the typed decoder stops at the first that is wrong. Raises BadInput."""
    if body.lstrip(b" \t\r\n")[:1] != b"{":
        raise BadInput("malformed_body", "the body is not a JSON object")
    try:
        _SYNTAX.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("malformed_body", f"the body is not JSON: {error}") from None


def _invalid(message: str) -> Refusal:
    """Msgspec's message names the field by its path; so do we."""
    refusal = BadInput("invalid_payload", message)
    if found := _FIELD.search(message):
        refusal.field = found[1] or found[2]
    return refusal


def answer_to(hook: Inbound, change: Change) -> Answer:
    """What the caller is told."""
    match hook:
        case Entered():
            return EnteredAnswer(hook.webinar_id, change.duplicate, hook.lead_id)
        case Completed():
            attended = change.participation.attended if change.participation else None
            return CompletedAnswer(hook.webinar_id, change.duplicate, hook.lead_id, attended)
        case _:
            room = change.room
            return CoreAnswer(room.webinar_id, change.duplicate, room.status, room.version, room.cta_visibility)


def _json(content: bytes | Any) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})
