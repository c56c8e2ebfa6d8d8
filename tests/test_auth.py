"""Who is calling by a token: every claim missing or wrong, every algorithm that is not the configured one.

Signed requests stand in test_signed.py.
"""

import base64
import json
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.utils import base64url_encode
from starlette.requests import Request

from room_server.api.metrics import check_scraper
from room_server.auth import WEBHOOK_TOLERANCE, Authenticator, issue
from room_server.config import Settings
from room_server.core.messages import Actor, Role
from room_server.errors import ConfigurationError, Unauthenticated
from tests.raw import connecting, request
from tests.support import TOKEN_SECRET, Site

OTHER_SECRET = "another-secret-of-the-tests-that-is-long-enough"
SETTINGS = Settings(token_secret=TOKEN_SECRET)
HOOK = "/hooks/core_webinar_set_status"


def claims(**more: Any) -> dict[str, Any]:
    """Claims that are accepted, with some changed; None takes one away."""
    accepted = {"sub": "42", "role": "attendee", "webinar_id": "w", "exp": int(time.time()) + 60, **more}
    return {name: value for name, value in accepted.items() if value is not None}


def signed(content: dict[str, Any], secret: str = TOKEN_SECRET) -> str:
    return jwt.encode(content, secret, "HS256")


def encoded(header: dict[str, Any], payload: bytes, secret: str = TOKEN_SECRET) -> str:
    """A token whose parts no library would write, with a signature that holds."""
    content = base64url_encode(json.dumps(header).encode()) + b"." + base64url_encode(payload)
    algorithm = jwt.get_algorithm_by_name("HS256")
    return (content + b"." + base64url_encode(algorithm.sign(content, secret.encode()))).decode()


def refused(token: str, settings: Settings = SETTINGS) -> str:
    """The reason why a token is refused."""
    with pytest.raises(Unauthenticated) as refusal:
        Authenticator(settings).token(token)
    return refusal.value.detail


def test_a_token_names_the_caller() -> None:
    exp = int(time.time()) + 60
    token = signed(claims(exp=exp, name="Анна", nbf=exp - 120, iat=exp - 120))
    expected = Actor(role=Role.ATTENDEE, subject="42", webinar_id="w", lead_id=42, name="Анна", expires_at=exp)
    assert expected == Authenticator(SETTINGS).token(token)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ATTENDEE])
def test_only_an_attendee_is_a_lead(role: Role) -> None:
    actor = Authenticator(SETTINGS).token(signed(claims(sub="42", role=role, webinar_id="*")))
    assert (role, "42", "*", None) == (actor.role, actor.subject, actor.webinar_id, actor.lead_id)


@pytest.mark.parametrize(
    ("more", "expected"), [({}, False), ({"read_only": False}, False), ({"read_only": True}, True)]
)
def test_a_token_may_be_for_reading_only(more: dict[str, Any], expected: bool) -> None:
    assert expected is Authenticator(SETTINGS).token(signed(claims(**more))).read_only


@pytest.mark.parametrize("name", ["sub", "role", "webinar_id", "exp"])
def test_a_claim_that_is_missing_is_named(name: str) -> None:
    assert name in refused(signed(claims(**{name: None})))


def each(name: str, *values: Any) -> list[dict[str, Any]]:
    """The claim with each of these values."""
    return [{name: value} for value in values]


WRONG = [
    *each("role", "", "Attendee", "admin", "attendee ", 5, ["attendee"], {}, True),
    *each("webinar_id", "", "a b", "a" * 65, "w\n", "**", "вебинар", 5, ["w"], True),
    *each("sub", "", "0", "-1", "+1", "01", "1.0", "1e3", "x", " 1", "1\n", "٤٢", str(2**53), "9" * 999),
    *each("sub", 42, 42.0, True, ["42"], {}),
    {"sub": "s" * 201, "role": "speaker"},
    {"sub": "", "role": "speaker"},
    *each("exp", "9999999999", "soon", [], {}, True, -1, 2**40 + 1, 10**400, 1e300),
    *each("nbf", "0", "soon", [], True, -1, 1e300),
    *each("read_only", "true", "", 1, 0, [], {}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_claim_that_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    assert refused(signed(claims(**wrong)))


@pytest.mark.parametrize("exp", [b"Infinity", b"-Infinity", b"NaN", b"1e400", b"1" + b"0" * 5000])
@pytest.mark.parametrize("name", [b"exp", b"nbf"])
def test_a_time_that_is_no_number_is_refused(name: bytes, exp: bytes) -> None:
    payload = json.dumps(claims()).encode()[:-1] + b',"' + name + b'":' + exp + b"}"
    assert refused(encoded({"alg": "HS256"}, payload))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"5", b"{", b"\xff", b"[" * 9000])
