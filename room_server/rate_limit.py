"""How often somebody may do something: the generic cell rate algorithm (GCRA), in the memory of one process.

Nothing is shared: of N processes each lets its own share through, so somebody who reaches all of them gets N times as
much (docs/operations.md, "Limits"). A limit of 0 lets everything through.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from room_server.errors import Refusal, TooManyRequests

KNOWN = 100_000
"""Callers that are remembered; the one seen longest ago is forgotten first."""
ROUNDING = 1e-6
"""Seconds: sums of intervals are not exact, and the last of a burst is not to be refused for that."""


class Throttle:
    """`rate` a second each, with bursts of `burst`, at least 1. A caller is a name: `Actor.person`, or an address."""

    def __init__(self, rate: float, burst: float) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._ahead = self._interval * (burst - 1) + ROUNDING
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def check(self, who: str) -> None:
        """Count one more of `who`. Raises TooManyRequests, which is not counted."""
        if not self._interval:
            return
        now = time.monotonic()
        free_at = max(self._free_at.pop(who, now), now)
        if free_at - now > self._ahead:
            self._free_at[who] = free_at
            raise TooManyRequests("too many requests from this caller", free_at - now - self._ahead)
        self._free_at[who] = free_at + self._interval
        if len(self._free_at) > KNOWN:
            self._free_at.popitem(last=False)


def address(peer: str, forwarded: str, proxies: Any) -> str:
    """Who is calling from `peer`: itself or, when it is among `proxies`, whom its X-Forwarded-For names.

    `proxies` are the trusted hosts of uvicorn's ProxyHeadersMiddleware, so this is what a request's scope says.
    """
    if forwarded and peer in proxies:
        return proxies.get_trusted_client_address(forwarded)[0] or peer
    return peer


class PerAddress:
    """ASGI: how often one address may ask, whoever it is; behind a trusted proxy that is the proxy's word for it.

    `answer` makes the response to who asks too often.
    """

    def __init__(self, app: ASGIApp, rate: float, answer: Callable[[HTTPConnection, Refusal], Response]) -> None:
        self._app = app
        self._answer = answer
        self._throttle = Throttle(rate, 2 * rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 429."""
        if scope["type"] == "http" and scope.get("client"):
            try:
                self._throttle.check(scope["client"][0])
            except TooManyRequests as refusal:
                await self._answer(HTTPConnection(scope), refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
