"""Every address, hook and socket for every role with every kind of token, against a table of its own.

The table is written from docs/domain.md ("Roles"), not from the code that decides. What is not in it fails.
"""

import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from starlette.routing import Mount, Route
from websockets.exceptions import ConnectionClosed

from room_server.api import pages
from room_server.api.documents.asyncapi import SOCKETS
from room_server.api.hook_bodies import ACCEPTED
from room_server.app import ROUTES
from room_server.core.messages import EMITTED, INBOUND, Role
from room_server.core.room import Status
from room_server.core.site_hooks import SITE_HOOKS
from room_server.errors import CLOSE_CODES, CloseCode
from tests.callers import (
    ABOUT_NO_WEBINAR,
    BY_CODE,
    COUNTERS,
    CREDENTIALS,
    LEAD,
    LET_IN,
    NOBODY,
    OPEN,
    READ,
    READERS,
    ROLES,
    SENT,
    TELEGRAM,
    WATCHED,
)
from tests.raw import BINARY, CLOSE, TEXT, connecting, handshake, in_room, masked, upgrade
from tests.support import (
    AT,
    HOOK_SECRET,
    TOKEN_SECRET,
    Site,
    next_state,
    room,
    serving,
    settings_for,
    state_where,
    wait_until,
)
from tests.test_signed import OTHER_HOOK_SECRET, webhook

SCRAPED = "/metrics"
"""Not for roles: it has a token of its own."""

Outcome = tuple[int, str]


@pytest.fixture
async def site(valkey_url: str) -> AsyncIterator[Site]:
    """A webinar in each state; the lead is in the live one."""
    settings = settings_for(
        valkey_url, max_hooks_per_person=0, max_reads_per_person=0, max_sockets_per_person=0, metrics_token="scraper"
    )
    async with serving(settings) as site:
        for status in Status:
            times = {"started_at": AT, "finished_at": AT} if status in {Status.FINISHED, Status.ARCHIVED} else {}
            await site.transactions.create(room(status.value, status=status, **times))
        assert (await site.entered(LEAD, "live")).status_code == 200
        assert (await site.hook("core_site_check", {"nonce": "n"}, "system", scope="*")).status_code == 200
        yield site


def headers(site: Site, role: str, credential: str, webinar_id: str = "live") -> dict[str, str]:
    """The caller's."""
    if credential == "none":
        return {}
    scope = {"another webinar's": "elsewhere", "every webinar's": "*"}.get(credential, webinar_id)
    return site.bearer(role, scope, ttl=-60 if credential == "expired" else 60)


def refused(role: str, credential: str, allowed: frozenset[str], scoped: bool) -> Outcome | None:
    """How the caller is refused; None: it is let in."""
    if credential in {"none", "expired"}:
        return 401, "unauthenticated"
    if role not in allowed:
        return 403, "forbidden_role"
    if scoped and credential == "another webinar's":
        return 403, "forbidden_webinar"
    return None


async def read(site: Site, address: str, named: dict[str, str]) -> Outcome:
    """How a request is answered."""
    answer = await site.http.get(address, headers=named)
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else ""


async def sent(site: Site, name: str, payload: Any, named: dict[str, str]) -> Outcome:
    """How a hook is answered."""
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    answer = await site.http.post(f"/hooks/{name}", content=body, headers=named)
    return answer.status_code, answer.json().get("code", "")


async def watched(site: Site, address: str, named: dict[str, str]) -> Outcome:
    """How a handshake is answered."""
    async with connecting(site) as raw:
        await raw.send(upgrade(site, address, named))
        answer = await raw.answer()
    return answer.status, answer.code if answer.status != 101 else ""


EVERYBODY = list(itertools.product(ROLES, CREDENTIALS))


def test_every_route_hook_socket_and_role_is_in_the_table() -> None:
    routes = [*ROUTES, *pages.routes()]
    assert all(isinstance(route, Route | Mount) for route in routes)
    paths = {route.path for route in routes if isinstance(route, Route | Mount)}
    assert paths == {*OPEN, *READ, SCRAPED, BY_CODE, TELEGRAM, "/hooks/{name}"}
    assert {socket.address for socket in SOCKETS.values()} == set(WATCHED)
    assert {*ACCEPTED, *EMITTED} == set(SENT)
    assert {role.value for role in Role} == set(ROLES)


