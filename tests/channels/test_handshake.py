"""What a handshake is refused for: plain HTTP answers, in their order; only admitted sockets are counted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from room_server.channels.handshake import Admission, Handshake
from room_server.channels.hub import Hub
from room_server.channels.keepalive import TimerWheel
from room_server.core.messages import Actor, Role
from room_server.core.room import Status
from room_server.errors import Refusal, Unknown
from room_server.protocols.upgrade import MAX_REQUEST_HEAD
from tests.raw import Answer, connecting, handshake, in_room, upgrade
from tests.support import Site, next_state, room, serving, settings_for, transactions, wait_until

SOCKET = "/rooms/w/socket"


@pytest.fixture
async def unlimited_site(valkey_url: str) -> AsyncIterator[Site]:
    """A site without a limit on the sockets of a person."""
    async with serving(settings_for(valkey_url, max_sockets_per_person=0)) as site:
        await site.transactions.create(room())
        yield site


async def answered(site: Site, path: str = SOCKET, **headers: str) -> Answer:
    """The answer to a handshake with these headers; underscores stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with connecting(site) as raw:
        await raw.send(upgrade(site, path, named))
        answer = await raw.answer()
        if answer.status != 101:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["connection"] == "close"
            assert await raw.rest() == b""
    return answer


async def refused(site: Site, path: str = SOCKET, **headers: str) -> tuple[int, str]:
    """Status and code of a handshake that is refused."""
    answer = await answered(site, path, **headers)
    return answer.status, answer.code


def bearer(site: Site, role: str = "attendee", scope: str = "w", **claims: Any) -> str:
    return f"Bearer {site.token(role, scope, **claims)}"


async def test_each_refusal_is_a_plain_http_answer(unlimited_site: Site) -> None:
    site, before = unlimited_site, await unlimited_site.everything()
    good, odd = bearer(site), bearer(site, scope="*")
    answers = {
        "no such address": await refused(site, "/rooms/w/sockets", Authorization=good),
        "no such address either": await refused(site, "/", Authorization=good),
        "a slash too many": await refused(site, "/rooms/w/x/socket", Authorization=good),
        "no subprotocol": await refused(site, Authorization=good, Sec_WebSocket_Protocol=""),
        "another subprotocol": await refused(site, Authorization=good, Sec_WebSocket_Protocol="chat, room.v2"),
        "no token": await refused(site),
        "no good token": await refused(site, Authorization="Bearer x"),
        "another scheme": await refused(site, Authorization="Basic dTpw"),
        "an expired token": await refused(site, Authorization=bearer(site, ttl=-1)),
        "a guest": await refused(site, Authorization=bearer(site, "guest")),
        "a monitor": await refused(site, Authorization=bearer(site, "monitor")),
        "another webinar's token": await refused(site, Authorization=bearer(site, scope="other")),
        "no such webinar": await refused(site, "/rooms/nowhere/socket", Authorization=odd),
        "no webinar's id": await refused(site, "/rooms/%20%00/socket", Authorization=odd),
        "no key": await refused(site, Authorization=good, Sec_WebSocket_Key=""),
        "a short key": await refused(site, Authorization=good, Sec_WebSocket_Key="AAAA"),
        "another version": await refused(site, Authorization=good, Sec_WebSocket_Version="8"),
    }
    assert answers == {
        "no such address": (404, "not_found"),
        "no such address either": (404, "not_found"),
        "a slash too many": (404, "not_found"),
        "no subprotocol": (400, "subprotocol_unsupported"),
        "another subprotocol": (400, "subprotocol_unsupported"),
        "no token": (401, "unauthenticated"),
        "no good token": (401, "unauthenticated"),
        "another scheme": (401, "unauthenticated"),
        "an expired token": (401, "unauthenticated"),
        "a guest": (403, "forbidden_role"),
        "a monitor": (403, "forbidden_role"),
        "another webinar's token": (403, "forbidden_webinar"),
        "no such webinar": (404, "webinar_unknown"),
        "no webinar's id": (404, "webinar_unknown"),
        "no key": (400, "malformed_request"),
        "a short key": (400, "malformed_request"),
        "another version": (400, "malformed_request"),
    }
    assert await site.everything() == before
    admission: Admission = site.inside.admission
    await wait_until(lambda: not admission.total, "no socket is counted")
    assert (admission.persons, site.inside.hub.groups) == ({}, {})


