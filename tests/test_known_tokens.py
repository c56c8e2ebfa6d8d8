"""A token is verified once for many requests; its time is looked at each time, and what was refused is not kept."""

from functools import partial

from room_server.auth import KEPT, KEPT_LENGTH, WEBHOOK_TOLERANCE, Authenticator
from room_server.core.messages import Actor
from tests.test_auth import OTHER_SECRET, SETTINGS, called, claims, is_refused, signed


def bearing(authenticator: Authenticator, token: str) -> Actor:
    """The actor of a request with this token."""
    return authenticator.bearer({"authorization": f"Bearer {token}"})


def is_verified(authenticator: Authenticator, token: str) -> bool:
    """Whether the signature of a request's token is checked, and not only its time."""
    return "compare_digest" in called(partial(bearing, authenticator, token))


def test_the_signature_of_a_token_is_checked_once_for_many_requests() -> None:
    authenticator, token = Authenticator(SETTINGS), signed(claims())
    first = bearing(authenticator, token)
    assert not is_verified(authenticator, token)
    assert first == bearing(authenticator, token) == authenticator.token(token)
    assert is_verified(Authenticator(SETTINGS), token)
    assert is_verified(authenticator, signed(claims(sub="43")))


def test_a_token_that_is_known_expires() -> None:
    now = [1000.0]
    authenticator, token = Authenticator(SETTINGS, lambda: now[0]), signed(claims(exp=1060))
    for now[0] in (1000.0, 1059.9):
        assert bearing(authenticator, token).expires_at == 1060
    for now[0] in (1060.0, 1061.0):
        is_refused(partial(bearing, authenticator, token))


def test_a_token_that_is_known_has_a_beginning_when_the_clock_is_set_back() -> None:
    now = [1000.0]
    authenticator, token = Authenticator(SETTINGS, lambda: now[0]), signed(claims(nbf=1000))
    assert bearing(authenticator, token).lead_id == 42
    now[0] = 999.0 - WEBHOOK_TOLERANCE
    is_refused(partial(bearing, authenticator, token))


def test_what_is_refused_is_refused_again() -> None:
    authenticator = Authenticator(SETTINGS)
    for wrong in (signed(claims(), OTHER_SECRET), signed(claims(exp=1)), signed(claims(role="king"))):
        for _ in range(2):
            assert "compare_digest" in called(partial(is_refused, partial(bearing, authenticator, wrong)))


def test_another_signature_under_a_known_token_is_refused() -> None:
    authenticator, token = Authenticator(SETTINGS), signed(claims())
    assert bearing(authenticator, token).lead_id == 42
    is_refused(partial(bearing, authenticator, token[:-2]))
    is_refused(partial(bearing, authenticator, token.rpartition(".")[0] + "." + signed(claims(sub="1")).split(".")[2]))


def test_so_many_tokens_are_known_and_the_one_that_comes_all_the_time_is_among_them() -> None:
    authenticator, of_the_site, oldest = Authenticator(SETTINGS), signed(claims()), signed(claims(iat=0))
    for number in range(KEPT):
        bearing(authenticator, signed(claims(iat=number)))
        assert is_verified(authenticator, of_the_site) == (number == 0)
    assert is_verified(authenticator, oldest)


def test_a_handshake_displaces_no_token_and_a_long_one_is_not_kept() -> None:
    authenticator, token, long = Authenticator(SETTINGS), signed(claims()), signed(claims(more="x" * KEPT_LENGTH))
    bearing(authenticator, token)
    for number in range(KEPT):
        authenticator.token(signed(claims(iat=number)))
    assert not is_verified(authenticator, token)
    assert is_verified(authenticator, long)
    assert is_verified(authenticator, long)