async def test_what_is_open_is_open_to_everybody_and_says_the_same(site: Site) -> None:
    for address in OPEN.values():
        anonymous = await site.http.get(address)
        for role, credential in EVERYBODY:
            answer = await site.http.get(address, headers=headers(site, role, credential))
            assert (answer.status_code, answer.content) == (200, anonymous.content), (address, role, credential)


async def test_no_token_opens_a_short_link(site: Site) -> None:
    """429 once there were too many of these misses."""
    for role, credential in EVERYBODY:
        answer = await site.http.get(BY_CODE, headers=headers(site, role, credential))
        assert answer.status_code in {404, 429}, (role, credential)


async def test_no_token_takes_telegrams_place(site: Site) -> None:
    for role, credential in EVERYBODY:
        answer = await site.http.post(TELEGRAM, content=b"{}", headers=headers(site, role, credential))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (role, credential)


async def test_every_role_reads_what_it_may(site: Site) -> None:
    before = await site.everything()
    for (address, allowed, scoped), (role, credential) in itertools.product(READ.values(), EVERYBODY):
        expected = refused(role, credential, allowed, scoped) or (200, "")
        assert expected == await read(site, address, headers(site, role, credential)), (address, role, credential)
    assert before == await site.everything()


async def test_every_role_holds_the_sockets_it_may(site: Site) -> None:
    before = await site.everything()
    for (address, allowed, scoped), (role, credential) in itertools.product(WATCHED.values(), EVERYBODY):
        expected = refused(role, credential, allowed, scoped) or (101, "")
        assert expected == await watched(site, address, headers(site, role, credential)), (address, role, credential)
    await wait_until(lambda: not site.inside.admission.total, "nobody is counted")
    assert before == await site.everything()


async def test_every_role_sends_the_hooks_it_may(site: Site) -> None:
    before = await site.everything()
    for (name, (allowed, fields)), (role, credential) in itertools.product(SENT.items(), EVERYBODY):
        expected = refused(role, credential, allowed, scoped=True) or LET_IN.get(name, (200, ""))
        if allowed is NOBODY and expected[0] == 403:
            expected = (403, "hook_internal")
        if name in ABOUT_NO_WEBINAR and credential == "the webinar's" and role in allowed:
            expected = (403, "forbidden_webinar")
        payload = {"webinar_id": "live", **fields}
        answer = await sent(site, name, payload, headers(site, role, credential, payload["webinar_id"]))
        assert expected == answer, (name, role, credential)
        assert before == await site.everything(), (name, role, credential)


async def test_an_attendee_speaks_for_itself_only(site: Site) -> None:
    before = await site.everything()
    for name in ("client_webinar_entered", "client_webinar_completed"):
        payload = {"webinar_id": "live", **SENT[name][1], "lead_id": LEAD + 1}
        for credential in ("the webinar's", "every webinar's"):
            answer = await sent(site, name, payload, headers(site, "attendee", credential))
            assert answer == (403, "forbidden_lead"), (name, credential)
    assert before == await site.everything()


async def test_a_signature_is_the_systems_and_another_secrets_is_nobodys(site: Site) -> None:
    for name, (allowed, fields) in SENT.items():
        before = await site.everything()
        body = msgspec.json.encode({"webinar_id": "live", **fields})
        forged = await sent(site, name, body, webhook(body, OTHER_HOOK_SECRET))
        assert forged == (401, "unauthenticated"), name
        assert before == await site.everything(), name
        expected = refused("system", "every webinar's", allowed, scoped=True) or LET_IN.get(name, (200, ""))
        expected = (403, "hook_internal") if allowed is NOBODY else expected
        assert expected == await sent(site, name, body, webhook(body, identity=name)), name


