"""Requests that the site's backend signed (Standard Webhooks): an independent signer, tampering, clocks, repeats."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook

from room_server import auth
from room_server.auth import WEBHOOK_TOLERANCE, Authenticator
from room_server.config import Settings
from room_server.core.messages import Actor, Role
from room_server.errors import Unauthenticated
from tests.support import HOOK_SECRET, Site, room, serving, settings_for

OTHER_HOOK_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
SETTINGS = Settings(hook_secret=HOOK_SECRET)
ENTERING = b'{"webinar_id":"w","lead_id":7,"timestamp":1}'


def webhook(body: bytes, secret: str = HOOK_SECRET, at: datetime | None = None, **more: Any) -> dict[str, str]:
    """The headers that the independent signer makes."""
    at = at or datetime.now(UTC)
    identity = more.get("identity", "msg_1")
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, at, body.decode()),
    }


Headers = Mapping[str, str | bytes]


async def entering(site: Site, headers: Headers, body: bytes = ENTERING) -> tuple[int, dict[str, Any]]:
    """What a signed entering is answered."""
    named = [(name.encode(), _bytes(value)) for name, value in headers.items()]
    answer = await site.http.post("/hooks/client_webinar_entered", content=body, headers=named)
    return answer.status_code, answer.json()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


async def live(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")


async def test_what_the_site_signed_is_the_systems(site: Site) -> None:
    await live(site)
    assert await entering(site, webhook(ENTERING)) == (200, {"webinar_id": "w", "duplicate": False, "lead_id": 7})


async def test_what_was_signed_and_changed_is_refused(site: Site) -> None:
    await live(site)
    before = await site.everything()
    good = webhook(ENTERING)
    tampered = ENTERING.replace(b"7", b"8")
    attempts = [
        (tampered, good),
        (ENTERING + b" ", good),
        (ENTERING, {**good, "webhook-id": "msg_2"}),
        (ENTERING, {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}),
        (ENTERING, webhook(ENTERING, OTHER_HOOK_SECRET)),
    ]
    answers = [await entering(site, headers, body) for body, headers in attempts]
    assert [(code, body["detail"]) for code, body in answers] == [(401, "no signature of this request holds")] * 5
    assert before == await site.everything()


SIGNATURES: list[str | bytes] = [
    "v1",
    "v1,",
    "v1,%%%",
    "v1,é".encode(),
    "v1,é".encode("latin-1"),
    b"v1,\xff\xfe \xa0\x85",
    b"\xff",
    "v2,{0}",
    "v1a,{0}",
    "{0}",
    "v1,{0}=",
    "v1,=" * 500,
    "V1,{0}",
]


async def test_a_signature_that_is_rubbish_is_refused(site: Site) -> None:
    good = webhook(ENTERING)
    signature = good["webhook-signature"].removeprefix("v1,")
    for rubbish in SIGNATURES:
        given = rubbish if isinstance(rubbish, bytes) else rubbish.format(signature)
        headers: Headers = {**good, "webhook-signature": given}
        status, problem = await entering(site, headers)
        assert (status, problem["code"]) == (401, "unauthenticated"), rubbish


async def test_one_good_signature_among_others_is_enough(site: Site) -> None:
    await live(site)
    good = webhook(ENTERING)
    several = f"v1a,AAAA v1,AAAA {good['webhook-signature']} v2,AAAA"
    assert (await entering(site, {**good, "webhook-signature": several}))[0] == 200


async def test_bytes_that_are_no_ascii_may_be_signed(site: Site) -> None:
    """Headers are bytes to the signer too."""
    await live(site)
    identity = b"msg_\xd0\xb8"
    stamp = str(int(time.time())).encode()
    signature = base64.b64encode(_hmac(identity + b"." + stamp + b"." + ENTERING)).decode()
    headers: Headers = {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    assert (await entering(site, headers))[0] == 200


def _hmac(content: bytes) -> bytes:
    return hmac.digest(base64.b64decode(HOOK_SECRET.removeprefix("whsec_")), content, hashlib.sha256)


@pytest.mark.parametrize("seconds", [-WEBHOOK_TOLERANCE - 2, WEBHOOK_TOLERANCE + 2, -(10**9), 10**9])
def test_a_request_that_is_signed_for_another_time_is_refused(seconds: int) -> None:
    headers = webhook(ENTERING, at=datetime.now(UTC) + timedelta(seconds=seconds))
    with pytest.raises(Unauthenticated, match="more than 300 seconds off"):
        Authenticator(SETTINGS).signed(headers, ENTERING)


@pytest.mark.parametrize("seconds", [-WEBHOOK_TOLERANCE + 5, WEBHOOK_TOLERANCE - 5])
def test_a_clock_may_be_five_minutes_off(seconds: int) -> None:
    headers = webhook(ENTERING, at=datetime.now(UTC) + timedelta(seconds=seconds))
    assert Actor(role=Role.SYSTEM, subject="webhook") == Authenticator(SETTINGS).signed(headers, ENTERING)


@pytest.mark.parametrize("stamp", ["now", "1.5", "-5", "1e9", "٤٢", "1" * 13, "0x1", " "])
def test_a_timestamp_is_unix_seconds(stamp: str) -> None:
    with pytest.raises(Unauthenticated, match="webhook-timestamp"):
        Authenticator(SETTINGS).signed({**webhook(ENTERING), "webhook-timestamp": stamp}, ENTERING)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(name: str) -> None:
    headers = {key: value for key, value in webhook(ENTERING).items() if key != name}
    with pytest.raises(Unauthenticated, match=f"the header {name} is missing"):
        Authenticator(SETTINGS).signed(headers, ENTERING)


def test_both_secrets_verify_while_they_are_rotated() -> None:
    rotating = Authenticator(Settings(hook_secret=f"{OTHER_HOOK_SECRET} {HOOK_SECRET}"))
    for secret in (HOOK_SECRET, OTHER_HOOK_SECRET):
        assert Role.SYSTEM is rotating.signed(webhook(ENTERING, secret), ENTERING).role


def test_without_a_hook_secret_no_signature_counts() -> None:
    with pytest.raises(Unauthenticated, match="no hook secret is configured"):
        Authenticator(Settings()).signed(webhook(ENTERING), ENTERING)


def test_a_token_goes_before_a_signature() -> None:
    assert auth.is_signed({"webhook-signature": "v1,"})
    assert not auth.is_signed({"webhook-signature": "v1,", "authorization": "Bearer x"})
    assert not auth.is_signed({"webhook-id": "msg_1"})


async def test_a_repeat_of_a_signed_request_gets_the_first_answer(site: Site) -> None:
    await live(site)
    headers = webhook(ENTERING)
    first = await entering(site, headers)
    await site.status("stop")
    before = await site.everything()
    assert first == await entering(site, headers)
    assert before == await site.everything()
    kept = [await site.raw.ttl(name) for name in before if name.startswith("rs:webhook:")]
    assert [590 < seconds <= 600 for seconds in kept] == [True]


async def test_an_id_that_stood_for_another_request_is_refused(site: Site) -> None:
    await live(site)
    await entering(site, webhook(ENTERING))
    before = await site.everything()
    other, malformed = ENTERING.replace(b"7", b"8"), b"{"
    answers = [await entering(site, webhook(body), body) for body in (other, malformed)]
    elsewhere = await site.http.post("/hooks/client_webinar_completed", content=ENTERING, headers=webhook(ENTERING))
    assert [*(status for status, _ in answers), elsewhere.status_code] == [401, 401, 401]
    assert before == await site.everything()


async def test_a_signed_request_that_was_refused_is_not_remembered(site: Site) -> None:
    await site.transactions.create(room())
    headers = webhook(ENTERING)
    before = await site.everything()
    assert (await entering(site, headers))[1]["code"] == "webinar_not_live"
    assert before == await site.everything()
    await site.status("start")
    assert await entering(site, headers) == (200, {"webinar_id": "w", "duplicate": False, "lead_id": 7})


async def test_a_signed_request_is_checked_in_the_order_of_the_table(site: Site) -> None:
    await live(site)
    large = ENTERING.ljust(20_000)
    late = datetime.now(UTC) - timedelta(hours=1)
    attempts = [
        ("hook_unknown", "client_webinar_left", ENTERING, webhook(ENTERING, OTHER_HOOK_SECRET)),
        ("unauthenticated", "client_webinar_entered", large, webhook(large, at=late)),
        ("unauthenticated", "post_webinar_route", b"{}", webhook(b"{}", OTHER_HOOK_SECRET)),
        ("hook_internal", "post_webinar_route", b"{", webhook(b"{")),
        ("body_too_large", "client_webinar_entered", large, webhook(large)),
        ("malformed_body", "client_webinar_entered", b"{", webhook(b"{")),
        ("invalid_payload", "client_webinar_entered", b"{}", webhook(b"{}")),
        ("forbidden_role", "core_webinar_set_status", stop := b'{"webinar_id":"w","status":"stop"}', webhook(stop)),
    ]
    before = await site.everything()
    for code, name, body, headers in attempts:
        answer = await site.http.post(f"/hooks/{name}", content=body, headers=headers)
        assert code == answer.json()["code"]
    assert before == await site.everything()


async def test_rotated_secrets_of_a_site_verify_over_http(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    rotating = replace(settings, hook_secret=f"{OTHER_HOOK_SECRET} {HOOK_SECRET}")
    async with serving(rotating) as site:
        await live(site)
        answers = [
            await entering(site, webhook(ENTERING, secret, identity=secret[-8:]))
            for secret in (HOOK_SECRET, OTHER_HOOK_SECRET)
        ]
    assert [body["duplicate"] for _, body in answers] == [False, True]
