"""Hooks take a shorter way than other addresses, and everything that lies on the longer one still happens to them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from room_server.api.hook_bodies import ACCEPTED
from room_server.api.hook_route import HookRoute
from room_server.errors import Conflict
from tests.support import Site, room, serving, settings_for

ORIGIN = "https://site.example"
STATUS = "core_webinar_set_status"
START = {"webinar_id": "w", "status": "start"}


class Answering:
    """In the place of `Hooks`: gives the name as the answer, or refuses."""

    async def answer(self, _: Any, name: str) -> bytes:
        if name == STATUS:
            raise Conflict("webinar_exists", "only to refuse")
        return b'"%s"' % name.encode()


class Web:
    hooks = Answering()


async def sent(path: str, method: str = "POST", kind: str = "http") -> list[Message] | None:
    """What the route itself sends; None when it passes the request on."""
    messages: list[Message] = []
    passed: list[Scope] = []

    async def others(scope: Scope, _: Receive, __: Send) -> None:
        passed.append(scope)

    async def receive() -> Message:
        raise AssertionError("the body is for the endpoint")

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {"type": kind, "method": method, "path": path, "headers": [], "state": {"web": Web()}}
    await HookRoute(others)(scope, receive, send)
    assert bool(passed) != bool(messages)
    return messages or None


@pytest.mark.parametrize("name", sorted(ACCEPTED.keys() - {STATUS}))
async def test_every_hook_that_may_come_in_is_found_by_its_address(name: str) -> None:
    body = b'"%s"' % name.encode()
    headers = [
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
    ]
    expected: list[Message] = [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
    assert await sent(f"/hooks/{name}") == expected


async def test_a_refusal_is_answered() -> None:
    answer = await sent(f"/hooks/{STATUS}")
    assert answer is not None
    assert [message.get("status") for message in answer] == [409, None]


LONG_WAY = [
    *((f"/hooks/{STATUS}", method, "http") for method in ("GET", "HEAD", "OPTIONS", "PUT", "post")),
    *((path, "POST", "http") for path in ("/", "/hooks/", f"/hooks/{STATUS}/", f"/hooks/{STATUS}\n", "/hooks/x")),
    *((path, "POST", "http") for path in ("/hooks/telegram_update", "/hooks/webinar_completed", f"//hooks/{STATUS}")),
    (f"/hooks/{STATUS}", "POST", "websocket"),
    (f"/hooks/{STATUS}", "POST", "lifespan"),
]


@pytest.mark.parametrize(("path", "method", "kind"), LONG_WAY)
async def test_everything_else_goes_the_long_way(path: str, method: str, kind: str) -> None:
    assert await sent(path, method, kind) is None


@pytest.fixture
async def embedded(valkey_url: str) -> AsyncIterator[Site]:
    """A site that another one may embed."""
    async with serving(settings_for(valkey_url, allowed_origins=ORIGIN)) as site:
        await site.transactions.create(room())
        yield site


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """The headers without those that differ between any two answers."""
    return {name: value for name, value in answer.headers.items() if name not in {"date", "content-length"}}


async def test_a_hook_has_the_headers_of_every_answer(embedded: Site) -> None:
    """The other address is an answer in JSON, too, that goes through Starlette's routes."""
    asks = {"Origin": ORIGIN, "X-Request-ID": "of-the-caller-1"}
    hook = await embedded.http.post(f"/hooks/{STATUS}", json=START, headers={**embedded.bearer(), **asks})
    other = await embedded.http.get("/webinars", headers={**embedded.bearer(), **asks})
    assert (hook.status_code, other.status_code) == (200, 200)
    assert headers_of(hook) == {**headers_of(other), "cache-control": "no-store"}
    assert {"x-request-id", "content-security-policy", "access-control-allow-origin"} <= headers_of(hook).keys()
    assert hook.headers["x-request-id"] == "of-the-caller-1"


async def test_a_refused_hook_has_them_too(embedded: Site) -> None:
    asks = {"Origin": ORIGIN, "X-Request-ID": "of-the-caller-2"}
    known = await embedded.http.post(f"/hooks/{STATUS}", json=START, headers=asks)
    unknown = await embedded.http.post("/hooks/none_such", json=START, headers=asks)
    assert (known.status_code, unknown.status_code) == (401, 404)
    assert headers_of(known) == {**headers_of(unknown), "www-authenticate": 'Bearer realm="room"'}


async def test_a_hook_counts_for_the_limit_of_an_address(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_requests_per_address=1)) as site:
        answers = [await site.http.post(f"/hooks/{STATUS}", json=START) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_our_own_fault_in_a_hook_is_a_problem_and_counted(site: Site) -> None:
    hooks = site.inside.hooks
    hooks._authenticator = "rubbish in place of the part that authenticates"
    answer = await site.http.post(f"/hooks/{STATUS}", json=START, headers=site.bearer())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["x-request-id"]
    assert "rubbish" not in answer.text
    assert hooks.by_code() == {"internal_error": 1}
    assert (await site.http.get("/healthz")).status_code == 200
