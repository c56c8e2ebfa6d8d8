"""POST /hooks/telegram_update: Telegram itself tells of an update, by its webhook (Bot API, setWebhook).

Whatever a well-formed body holds is answered with 200: Telegram would send what is refused again and again. A body is
refused in this order: who is calling, size, syntax.
"""

import hmac
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from room_server.api import responses
from room_server.api.hook_bodies import TELEGRAM_UPDATE, check_syntax, read_body
from room_server.core.incoming import whole_characters
from room_server.errors import BadInput, Refusal, Unauthenticated
from room_server.telemetry import tracing
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import P, Samples

HEADER = "X-Telegram-Bot-Api-Secret-Token"

Secrets = Callable[[], Awaitable[Sequence[str]]]
"""The secrets of which Telegram sends one; none when updates do not come this way. Raises StateUnavailable."""
Take = Callable[[bytes], Awaitable[None]]
"""Takes the JSON of an update. Raises StateUnavailable."""


class TelegramUpdates:
    """The endpoint."""

    def __init__(self, secrets: Secrets, take: Take) -> None:
        self._secrets = secrets
        self._take = take
        self._answered = Counter({(TELEGRAM_UPDATE, "ok"): 0})
        self._seconds = Histogram()

    async def receive(self, request: Request) -> Response:
        """Take one update; it is answered when its effect is durable. Raises Refusal."""
        code, started = "internal_error", time.perf_counter()
        try:
            with tracing.span(f"hook {TELEGRAM_UPDATE}"):
                await self._handle(request)
            code = "ok"
        except Refusal as refusal:
            code = refusal.code
            raise
        finally:
            self._answered[TELEGRAM_UPDATE, code] += 1
            self._seconds.observe(time.perf_counter() - started)
        return responses.json({})

    async def _handle(self, request: Request) -> None:
        given = request.headers.get(HEADER, "").encode("latin-1")
        matches = [hmac.compare_digest(secret.encode(), given) for secret in await self._secrets()]
        if not any(matches):
            raise Unauthenticated(f"this is for Telegram, which sends the secret of this server's webhook in {HEADER}")
        body = await read_body(request, TELEGRAM_UPDATE)
        try:
            check_syntax(body)
        except BadInput:
            body = whole_characters(body)
            check_syntax(body)
        await self._take(body)

    def metrics(self) -> Samples:
        """What this process counted, as it counts hooks."""
        counts: Samples = {(P + "hooks_total", *key): answered for key, answered in self._answered.items()}
        return counts | self._seconds.series(P + "hook_seconds", TELEGRAM_UPDATE)
