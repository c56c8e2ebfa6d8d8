"""The quick way to a token's parts decides exactly as PyJWT does."""

import base64
import json
import sys
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_server.jws import Signatures
from tests.support import TOKEN_SECRET

KEY = TOKEN_SECRET.encode()
LETTERS = st.sampled_from(sorted(b"ABab01-_+/=. \n\x00\xff"))


def decided(signatures: type[jwt.PyJWS], segment: bytes) -> bytes | str:
    """What it makes of a part of a token: its bytes, or why it is refused."""
    try:
        return signatures._decode_base64url_segment(segment, "payload")
    except jwt.DecodeError as error:
        return str(error)


def token(**more: Any) -> str:
    return jwt.encode({"sub": "42", **more}, KEY, "HS256")


@given(st.one_of(st.lists(LETTERS).map(bytes), st.binary(max_size=40).map(base64.urlsafe_b64encode)))
def test_a_part_is_taken_or_refused_as_by_the_library(segment: bytes) -> None:
    for one in (segment, segment.rstrip(b"=")):
        assert decided(jwt.PyJWS, one) == decided(Signatures, one)


@pytest.mark.parametrize("length", range(7))
@pytest.mark.parametrize("padding", ["", "=", "==", "==="])
def test_padding_and_bits_left_over_are_judged_as_by_the_library(length: int, padding: str) -> None:
    for last in "AQgwBR_":
        segment = ("A" * length + last + padding).encode()
        assert decided(jwt.PyJWS, segment) == decided(Signatures, segment)


def test_the_work_does_not_grow_with_each_letter() -> None:
    """In calls of Python functions: PyJWT's own way makes one for each letter."""
    calls = [0]

    def count(_: Any, event: str, __: Any) -> None:
        calls[0] += event == "call"

    counted = []
    for name in ("x", "x" * 300):
        known, calls[0] = token(name=name), 0
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            payload = Signatures().decode(known, KEY, ["HS256"])
        finally:
            sys.setprofile(before)
        assert json.loads(payload)["name"] == name
        counted.append(calls[0])
    assert counted[1] - counted[0] < 100  # PyJWT's own: 400 more; what is made at a first use counts, too


def test_a_changed_token_does_not_hold() -> None:
    head, payload, signature = token().split(".")
    for wrong in (
        f"{head}.{payload}.{token(sub='1').split('.')[2]}",
        f"{head}.{token(sub='1').split('.')[1]}.{signature}",
    ):
        with pytest.raises(jwt.InvalidSignatureError):
            Signatures().decode(wrong, KEY, ["HS256"])
    with pytest.raises(jwt.InvalidAlgorithmError):
        Signatures().decode(token(), KEY, ["EdDSA"])