def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    assert refused(encoded({"alg": "HS256"}, payload))


def test_an_expiry_in_fractions_of_a_second_counts_in_whole_ones() -> None:
    exp = int(time.time()) + 60
    assert exp == Authenticator(SETTINGS).token(signed(claims(exp=exp + 0.9))).expires_at


def test_an_expiry_has_no_leeway_and_a_beginning_has_that_of_a_signed_request() -> None:
    now = int(time.time())
    assert refused(signed(claims(exp=now))) == "the token has expired"
    assert Authenticator(SETTINGS).token(signed(claims(nbf=now + WEBHOOK_TOLERANCE - 60))).role == "attendee"
    assert "nbf" in refused(signed(claims(nbf=now + WEBHOOK_TOLERANCE + 60)))


@pytest.mark.parametrize("name", [None, 5, ["Anna"], True])
def test_a_name_that_is_no_text_is_none(name: Any) -> None:
    assert Authenticator(SETTINGS).token(signed({**claims(), "name": name})).name is None


def test_a_name_can_always_be_stored() -> None:
    assert Authenticator(SETTINGS).token(signed(claims(name="A\ud800" + "b" * 500))).name == "A?" + "b" * 198


def test_the_second_secret_verifies_and_the_first_signs() -> None:
    rotating = Settings(token_secret=f"{OTHER_SECRET} {TOKEN_SECRET}")
    assert Authenticator(rotating).token(signed(claims())).lead_id == 42
    issued = issue(rotating, {"sub": "42", "role": "attendee", "webinar_id": "w"}, 60)
    assert Authenticator(Settings(token_secret=OTHER_SECRET)).token(issued).lead_id == 42
    assert refused(issued) == "the token's signature does not hold"
    assert refused(signed(claims(exp=1)), rotating) == "the token has expired"


@pytest.mark.parametrize("secret", ["ssh-rsa-AAAA", '{"kty":"oct"}'])
def test_a_secret_that_is_something_else_is_found_out_at_the_start(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="TOKEN_SECRET"):
        Authenticator(Settings(token_secret=secret))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "x" * 5000, "é.é.é", "\ud800", f"{'e30.' * 3}"])
def test_rubbish_is_no_token(token: str) -> None:
    assert refused(token)


def test_without_a_secret_no_token_is_accepted() -> None:
    assert refused(signed(claims()), Settings()) == "no token secret is configured"


def test_a_changed_token_is_refused() -> None:
    head, _, signature = signed(claims()).split(".")
    other = signed(claims(role="organizer"), OTHER_SECRET).split(".")[1]
    assert refused(f"{head}.{other}.{signature}") == "the token's signature does not hold"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512", "ES256", "RS256", "EdDSA", "Ed25519", ""])
def test_only_the_configured_algorithm_is_accepted(algorithm: str) -> None:
    payload = json.dumps(claims()).encode()
    assert refused(encoded({"alg": algorithm, "typ": "JWT"}, payload))


def test_an_unsigned_token_is_refused() -> None:
    assert refused(jwt.encode(claims(), None, "none"))  # type: ignore[arg-type]


def test_an_extension_that_must_be_understood_is_refused() -> None:
    """RFC 7515, 4.1.11."""
    payload = json.dumps(claims()).encode()
    assert refused(encoded({"alg": "HS256", "crit": ["rooms"], "rooms": 1}, payload))