async def test_a_handshake_with_too_large_headers_or_a_body_is_refused(unlimited_site: Site) -> None:
    many = {f"X{number}": "x" * 60 for number in range(300)}
    long = {"X": "x" * MAX_REQUEST_HEAD}
    body = [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}]
    attempts = [
        await refused(unlimited_site, Authorization=bearer(unlimited_site), **headers)
        for headers in (many, long, *body)
    ]
    assert attempts == [(431, "head_too_large")] * 2 + [(400, "malformed_request")] * 2


async def test_a_handshake_may_carry_as_many_cookies_as_a_page(unlimited_site: Site) -> None:
    """A site on the parent domain sets them: browsers send all of them here, too."""
    good = {"Authorization": bearer(unlimited_site), "Cookie": ""}
    room_left = MAX_REQUEST_HEAD - len(upgrade(unlimited_site, SOCKET, {**good, "Cookie": "c"})) + 1
    for size in (8000, 15_000, room_left):
        whole = upgrade(unlimited_site, SOCKET, {**good, "Cookie": "c" * size})
        for pieces in ([whole], [whole[:5000], whole[5000:]]):
            async with connecting(unlimited_site) as raw:
                await raw.send(*pieces)
                assert (await raw.answer()).status == 101, size
    assert len(whole) == MAX_REQUEST_HEAD


async def test_a_refusal_without_a_token_names_the_scheme(unlimited_site: Site) -> None:
    assert (await answered(unlimited_site)).headers["www-authenticate"] == 'Bearer realm="room"'


async def test_a_handshake_by_another_method_is_refused(unlimited_site: Site) -> None:
    async with connecting(unlimited_site) as raw:
        await raw.send(handshake(unlimited_site).replace(b"GET ", b"POST ", 1))
        assert (await raw.answer()).status == 405


async def test_the_refusals_have_an_order(unlimited_site: Site) -> None:
    """Address, origin, subprotocol, token, role, webinar."""
    evil, none = "https://evil.example", ""
    attempts = [
        (await refused(unlimited_site, "/x", Origin=evil, Sec_WebSocket_Protocol=none))[1],
        (await refused(unlimited_site, Origin=evil, Sec_WebSocket_Protocol=none))[1],
        (await refused(unlimited_site, Sec_WebSocket_Protocol=none))[1],
        (await refused(unlimited_site, Sec_WebSocket_Key=none))[1],
        (await refused(unlimited_site, Authorization=bearer(unlimited_site, "guest", "other")))[1],
        (await refused(unlimited_site, "/rooms/nowhere/socket", Authorization=bearer(unlimited_site)))[1],
    ]
    assert attempts == [
        "not_found",
        "forbidden_origin",
        "subprotocol_unsupported",
        "unauthenticated",
        "forbidden_role",
        "forbidden_webinar",
    ]


async def test_a_browsers_token_is_a_second_subprotocol_and_is_not_sent_back(unlimited_site: Site) -> None:
    token = unlimited_site.token("attendee")
    for offered in (
        f"room.v1, room.bearer.{token}",
        f"room.bearer.{token},room.v1",
        f"chat,room.bearer.{token} , room.v1",
    ):
        answer = await answered(unlimited_site, Sec_WebSocket_Protocol=offered.format(token))
        assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "room.v1")


async def test_a_token_in_the_subprotocol_goes_before_the_header(unlimited_site: Site) -> None:
    offered = "room.v1, room.bearer.x"
    good = bearer(unlimited_site)
    assert await refused(unlimited_site, Sec_WebSocket_Protocol=offered, Authorization=good) == (401, "unauthenticated")


async def test_no_extension_is_agreed_on(unlimited_site: Site) -> None:
    headers = {
        "Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits",
        "Authorization": bearer(unlimited_site),
    }
    answer = await answered(unlimited_site, **headers)
    assert (answer.status, answer.headers.get("sec-websocket-extensions")) == (101, None)


async def test_a_query_is_ignored(unlimited_site: Site) -> None:
    assert (await answered(unlimited_site, f"{SOCKET}?token=x", Authorization=bearer(unlimited_site))).status == 101