async def test_what_is_signed_for_one_hook_fits_no_other(site: Site) -> None:
    """Standard Webhooks does not sign the address: whoever holds a signed request back could send it elsewhere.

    The site's own hooks share bodies (SECURITY.md); once one has arrived, its id is refused for any other.
    """
    before = await site.everything()
    missions = [name for name in SENT if name not in SITE_HOOKS and name != "client_webinar_cta_clicked"]
    for name, other in ((name, other) for name, other in itertools.product(INBOUND, missions) if name != other):
        if {name, other} == {"client_webinar_cta_clicked", "client_webinar_entered"}:
            continue
        body = msgspec.json.encode({"webinar_id": "live", **SENT[name][1]})
        status, code = await sent(site, other, body, webhook(body, identity=f"{name} {other}"))
        assert (status, code) in {(422, "invalid_payload"), (403, "forbidden_role"), (403, "hook_internal")}, other
    assert before == await site.everything()


async def test_what_was_signed_and_came_is_refused_for_another_hook(site: Site) -> None:
    body = b'{"webinar_id":"paused"}'
    headers = webhook(body)
    assert await sent(site, "core_webinar_pause", body, headers) == (200, "")
    before = await site.everything()

    assert await sent(site, "core_webinar_resume", body, headers) == (401, "unauthenticated")
    assert before == await site.everything()


async def test_a_hook_that_is_not_ours_is_unknown_to_everybody(site: Site) -> None:
    before = await site.everything()
    for role, credential in EVERYBODY:
        answer = await sent(site, "client_webinar_left", {}, headers(site, role, credential))
        assert answer == (404, "hook_unknown"), (role, credential)
    assert before == await site.everything()


async def test_a_draft_is_unknown_to_attendees_and_every_other_state_is_shown(site: Site) -> None:
    for status, role in itertools.product(Status, ROLES):
        named = headers(site, role, "the webinar's", status.value)
        hidden = (404, "webinar_unknown") if (status, role) == (Status.DRAFT, "attendee") else None
        expected = refused(role, "the webinar's", READERS, scoped=True) or hidden
        for ask, verb, okay in ((read, "state", 200), (watched, "socket", 101)):
            answer = await ask(site, f"/rooms/{status}/{verb}", named)
            assert answer == (expected or (okay, "")), (status, role, verb)


async def test_no_answer_tells_an_attendee_a_draft_from_nothing(site: Site) -> None:
    told: dict[str, list[tuple[int, str]]] = {}
    for webinar_id in (Status.DRAFT.value, "nothing"):
        answers = {"state": await site.state("attendee", webinar_id)}
        for name in (name for name, (allowed, _) in SENT.items() if "attendee" in allowed):
            answers[name] = await site.hook(name, {"webinar_id": webinar_id, **SENT[name][1]}, "attendee")
        for name, answer in answers.items():
            told.setdefault(name, []).append((answer.status_code, answer.text.replace(webinar_id, "ID")))
        async with connecting(site) as raw:
            await raw.send(handshake(site, webinar_id))
            met = await raw.answer()
        told.setdefault("socket", []).append((met.status, met.body.decode().replace(webinar_id, "ID")))
    assert len(told) == 5
    for name, (draft, nothing) in told.items():
        assert (draft, draft[0]) == (nothing, 404), name


async def test_a_webinar_made_anew_as_a_draft_is_gone_for_who_held_a_socket_on_it(site: Site) -> None:
    async with site.socket("attendee", "scheduled") as attendee, site.socket("speaker", "scheduled") as speaker:
        for socket in (attendee, speaker):
            await state_where(socket, status="scheduled")
        await site.store.delete("scheduled")
        await site.transactions.create(room("scheduled", status=Status.DRAFT))
        assert (await state_where(speaker, status="draft"))["version"] == 1
        with pytest.raises(ConnectionClosed):
            await next_state(attendee)
        assert attendee.close_code == CloseCode.WEBINAR_GONE


async def test_no_role_opens_the_metrics(site: Site) -> None:
    for role, credential in EVERYBODY:
        answer = await read(site, SCRAPED, headers(site, role, credential))
        assert answer == (401, "unauthenticated"), (role, credential)
    assert await read(site, SCRAPED, {"Authorization": "Bearer scraper"}) == (200, "")


