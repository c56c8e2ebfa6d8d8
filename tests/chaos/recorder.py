"""Sends hooks to whichever process answers, and keeps every one that was acknowledged."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from room_server import auth
from room_server.core.messages import Role
from tests.chaos.site import SETTINGS

ANSWER_SECONDS = 3.0
"""A hook without an answer for so long is sent again, to another process."""
GIVE_UP_SECONDS = 60.0
PAUSE = 0.05
"""Seconds before a hook is sent again."""
BROKEN = (httpx.HTTPError, RuntimeError, AttributeError)
"""How a line breaks. On uvloop httpx passes on what becomes of one that is closed already: RuntimeError when it is
written to, AttributeError when it was just opened."""
NO_PROBLEM = "no_problem_document"
"""How a refusal is counted that does not say why as every refusal should (RFC 9457)."""
FOR_NOW = frozenset({429, 500, 502, 503})
"""Statuses after which a hook is sent again."""


class Acknowledged(NamedTuple):
    """A hook and the 200 that it got. `tag` is its own, and travels in the payload, so the events can be told apart."""

    tag: str
    name: str
    payload: dict[str, Any]
    answer: dict[str, Any]

    @property
    def webinar_id(self) -> str:
        """Which webinar it is about."""
        return str(self.payload["webinar_id"])


class Recorder:
    """`ports` are the web processes', asked in turn."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = itertools.cycle(ports)
        self._numbers = itertools.count(1)
        self._http: httpx.AsyncClient | None = None
        self.acknowledged: list[Acknowledged] = []
        self.answers: Counter[str] = Counter()
        """Every try: `ok`, a refusal's code, or how the line broke."""
        self.unanswered: list[str] = []
        """Hooks that got no answer for a minute."""

    @asynccontextmanager
    async def lines(self) -> AsyncIterator[None]:
        """Lines to the processes, closed with the block."""
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, limits=limits) as self._http:
            yield

    async def ask(self, name: str, **payload: Any) -> dict[str, Any] | None:
        """The acknowledgement, of the same hook sent until there is an answer; None: it was refused for good."""
        tag = f"{name}-{next(self._numbers)}"
        mark = {"context": {"source": tag}} if name.startswith("core") else {"session_id": tag}
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                answer = await self._answer(name, {**payload, **mark})
        except TimeoutError:
            self.unanswered.append(tag)
            return None
        if answer.status_code != 200:
            return None
        self.acknowledged.append(Acknowledged(tag, name, payload, answer.json()))
        return self.acknowledged[-1].answer

    async def _answer(self, name: str, payload: dict[str, Any]) -> httpx.Response:
        while True:
            answer = await self._try(name, payload)
            if answer is not None and answer.status_code not in FOR_NOW:
                return answer
            await asyncio.sleep(PAUSE)

    async def _try(self, name: str, payload: dict[str, Any]) -> httpx.Response | None:
        assert self._http is not None
        address = f"http://127.0.0.1:{next(self._ports)}/hooks/{name}"
        role = Role.SPEAKER if name.startswith("core") else Role.SYSTEM
        try:
            answer = await self._http.post(address, json=payload, headers=bearer(role))
        except BROKEN as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[code_of(answer)] += 1
        return answer


def code_of(answer: httpx.Response) -> str:
    """`ok`, or the code of the refusal."""
    if answer.status_code == 200:
        return "ok"
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return str(answer.json()["code"]) if is_problem else NO_PROBLEM


def bearer(role: Role) -> dict[str, str]:
    """The header of a caller who may do it in every webinar."""
    return {"Authorization": f"Bearer {token(role)}"}


def token(role: Role) -> str:
    """A token for every webinar."""
    known = _TOKENS.get(role)
    if known is None:
        claims = {"sub": "1", "role": role, "webinar_id": "*"}
        known = _TOKENS[role] = auth.issue(SETTINGS, claims, 24 * 3600)
    return known


_TOKENS: dict[Role, str] = {}
