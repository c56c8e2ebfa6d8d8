"""Rate limits by the generic cell rate algorithm (GCRA), in the memory of one process.

Processes share nothing, so a caller who reaches N of them may do N times as much (docs/operations.md, "Limits"). A
limit of 0 is no limit.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from room_server.errors import Refusal, TooManyRequests

KNOWN = 100_000
"""Callers that are remembered at most; the one that asked longest ago is forgotten first."""
FORGOTTEN = 100
"""Callers within their rate that one check forgets at most, so that no request waits for what a crowd has left."""
ROUNDING = 1e-6
"""Seconds. Sums of intervals are not exact; without it the last of a burst might be refused."""


class Throttle:
    """`rate` a second for each caller, with bursts of `burst`, at least 1.

    A caller is any text: `Actor.person`, an address, or one constant for all.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = self._interval * (burst - 1) + ROUNDING
        """Seconds by which a caller may be ahead of its rate."""
        self._free_at: OrderedDict[str, float] = OrderedDict()
        """When each caller would be within its rate again: GCRA's theoretical arrival time, monotonic."""

    def __len__(self) -> int:
        """Callers that are remembered."""
        return len(self._free_at)

    def check(self, caller: str) -> None:
        """Count one request of the caller. Raises TooManyRequests; what is refused does not count."""
        if not self._interval:
            return
        now = time.monotonic()
        self._forget(now)
        free_at = max(self._free_at.pop(caller, now), now)
        if free_at - now > self._tolerance:
            self._free_at[caller] = free_at
            raise TooManyRequests("too many requests from this caller", free_at - now - self._tolerance)
        self._free_at[caller] = free_at + self._interval
        if len(self._free_at) > KNOWN:
            self._free_at.popitem(last=False)

    def _forget(self, now: float) -> None:
        """Forget those who asked longest ago and are within their rate: to know nothing of them means the same."""
        for _ in range(FORGOTTEN):
            oldest = next(iter(self._free_at), None)
            if oldest is None or self._free_at[oldest] > now:
                return
            del self._free_at[oldest]

    def check_without_counting(self, caller: str) -> None:
        """Raises TooManyRequests when `check` would."""
        now = time.monotonic()
        ahead = self._free_at.get(caller, now) - now - self._tolerance
        if self._interval and ahead > 0:
            raise TooManyRequests("too many requests from this caller", ahead)


def address(peer: str, forwarded: str, proxies: Any) -> str:
    """The caller's address: `peer` or, if that is one of `proxies`, the one that `forwarded` (X-Forwarded-For) names.

    `proxies` are the trusted hosts of uvicorn's ProxyHeadersMiddleware, so a socket has the address that a request has.
    """
    if forwarded and peer in proxies:
        return proxies.get_trusted_client_address(forwarded)[0] or peer
    return peer


def trusted_proxies(listed: str) -> str:
    """FORWARDED_ALLOW_IPS, each IPv4 address also as `::ffff:…`, as a socket on `::` sees it (RFC 4291, 2.5.5.2)."""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    mapped = []
    for name in names:
        with suppress(ValueError):  # `*`, or a name that uvicorn compares as it is
            network = ip_network(name, strict=False)
            if network.version == 4:
                mapped.append(f"::ffff:{network.network_address}/{network.prefixlen + 96}")
    return ",".join([*names, *mapped])


class PerAddress:
    """ASGI: limits requests by address, `rate` a second with bursts of twice as many; `refused` makes the 429.

    Behind a trusted proxy it is the address that the proxy names.
    """

    def __init__(self, app: ASGIApp, rate: float, refused: Callable[[HTTPConnection, Refusal], Response]) -> None:
        self._app = app
        self._refused = refused
        self._throttle = Throttle(rate, 2 * rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] == "http" and scope.get("client"):
            try:
                self._throttle.check(scope["client"][0])
            except TooManyRequests as refusal:
                await self._refused(HTTPConnection(scope), refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