async def origin(site: Site, *origins: str, host: str = "") -> int:
    """The status of a handshake that browsers of these origins would send."""
    headers = {"Authorization": bearer(site), "Host": host or site.address}
    head = upgrade(site, SOCKET, headers).removesuffix(b"\r\n")
    lines = "".join(f"Origin: {value}\r\n" for value in origins).encode("latin-1")
    async with connecting(site) as raw:
        await raw.send(head + lines + b"\r\n")
        return (await raw.answer()).status


async def test_without_allowed_origins_only_the_own_host_is_accepted(unlimited_site: Site) -> None:
    own = unlimited_site.address
    accepted = [
        await origin(unlimited_site),
        await origin(unlimited_site, f"http://{own}"),
        await origin(unlimited_site, f"https://{own}"),
        await origin(unlimited_site, f"HTTP://{own.upper()}"),
        await origin(unlimited_site, "https://example.com", host="example.com"),
        await origin(unlimited_site, "https://example.com", host="EXAMPLE.com:443"),
        await origin(unlimited_site, "http://example.com", host="example.com:80"),
        await origin(unlimited_site, "http://[::1]:8000", host="[::1]:8000"),
    ]
    assert accepted == [101] * len(accepted)
    others = ["null", "", "http://", "https://evil.example", f"http://evil.{own}", f"http://{own}.evil.example", own,
              f"http://{own}/", f"http://evil@{own}", f"ftp://{own}", f"file://{own}", "http://127.0.0.1",
              "http://[", "http://[::1", "\xff\xfe", "https://example.com:443\x85"]  # fmt: skip
    statuses = {other: await origin(unlimited_site, other) for other in others}
    assert statuses == dict.fromkeys(others, 403)
    assert await origin(unlimited_site, f"http://{own}", f"http://{own}") == 403
    assert await origin(unlimited_site, "http://example.com", host="example.com:443") == 403


async def test_an_allowed_origin_may_open_sockets_and_so_may_the_own_host(valkey_url: str) -> None:
    allowed = "https://Site.example/ http://localhost:3000"
    async with serving(settings_for(valkey_url, allowed_origins=allowed)) as site:
        await site.transactions.create(room())
        asked = ["https://site.example", "http://localhost:3000", f"http://{site.address}", "http://site.example",
                 "https://other.example"]  # fmt: skip
        assert [await origin(site, one) for one in asked] == [101, 101, 101, 403, 403]


async def test_the_sockets_of_a_process_are_limited(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_sockets=2)) as site:
        await site.transactions.create(room())
        async with in_room(site, sub="1"), in_room(site, sub="2"):
            answer = await answered(site, Authorization=bearer(site, sub="3"))
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_sockets", "5")
            assert (await answered(site, Authorization="Bearer x")).status == 401
        await wait_until(lambda: not site.inside.admission.total, "both are closed")
        assert (await answered(site, Authorization=bearer(site, sub="3"))).status == 101


async def test_the_sockets_of_a_person_are_limited_whatever_the_webinar(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_sockets_per_person=2)) as site:
        for webinar_id in ("w", "v"):
            await site.transactions.create(room(webinar_id))
        async with in_room(site, scope="*"), connecting(site) as raw:
            await raw.send(handshake(site, "v", scope="*"))
            assert (await raw.answer()).status == 101
            answer = await answered(site, Authorization=bearer(site))
            assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_sockets", "5")
            assert (await answered(site, Authorization=bearer(site, sub="43"))).status == 101
            assert (await answered(site, Authorization=bearer(site, "speaker", sub="42"))).status == 101
        await wait_until(lambda: not site.inside.admission.persons, "all are closed")
        assert (await answered(site, Authorization=bearer(site))).status == 101


async def test_handshakes_a_second_are_limited(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_handshakes=1)) as site:
        await site.transactions.create(room())
        async with in_room(site):
            answer = await answered(site, Authorization=bearer(site))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_sockets", "1")


async def test_a_draft_is_unknown_to_an_attendee_and_open_to_the_staff(unlimited_site: Site) -> None:
    await transactions(unlimited_site.store).create(room("draft", status=Status.DRAFT))
    path = "/rooms/draft/socket"
    assert await refused(unlimited_site, path, Authorization=bearer(unlimited_site, scope="draft")) == (
        404,
        "webinar_unknown",
    )
    for role in ("organizer", "speaker", "moderator", "system"):
        async with unlimited_site.socket(role, "draft") as socket:
            assert (await next_state(socket))["status"] == "draft"
            known = await refused(unlimited_site, path, Authorization=bearer(unlimited_site, scope="draft"))
            assert known == (404, "webinar_unknown")
    await wait_until(lambda: not unlimited_site.inside.admission.total, "no socket is counted")
    assert unlimited_site.inside.hub.groups == {}


