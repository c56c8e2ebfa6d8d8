"""Authentication: the Actor of a bearer token (RFC 7519), or of a request that the site signed (Standard Webhooks).

Secrets are compared in constant time. Nothing is looked up in Redis, so thousands who reconnect cost it nothing.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from room_server.config import PREFIX, Settings
from room_server.core.messages import MAX_LEAD_ID, Actor, Role
from room_server.core.wire import bearer_token
from room_server.errors import ConfigurationError, Unauthenticated
from room_server.jws import Signatures

WEBHOOK_TOLERANCE = 300
"""Seconds by which a signed request's time may differ from ours (Standard Webhooks)."""
MAX_MOMENT = 2**40
"""Unix seconds of a claim, at most: beyond every use, and still exact as a float."""
KEPT = 1024
"""Verified tokens that are kept at most."""
KEPT_LENGTH = 1024
"""Letters of a token that is kept, at most: with KEPT it bounds the memory, to two megabytes."""
_REQUIRED = ("exp", "sub", "role", "webinar_id")
_PEM = re.compile(r"-----BEGIN .*?-----END [^-]*-----", re.DOTALL)
_LEAD = re.compile(r"[1-9][0-9]{0,15}")
_SCOPE = re.compile(r"\*|[A-Za-z0-9_-]{1,64}")
_ROLES = {role.value: role for role in Role}
_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_SIGNATURES = Signatures()


class _Verified(NamedTuple):
    """Whom a token names, once its signature holds; and `nbf`, Unix seconds."""

    actor: Actor
    not_before: int


class Authenticator:
    """Verifies callers with the keys of the settings. Raises ConfigurationError for keys that cannot be used."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """`clock`: the time of day in Unix seconds, which decides whether a token is valid now."""
        self._clock = clock
        if settings.token_public_key:
            self._keys: list[tuple[list[str], Any]] = _public_keys(settings.token_public_key)
        else:
            self._keys = [(["HS256"], _secret(one)) for one in settings.token_secrets()]
        self._hook_secrets = settings.hook_secrets()
        self._known: OrderedDict[str, _Verified] = OrderedDict()
        """What `bearer` verified, by the token's text; the one that came longest ago is dropped first."""

    def token(self, token: str) -> Actor:
        """The actor of a JWT, by the first key that verifies it. Raises Unauthenticated, with what is wrong with it."""
        return _current_actor(self._verify(token), self._clock())

    def _verify(self, token: str) -> _Verified:
        reason = "no token secret is configured"
        for algorithms, key in self._keys:
            try:
                claims = _claims(_SIGNATURES.decode(token, key, algorithms))
                return _Verified(actor(claims), _moment(claims, "nbf", 0))
            except jwt.InvalidSignatureError:
                reason = "the token's signature does not hold"
            except jwt.InvalidAlgorithmError as error:
                reason = f"the token cannot be accepted: {error}"
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
                raise Unauthenticated(f"the token cannot be accepted: {error}") from None
        raise Unauthenticated(reason)

    def bearer(self, headers: Mapping[str, str]) -> Actor:
        """The actor of an `Authorization: Bearer` header. Raises Unauthenticated.

        Requests repeat their token, so what was verified is kept; only the time is checked again. A handshake comes
        once, and thousands of them must not displace the site's token: `token` keeps nothing.
        """
        token = bearer_token(headers.get("authorization", ""))
        if not token:
            raise Unauthenticated("send a token as `Authorization: Bearer <token>`")
        verified = self._known.pop(token, None) or self._verify(token)
        found = _current_actor(verified, self._clock())
        if len(token) <= KEPT_LENGTH:
            self._known[token] = verified
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def signed(self, headers: Mapping[str, str], body: bytes) -> Actor:
        """The site's backend, if one of the signatures over id, time and body is valid. Raises Unauthenticated."""
        identity, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        self.check_signed_head(headers)
        content = f"{identity}.{stamp}.".encode("latin-1") + body
        expected = [_signature(secret, content) for secret in self._hook_secrets]
        given = [one[3:].encode("latin-1") for one in headers["webhook-signature"].split() if one.startswith("v1,")]
        if not any(hmac.compare_digest(*pair) for pair in product(expected, given)):
            raise Unauthenticated("no signature of this request holds")
        return Actor(role=Role.SYSTEM, subject="webhook")

    def check_signed_head(self, headers: Mapping[str, str]) -> None:
        """Check what needs no body, so that it is refused before the body is read. Raises Unauthenticated."""
        if not self._hook_secrets:
            raise Unauthenticated("signed requests are not accepted: no hook secret is configured")
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if not headers.get(name):
                raise Unauthenticated(f"the header {name} is missing")
        stamp = headers["webhook-timestamp"]
        if not re.fullmatch(r"[0-9]{1,12}", stamp):
            raise Unauthenticated("webhook-timestamp is not a time in Unix seconds")
        if abs(time.time() - int(stamp)) > WEBHOOK_TOLERANCE:
            raise Unauthenticated(f"webhook-timestamp is more than {WEBHOOK_TOLERANCE} seconds off")


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether the request claims to be signed by the site's backend; a token takes precedence."""
    return "authorization" not in headers and "webhook-signature" in headers


