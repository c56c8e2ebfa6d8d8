"""POST /hooks/{name}: the only way to write over HTTP. A hook is checked, decided and stored, then answered.

The order of the checks decides which refusal a wrong request gets: hook name, caller, internal hook, size, JSON syntax,
fields; then, in the core, role, webinar scope, lead, whether the webinar exists, its state.
"""

import time
from collections import Counter

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.api.hook_answers import answer_to
from room_server.api.hook_bodies import ACCEPTED, decode, read_body
from room_server.auth import Authenticator, is_signed
from room_server.core import permissions
from room_server.core.decision_types import Command
from room_server.core.messages import EMITTED, Actor, Inbound, Role
from room_server.core.site_hooks import SiteHook
from room_server.errors import Forbidden, Refusal, Unknown
from room_server.ids import new_id
from room_server.operations.acts import ACTS
from room_server.rate_limit import Throttle
from room_server.state import idempotency
from room_server.state.redis.retry import DEADLINE, deadline
from room_server.telemetry import tracing
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import P, Samples
from room_server.transactions import Transactions

UNKNOWN = "unknown"
"""The name under which hooks of unknown names are counted: callers must not be able to create metrics."""


class Hooks:
    """The endpoint. A person may send `per_person` hooks a second, in bursts twice as many; the site has no limit."""

    def __init__(self, transactions: Transactions, authenticator: Authenticator, per_person: int) -> None:
        self._transactions = transactions
        self._authenticator = authenticator
        self._throttle = Throttle(per_person, 2 * per_person)
        self._answered = Counter({(name, "ok"): 0 for name in ACCEPTED})
        """Hooks that this process answered, by name and code; `ok` for those that were accepted."""
        self._seconds = {name: Histogram() for name in (*ACCEPTED, *EMITTED, UNKNOWN)}
        """How long each answer took, from the request's head on, by name."""

    async def receive(self, request: Request) -> Response:
        """Handle one hook whose name is in the path's parameters. Raises Refusal."""
        return responses.json(await self.answer(request, request.path_params["name"]))

    async def answer(self, request: Request, name: str) -> bytes:
        """Handle one hook; its answer, JSON, comes when its change is durable. Raises Refusal."""
        code, started = "internal_error", time.perf_counter()
        known = name if name in self._seconds else UNKNOWN
        try:
            with tracing.span(f"hook {known}"):
                answer = await self._handle(request, name)
            code = "ok"
        except Refusal as refusal:
            code = refusal.code
            raise
        finally:
            self._answered[known, code] += 1
            self._seconds[known].observe(time.perf_counter() - started)
        return answer

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
        if name not in ACCEPTED and name not in EMITTED:
            raise Unknown("hook_unknown", f"there is no hook {name}")
        if is_signed(request.headers):
            return await self._handle_signed(request, name)
        actor = self._authenticator.bearer(request.headers)
        _check_internal(name)
        if actor.role is not Role.SYSTEM:
            self._throttle.check(actor.person)
        return await self._apply(name, actor, decode(name, await read_body(request, name)))

    async def _handle_signed(self, request: Request, name: str) -> bytes:
        """The same for a request of the site's backend, which repeats a request under the same `webhook-id`."""
        self._authenticator.check_signed_head(request.headers)
        body = await read_body(request, name)
        actor = self._authenticator.signed(request.headers, body)
        _check_internal(name)
        digest, webhook_id = idempotency.digest(name, body), request.headers["webhook-id"]
        async with deadline(_seconds(name)):  # one for three requests to Redis
            answer = await idempotency.recall(self._transactions.store, webhook_id, digest)
            if answer is None:
                given = idempotency.StoredAnswer(digest, await self._apply(name, actor, decode(name, body)))
                answer = await idempotency.remember(self._transactions.store, webhook_id, given)
        return answer

    async def _apply(self, name: str, actor: Actor, hook: Inbound | SiteHook) -> bytes:
        if isinstance(hook, Inbound):
            change = await self._transactions.apply(Command(id=new_id(), actor=actor, hook=hook))
            return msgspec.json.encode(answer_to(hook, change))
        permissions.check_send(actor, hook)
        async with deadline(_seconds(name)):
            return msgspec.json.encode(await ACTS[name].do(self._transactions, actor, hook))


def _seconds(name: str) -> float:
    """How long the request may take."""
    return ACTS[name].seconds if name in ACTS else DEADLINE


def _check_internal(name: str) -> None:
    if name in EMITTED:
        raise Forbidden("hook_internal", f"{name} is emitted by the server itself")