async def test_a_token_for_one_webinar_counts_that_one_only(site: Site) -> None:
    for role in sorted(COUNTERS):
        answer = await site.http.get("/monitor/counts", headers=headers(site, role, "the webinar's"))
        assert [counted["webinar_id"] for counted in answer.json()["rooms"]] == ["live"], role


ECHOES = ["{token}", "{token}x", "Bearer {token}", "{token},{token}", "{token}é"]


async def test_no_refusal_repeats_a_token(site: Site) -> None:
    """Whatever is wrong with a token or a request, its answer may be shown, logged and kept."""
    secret = site.token("guest", "secret-scope-of-nobody", name="Name-Of-Nobody")
    parts = [part for part in secret.split(".") if len(part) > 20]
    found = []
    for echo in ECHOES:
        text = echo.format(token=secret).encode("utf-8").decode("latin-1")
        named = {
            "a token": {"Authorization": f"Bearer {text}"},
            "no scheme": {"Authorization": text},
            "as a subprotocol": {"Sec-WebSocket-Protocol": f"room.v1, room.bearer.{text}"},
            "as the only subprotocol": {"Sec-WebSocket-Protocol": f"room.bearer.{text}"},
            "as a signature": {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": f"v1,{text}"},
            "in the query": {},
        }
        for what, given in named.items():
            for address in ("/rooms/live/state", "/rooms/live/socket?token=" + secret, "/monitor/counts", SCRAPED):
                asks = upgrade(site, address, given) if "socket" in address else None
                async with connecting(site) as raw:
                    lines = [f"GET {address} HTTP/1.1", "Host: x", "Connection: close"]
                    lines += [f"{name}: {value}" for name, value in given.items()]
                    await raw.send(asks or "\r\n".join([*lines, "", ""]).encode("latin-1"))
                    answer = (await raw.rest()).decode("latin-1")
                assert re.match(r"HTTP/1.1 4\d\d ", answer), (what, address, answer)
                found += [(what, address) for part in (*parts, "Name-Of-Nobody") if part in answer]
    assert found == []


async def test_no_close_repeats_what_was_sent(site: Site) -> None:
    secret = site.token("attendee", "live").encode()
    ping = secret[:125]
    for first, payload in ((TEXT, secret), (BINARY, secret), (0x8B, ping), (0xC1, secret), (0x09, ping)):
        async with in_room(site, "live") as raw:
            await raw.send(masked(first, payload))
            while (frame := await raw.frame()).first != CLOSE:
                pass
        assert secret[:20] not in frame.payload, first
        assert frame.code in CLOSE_CODES, first


async def kept(site: Site) -> bytes:
    """Every value that Redis holds, as it is."""
    reads = {
        "string": "GET",
        "hash": "HGETALL",
        "set": "SMEMBERS",
        "zset": "ZRANGE",
        "list": "LRANGE",
        "stream": "XRANGE",
    }
    ends: dict[str, tuple[str, ...]] = {"zset": ("0", "-1"), "list": ("0", "-1"), "stream": ("-", "+")}
    found = []
    async for name in site.raw.scan_iter(count=1000):
        kind = (await site.store.call("TYPE", name)).decode()
        found.append(repr(await site.store.call(reads[kind], name, *ends.get(kind, ()))))
    return "".join(found).encode()


async def test_redis_holds_no_token_and_no_secret(site: Site) -> None:
    token = site.token("attendee", "live")
    assert (await site.http.get("/rooms/live/state", headers={"Authorization": f"Bearer {token}"})).status_code == 200
    body = msgspec.json.encode({"webinar_id": "live", "lead_id": 7, "timestamp": 1})
    signed = webhook(body)
    assert await sent(site, "client_webinar_entered", body, signed) == (200, "")
    async with site.socket("attendee", "live", token=token):
        held = await kept(site)
    assert b"client_webinar_entered" in held
    secrets = (token, TOKEN_SECRET, HOOK_SECRET, HOOK_SECRET[6:], signed["webhook-signature"][3:], "scraper")
    assert [secret for secret in secrets if secret.encode() in held] == []
