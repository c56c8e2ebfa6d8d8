"""`GET /links`: a short link's code gives its token, guessing is refused, and no log shows a code."""

import time

import httpx
import pytest

from room_server.api.links import HEADER, MISSES
from room_server.auth import Authenticator
from room_server.core.messages import Role
from room_server.core.room import RosterEntry
from room_server.state import short_links
from room_server.state.roster import import_roster
from tests.commands.test_roster import PUBLIC_KEY
from tests.support import PATIENCE, TOKEN_SECRET, Site, eventually, room, serving, settings_for
from tests.terminal import running


async def code_of(site: Site, lead: int = 42) -> str:
    """A short link to the webinar `w` that holds for an hour."""
    await site.transactions.create(room())
    await import_roster(site.store, "w", [RosterEntry(lead_id=lead)], replace=False)
    return (await short_links.save(site.store, "w", [lead], int(time.time()) + 3600))[lead]


async def asked(site: Site, code: str, address: str = "192.0.2.1") -> int:
    """The status of the answer to somebody there."""
    answer = await site.http.get("/links", headers={HEADER: code, "X-Forwarded-For": address})
    return answer.status_code


async def test_a_code_gives_a_token_that_opens_the_room_as_often_as_it_is_asked_for(site: Site) -> None:
    code = await code_of(site)
    for _ in range(2):
        answer = await site.http.get("/links", headers={HEADER: code})
        link = answer.json()
        actor = Authenticator(site.settings).token(link["token"])
        state = await site.http.get("/rooms/w/state", headers={"Authorization": f"Bearer {link['token']}"})

        assert (answer.status_code, link["webinar_id"], state.status_code) == (200, "w", 200)
        assert (actor.role, actor.lead_id, actor.webinar_id) == (Role.ATTENDEE, 42, "w")
        assert actor.expires_at == pytest.approx(time.time() + 3600, abs=60)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_code_that_leads_nowhere_is_not_found(site: Site) -> None:
    code = await code_of(site)
    for headers in ({}, {HEADER: ""}, {HEADER: "x" * 22}, {HEADER: code + "x"}, {"Authorization": f"Bearer {code}"}):
        answer = await site.http.get("/links", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await site.http.get(f"/links?code={code}")).status_code == 404


async def test_who_guesses_is_refused_and_others_are_not(site: Site) -> None:
    code = await code_of(site)
    guesses = [await asked(site, f"{number:022}") for number in range(50 * MISSES)]

    assert guesses[: 4 * MISSES] == [404] * 4 * MISSES
    assert 429 in guesses
    assert await asked(site, code, "192.0.2.2") == 200

    async def refused() -> bool:
        await asked(site, "x" * 22)
        return await asked(site, code) == 429

    await eventually(refused, "even the right code is refused to who has guessed too much")


async def test_who_asks_for_codes_that_hold_is_never_refused(site: Site) -> None:
    """Many people of an office share an address."""
    code = await code_of(site)

    assert {await asked(site, code) for _ in range(20 * MISSES)} == {200}


async def test_where_tokens_are_only_verified_no_code_gives_one(site: Site) -> None:
    code = await code_of(site)
    url = site.settings.redis_url or ""
    async with serving(settings_for(url, token_public_key=PUBLIC_KEY)) as verifying:
        assert await asked(verifying, code) == 404
    assert await asked(site, code) == 200


async def test_no_log_shows_a_code(site: Site) -> None:
    code = await code_of(site)
    settings = {"ROOM_SERVER_REDIS_URL": site.settings.redis_url or "", "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    async with running("web", "--port", "0", **settings, ROOM_SERVER_MAX_SOCKTS="1") as web:
        async with httpx.AsyncClient(base_url=web.address, timeout=PATIENCE) as http:
            answers = [
                await http.get(f"/r/{code}"),
                await http.get(f"/r/{code}/", headers={"Accept": "text/html"}),
                await http.get("/links", headers={HEADER: code}),
                await http.get("/links", headers={HEADER: code[::-1]}),
            ]
        _, told = await web.end()

    assert [answer.status_code for answer in answers] == [200, 302, 200, 404]
    assert "ROOM_SERVER_MAX_SOCKTS" in told
    assert code not in told
    assert code[::-1] not in told