def keys_of_others(address: str) -> list[dict[str, Any]]:
    """Header parameters that name a key, or where to fetch one (RFC 7515, 4.1.2 to 4.1.8)."""
    own = {"kty": "oct", "k": base64url_encode(OTHER_SECRET.encode()).decode()}
    files = [{"kid": kid} for kid in ("../../dev/null", "' OR 1=1", "0", "")]
    return [*files, {"jwk": own}, {"jku": address}, {"x5u": address}, {"x5c": ["AAAA"]}, {"jwk": own, "jku": address}]


def test_a_token_does_not_choose_its_key() -> None:
    """Nothing is fetched, and what is signed by the key that the token brings along is not accepted."""
    payload = json.dumps(claims()).encode()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
        for named in keys_of_others(address):
            header = {"alg": "HS256", **named}
            assert refused(encoded(header, payload, OTHER_SECRET)) == "the token's signature does not hold", named
            assert Authenticator(SETTINGS).token(encoded(header, payload)).lead_id == 42, named
        with pytest.raises(BlockingIOError):
            listening.accept()


def called(check: Callable[[], object]) -> set[str]:
    """The C functions that run in `check`."""
    seen: set[str] = set()

    def watch(_: Any, event: str, function: Any) -> None:
        if event == "c_call":
            seen.add(function.__name__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        check()
    finally:
        sys.setprofile(before)
    return seen


def is_refused(check: Callable[[], object]) -> None:
    with pytest.raises(Unauthenticated):
        check()


def test_secrets_are_compared_in_constant_time() -> None:
    """Seen while a guess is refused that has the right length, and everything right but its last letter."""
    token, other = signed(claims()), signed(claims(), OTHER_SECRET)
    guess = token.rpartition(".")[0] + "." + other.rpartition(".")[2]
    body, secret = b"{}", "whsec_" + base64.b64encode(b"a" * 32).decode()
    named = {"webhook-id": "1", "webhook-timestamp": str(int(time.time())), "webhook-signature": f"v1,{'A' * 43}="}
    scraper = Request({"type": "http", "headers": [(b"authorization", b"Bearer scrapes")]})
    for check in (
        lambda: Authenticator(SETTINGS).token(guess),
        lambda: Authenticator(Settings(hook_secret=secret)).signed(named, body),
        lambda: check_scraper(scraper, "scraper"),
    ):
        assert "compare_digest" in called(partial(is_refused, check))


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


def public_pem(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


KEYS = [(RSA, "RS256"), (ED25519, "EdDSA")]


@pytest.mark.parametrize(("key", "algorithm"), KEYS, ids=["RS256", "EdDSA"])
@pytest.mark.parametrize("newline", ["\n", "\\n"])
def test_a_public_key_verifies_what_its_owner_signed(key: Any, algorithm: str, newline: str) -> None:
    verifying = Settings(token_public_key=public_pem(key).replace("\n", newline))
    assert Authenticator(verifying).token(jwt.encode(claims(), private_pem(key), algorithm)).lead_id == 42


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
def test_a_token_may_have_either_name_of_its_algorithm(algorithm: str) -> None:
    """RFC 9864, 2.2: `EdDSA` is the older name."""
    payload = json.dumps(claims()).encode()
    signed = jwt.PyJWS()
    signed.register_algorithm("Ed25519", jwt.get_algorithm_by_name("EdDSA"))
    token = signed.encode(payload, ED25519, algorithm)

    assert Authenticator(Settings(token_public_key=public_pem(ED25519))).token(token).lead_id == 42
    assert "signature" in refused(token, Settings(token_public_key=public_pem(ed25519.Ed25519PrivateKey.generate())))
    assert refused(token, Settings(token_public_key=public_pem(RSA)))
    assert refused(token)


@pytest.mark.parametrize(("key", "algorithm"), KEYS, ids=["RS256", "EdDSA"])
def test_a_public_key_is_no_secret(key: Any, algorithm: str) -> None:
    """The confusion of algorithms: what everybody may know signs an HS256 token."""
    pem = public_pem(key)
    verifying = Settings(token_public_key=pem, token_secret=TOKEN_SECRET)
    payload = json.dumps(claims()).encode()
    for secret in (pem, pem.strip(), TOKEN_SECRET):
        for named in ("HS256", algorithm):
            assert refused(encoded({"alg": named}, payload, secret), verifying)


@pytest.mark.parametrize("between", ["", "\n", "\\n", " "])
def test_several_public_keys_verify_while_they_are_rotated(between: str) -> None:
    rotating = Settings(token_public_key=between.join([public_pem(RSA), public_pem(ED25519)]))
    for key, algorithm in KEYS:
        assert Authenticator(rotating).token(jwt.encode(claims(), private_pem(key), algorithm)).lead_id == 42
    assert refused(jwt.encode(claims(), private_pem(ed25519.Ed25519PrivateKey.generate()), "EdDSA"), rotating)
    assert refused(jwt.encode(claims(), private_pem(RSA), "PS256"), rotating)
    assert refused(encoded({"alg": "HS256"}, json.dumps(claims()).encode(), public_pem(RSA)), rotating)


def test_of_several_public_keys_each_must_be_one() -> None:
    broken = public_pem(RSA) + "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
    with pytest.raises(ConfigurationError, match="ROOM_SERVER_TOKEN_PUBLIC_KEY"):
        Authenticator(Settings(token_public_key=broken))


def test_one_kind_of_key_does_not_verify_another_kind_of_token() -> None:
    assert refused(jwt.encode(claims(), private_pem(RSA), "RS256"), Settings(token_public_key=public_pem(ED25519)))
    assert refused(jwt.encode(claims(), private_pem(RSA), "PS256"), Settings(token_public_key=public_pem(RSA)))
    assert refused(jwt.encode(claims(), private_pem(RSA), "RS512"), Settings(token_public_key=public_pem(RSA)))


@pytest.mark.parametrize("pem", ["rubbish", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "é"])
def test_a_key_that_cannot_be_read_is_named(pem: str) -> None:
    with pytest.raises(ConfigurationError, match="ROOM_SERVER_TOKEN_PUBLIC_KEY"):
        Authenticator(Settings(token_public_key=pem))


def test_a_key_of_another_kind_is_named() -> None:
    with pytest.raises(ConfigurationError, match="expected an Ed25519 or an RSA key"):
        Authenticator(Settings(token_public_key=public_pem(ec.generate_private_key(ec.SECP256R1()))))


@pytest.mark.parametrize("settings", [Settings(token_public_key=public_pem(RSA)), Settings()], ids=["public", "none"])
def test_without_a_secret_nothing_is_signed(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="ROOM_SERVER_TOKEN_"):
        issue(settings, {"sub": "42", "role": "attendee", "webinar_id": "w"}, 60)


AUTHORIZATIONS = ["", "Bearer", "Basic dTpw", "bearer x", "Bearer é", "Token {}", "{}", "Bearer {} x"]


async def test_a_caller_without_a_good_token_is_not_known(site: Site) -> None:
    token = site.token()
    for authorization in AUTHORIZATIONS:
        headers = {b"Authorization": authorization.format(token).encode("latin-1")}
        answer = await site.http.post(HOOK, content=b"{}", headers=headers)
        expected = (401, "unauthenticated", 'Bearer realm="room"')
        assert expected == (answer.status_code, answer.json()["code"], answer.headers["www-authenticate"])
        assert token not in answer.text


async def test_the_scheme_bearer_may_be_written_in_any_case(site: Site) -> None:
    answer = await site.http.post(HOOK, content=b"", headers={"Authorization": f"bEARER  {site.token()}"})
    assert answer.json()["code"] == "malformed_body"


async def test_two_authorization_headers_make_one_caller(site: Site) -> None:
    async with connecting(site) as raw:
        lines = request(site, HOOK, "POST", {"Authorization": "Bearer x", "Content-Length": "2"})
        extra = f"\r\nAuthorization: Bearer {site.token()}\r\n\r\n".encode()
        await raw.send(lines.removesuffix(b"\r\n\r\n") + extra + b"{}")
        assert (await raw.answer()).status == 401
