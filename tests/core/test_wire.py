"""What clients and server name alike."""

import msgspec
import pytest

from room_server.core.room import public_text
from room_server.core.wire import ROOM_VERSION, Reconnect, RoomVersion, bearer_token
from tests.support import room


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("BEARER ", ""),
        ("Bearer", ""),
        ("Basic abc", None),
        ("Bearerabc", None),
        ("", None),
    ],
)
def test_a_bearer_token_stands_behind_its_scheme(header: str, token: str | None) -> None:
    assert bearer_token(header) == token


def test_the_version_of_a_room_is_read_from_its_public_text() -> None:
    stored = room(version=7)

    assert ROOM_VERSION.decode(public_text(stored)) == RoomVersion("w", stored.epoch, 7, stored.status)


def test_a_frame_that_asks_to_reconnect_names_its_type() -> None:
    assert msgspec.json.encode(Reconnect(1500)) == b'{"type":"reconnect","after_ms":1500}'