async def test_a_webinar_in_every_other_status_is_open(unlimited_site: Site) -> None:
    for status in set(Status) - {Status.DRAFT}:
        await transactions(unlimited_site.store).create(room(status.value, status=status))
        async with unlimited_site.socket("attendee", status.value) as socket:
            assert (await next_state(socket))["status"] == status


async def test_a_draining_process_refuses_handaccepted_of_fifty(unlimited_site: Site) -> None:
    unlimited_site.inside.admission.draining = True
    answer = await answered(unlimited_site, Authorization=bearer(unlimited_site))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "draining", "1")


def test_a_person_without_sockets_is_not_remembered(valkey_url: str) -> None:
    admission = Admission(
        settings_for(valkey_url), Hub.__new__(Hub), TimerWheel(), lambda _: Actor(role=Role.SYSTEM, subject="x")
    )
    actors = [Actor(role=Role.ATTENDEE, subject=str(number), lead_id=number) for number in (1, 1, 2)]
    for actor in actors:
        admission.enter(actor)
    assert (admission.total, admission.persons) == (3, {"attendee:1": 2, "attendee:2": 1})
    for actor in actors:
        admission.exit(actor)
    assert (admission.total, admission.persons) == (0, {})


def test_who_is_in_more_places_than_a_person_can_be_is_told_of(
    valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a page cache serves one person's room to everybody."""
    admission = admission_with(valkey_url, max_sockets_per_person=2)
    for person in ("anna", "boris", "anna", "boris"):
        admission.enter(admission.admit(request(authorization=f"Bearer {person}")).actor)
    assert (caplog.records, admission.refused_to_persons) == ([], 0)
    for _ in range(3):
        with pytest.raises(Refusal, match="one person may hold 2 sockets"):
            admission.admit(request(authorization="Bearer anna"))

    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("system:anna holds 2 sockets of this process and wants more")
    assert admission.refused_to_persons == 3


def admission_with(valkey_url: str, **more: int) -> Admission:
    """An admission outside a process, for which every token is a system's for all webinars."""
    settings = settings_for(valkey_url, **more)
    return Admission(settings, Hub.__new__(Hub), TimerWheel(), lambda token: Actor(role=Role.SYSTEM, subject=token))


def request(target: str = SOCKET, **more: str) -> Handshake:
    """A valid handshake, with these headers besides the necessary ones."""
    headers = {
        "host": "example.org",
        "authorization": "Bearer " + "x" * 47,
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "room.v1",
    }
    return Handshake("GET", target, {**headers, **more})


def test_an_address_may_be_written_with_escapes(valkey_url: str) -> None:
    admission = admission_with(valkey_url)
    groups = {
        "/rooms/w/socket": "w",
        "/rooms/w%2D1/socket?x=%2F": "w-1",
        "/%72ooms/%77/socket": "w",
        "/rooms/%FF/socket": "\ufffd",
        "/monitor/socket": "counts:*",
        "/monitor%2Fsocket": "counts:*",
    }
    assert {target: admission.admit(request(target)).group for target in groups} == groups
    with pytest.raises(Unknown):
        admission.admit(request("/rooms/w%2Fv/socket"))


def test_handshakes_a_second_of_one_address_are_limited_if_so_set(valkey_url: str) -> None:
    unlimited, limited = admission_with(valkey_url), admission_with(valkey_url, max_requests_per_address=1)
    assert (unlimited.asks_for_addresses, limited.asks_for_addresses) == (False, True)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert accepted_of_fifty(unlimited, address) == 50
        assert 2 <= accepted_of_fifty(limited, address) < 50


def accepted_of_fifty(admission: Admission, address: str) -> int:
    """How many of fifty handshakes from there, one right after the other, are accepted."""
    for accepted in range(50):
        try:
            admission.admit(request(), address)
        except Refusal as refusal:
            return accepted if refusal.code == "too_many_sockets" else -1
    return 50