def _claims(payload: bytes) -> dict[str, Any]:
    """The claims in a verified payload. Raises ValueError."""
    claims = json.loads(payload.decode())
    if not isinstance(claims, dict):
        raise ValueError("the claims are no object")
    for name in _REQUIRED:
        if name not in claims:
            raise ValueError(f"the claim {name} is missing")
    return claims


def _current_actor(verified: _Verified, now: float) -> Actor:
    """The actor, if `exp` and `nbf` allow it at `now` (RFC 7519, 4.1.4, 4.1.5). Raises Unauthenticated.

    `nbf` has the tolerance of a signed request, since the site's clock may be ahead; `exp` has none.
    """
    found = verified.actor
    if found.expires_at is not None and found.expires_at <= now:
        raise Unauthenticated("the token has expired")
    if verified.not_before > now + WEBHOOK_TOLERANCE:
        raise Unauthenticated("the token cannot be accepted: the claim nbf is in the future")
    return found


def actor(claims: dict[str, Any]) -> Actor:
    """The actor that verified claims name. Raises ValueError, which names the claim."""
    subject, role, scope, name = claims["sub"], claims["role"], claims["webinar_id"], claims.get("name")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError("the claim role names no role")
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise ValueError("the claim webinar_id is no webinar id and not *")
    if not isinstance(subject, str) or not 0 < len(subject) <= 200:
        raise ValueError("the claim sub is no text of 1 to 200 characters")
    lead_id = None
    if role == Role.ATTENDEE:
        if not _LEAD.fullmatch(subject) or int(subject) > MAX_LEAD_ID:
            raise ValueError("an attendee's claim sub is its lead id, a positive integer as text")
        lead_id = int(subject)
    return Actor(
        role=_ROLES[role],
        subject=subject,
        webinar_id=sys.intern(scope),  # thousands of sockets have the same
        lead_id=lead_id,
        name=name.encode(errors="replace").decode()[:200] if isinstance(name, str) else None,
        expires_at=_moment(claims, "exp"),
        read_only=_flag(claims, "read_only"),
    )


def _flag(claims: dict[str, Any], name: str) -> bool:
    """Whether a claim that narrows a token is there. Raises ValueError: a value that is misread would widen it."""
    value = claims.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"the claim {name} is neither true nor false")
    return value


def _moment(claims: dict[str, Any], name: str, absent: int | None = None) -> int:
    """The time in a claim, in whole Unix seconds. Raises ValueError."""
    value = claims.get(name, absent)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MOMENT:
        raise ValueError(f"the claim {name} is no time in Unix seconds")
    return int(value)


def new_subject(role: str) -> str:
    """A random `sub`, so that the holder of the token counts as one person of its own (`Actor.person`)."""
    return f"{role}-{secrets.token_urlsafe(9)}"


def issue(settings: Settings, claims: Mapping[str, Any], seconds: int) -> str:
    """A token with these claims, valid for `seconds`, signed with the first secret.

    Raises ConfigurationError when this server can only verify.
    """
    if settings.token_public_key:
        raise ConfigurationError(f"{PREFIX}TOKEN_PUBLIC_KEY is set: tokens are signed elsewhere, here only verified")
    known = settings.token_secrets()
    if not known:
        raise ConfigurationError(f"{PREFIX}TOKEN_SECRET is not set: there is nothing to sign tokens with")
    now = int(time.time())
    return jwt.encode({**claims, "iat": now, "exp": now + seconds}, known[0], "HS256")


def _public_keys(text: str) -> list[tuple[list[str], Any]]:
    """The keys of TOKEN_PUBLIC_KEY, each with the names of its one algorithm. Raises ConfigurationError."""
    pem = text.replace("\\n", "\n")
    return [_public_key(one) for one in _PEM.findall(pem) or [pem]]


def _public_key(pem: str) -> tuple[list[str], Ed25519PublicKey | RSAPublicKey]:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{PREFIX}TOKEN_PUBLIC_KEY: not a public key in PEM: {error}") from error
    if isinstance(key, Ed25519PublicKey):
        return ["EdDSA", "Ed25519"], key  # the second is its newer name (RFC 9864, 2.2)
    if isinstance(key, RSAPublicKey):
        return ["RS256"], key
    raise ConfigurationError(f"{PREFIX}TOKEN_PUBLIC_KEY: expected an Ed25519 or an RSA key")


def _secret(text: str) -> bytes:
    try:
        return _HS256.prepare_key(text)
    except jwt.InvalidKeyError as error:
        raise ConfigurationError(f"{PREFIX}TOKEN_SECRET: {error}") from None


def _signature(secret: bytes, content: bytes) -> bytes:
    return base64.b64encode(hmac.digest(secret, content, hashlib.sha256))
