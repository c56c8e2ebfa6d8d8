"""`POST /hooks/telegram_update`: Telegram's own door, which only its secret opens."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from room_server.api.hook_bodies import MAX_BODIES, TELEGRAM_UPDATE
from room_server.api.telegram_updates import HEADER
from room_server.core.bindings import lead
from room_server.state import bindings
from room_server.telegram.deep_links import DeepLinks, open_links
from tests.api.test_metrics import scraped
from tests.outage import own_redis
from tests.support import TOKEN_SECRET, Site, serving, settings_for
from tests.telegram.bot_api import Inbox

MAX_BODY = MAX_BODIES[TELEGRAM_UPDATE]
LINKS = DeepLinks((TOKEN_SECRET.encode(),))


@pytest.fixture
async def hooked(valkey_url: str) -> AsyncIterator[Site]:
    """A site to which Telegram sends updates."""
    made = settings_for(valkey_url, telegram_updates="webhook", public_url="https://rooms.example.org")
    async with serving(made) as site:
        yield site


async def send(site: Site, body: Any, secret: str | None = LINKS.webhook_secrets[0]) -> httpx.Response:
    """An update comes; `body` may be bytes."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {} if secret is None else {HEADER: secret}
    return await site.http.post("/hooks/telegram_update", content=content, headers=headers)


def pressed(lead_id: int) -> dict[str, Any]:
    """The lead presses its link, in the chat with its number."""
    inbox = Inbox()
    inbox.number += lead_id
    inbox.says(lead_id, f"/start {LINKS.payload(lead(lead_id))}")
    return inbox.waiting[0]


async def test_an_update_binds_and_is_answered_with_nothing(hooked: Site) -> None:
    answers = [await send(hooked, pressed(42)) for _ in range(2)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {})] * 2
    assert await bindings.chats_of(hooked.store, [lead(42)]) == {lead(42): 42}


@pytest.mark.parametrize("body", [b"{}", b'{"update_id": "x"}', b'{"update_id": 1, "something_new": {}}', b" {\n}"])
async def test_whatever_is_well_formed_is_taken(hooked: Site, body: bytes) -> None:
    answer = await send(hooked, body)

    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"update_id": NaN}', b'"\xff"', b"[" * 5000])
async def test_what_is_not_is_malformed(hooked: Site, body: bytes) -> None:
    answer = await send(hooked, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


async def test_a_body_may_be_larger_than_a_hooks_and_has_a_bound(hooked: Site) -> None:
    whole = msgspec.json.encode({"update_id": 1, "x": "y" * (MAX_BODY - 25)})
    fits = await send(hooked, whole.ljust(MAX_BODY))
    beyond = await send(hooked, whole.ljust(MAX_BODY + 1))

    assert (fits.status_code, beyond.status_code, beyond.json()["code"]) == (200, 413, "body_too_large")


@pytest.mark.parametrize("secret", [None, "", "x", LINKS.webhook_secrets[0][:-1], LINKS.webhook_secrets[0] + "x"])
async def test_without_the_secret_nothing_is_taken_or_looked_at(hooked: Site, secret: str | None) -> None:
    before = await hooked.everything()
    for body in (pressed(42), b"{", b"x" * (MAX_BODY + 1)):
        answer = await send(hooked, body, secret)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")

    assert await hooked.everything() == before


async def test_a_token_or_a_signature_is_no_secret(hooked: Site) -> None:
    answer = await hooked.hook("telegram_update", pressed(42), "system", scope="*")

    assert answer.status_code == 401


async def test_the_secret_of_before_a_rotation_is_taken(valkey_url: str) -> None:
    made = settings_for(valkey_url, telegram_updates="webhook", public_url="https://rooms.example.org")
    rotated = replace(made, token_secret=f"a-new-secret-of-at-least-32-bytes-or-more {TOKEN_SECRET}")
    async with serving(rotated) as site:
        current = (await open_links(rotated, site.store)).webhook_secrets

        assert [(await send(site, pressed(42), secret)).status_code for secret in current] == [200, 200]
        assert current[1] == LINKS.webhook_secrets[0]


@pytest.mark.parametrize("mode", ["poll", "off"])
async def test_where_updates_do_not_come_this_way_nobody_is_let_in(valkey_url: str, mode: str) -> None:
    async with serving(settings_for(valkey_url, telegram_updates=mode)) as site:
        answer = await send(site, pressed(42))

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_other_methods_are_refused(hooked: Site) -> None:
    answer = await hooked.http.get("/hooks/telegram_update")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


async def test_while_redis_is_away_telegram_is_asked_to_come_again() -> None:
    async with own_redis() as server:
        made = settings_for(server.url, telegram_updates="webhook", public_url="https://rooms.example.org")
        async with serving(made) as site:
            server.freeze()
            answer = await send(site, pressed(42))
            server.thaw()

    assert (answer.status_code, answer.json()["code"]) == (503, "state_unavailable")


async def test_updates_are_counted_as_hooks_are(hooked: Site) -> None:
    await send(hooked, pressed(42))
    await send(hooked, pressed(42), "x")
    shown = await scraped(hooked.http)

    assert shown['room_server_hooks_total{code="ok",hook="telegram_update"}'] == 1
    assert shown['room_server_hooks_total{code="unauthenticated",hook="telegram_update"}'] == 1
    assert shown['room_server_hook_seconds_count{hook="telegram_update"}'] == 2
