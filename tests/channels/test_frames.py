"""The server's frames, and the pongs to its pings."""

import msgspec
import pytest

from room_server.channels import frames
from room_server.channels.frames import (
    ping,
    ping_payload,
    pong_payload,
    room_state,
    text_frame,
)
from room_server.core.room import Status, public_text
from room_server.core.wire import RoomVersion
from tests.raw import PING, PONG, masked
from tests.support import room


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_text_frame_is_unmasked_and_in_one_fragment(size: int, header: bytes) -> None:
    assert text_frame(b"x" * size) == header + b"x" * size


def test_a_room_state_is_the_stored_text_and_the_frame_around_it() -> None:
    text = public_text(room("w", epoch="e", version=7, status=Status.LIVE, title="Вебинар"))
    state = room_state(text)
    head = state.head
    assert (head.webinar_id, head.epoch, head.version, head.status) == ("w", "e", 7, Status.LIVE)
    assert (state.text, state.frame, state.ping) == (text, text_frame(text), ping("e", 7))
    assert state.frame_and_ping == state.frame + state.ping


def test_the_counts_are_a_state_with_a_number_for_a_version() -> None:
    first, second = frames.counts("*", 7, b'{"total":1}'), frames.counts("*", 8, b'{"total":2}')
    assert first == (
        RoomVersion("*", "", 7, Status.LIVE),
        b'{"total":1}',
        text_frame(b'{"total":1}'),
        ping("", 7),
        text_frame(b'{"total":1}') + ping("", 7),
    )
    assert (second.replaces(first), first.replaces(second)) == (True, False)


def test_a_state_of_the_same_epoch_that_is_not_newer_has_gone_back() -> None:
    held = room_state(public_text(room(epoch="e", version=5)))
    judged = {
        (epoch, version, title): room_state(public_text(room(epoch=epoch, version=version, title=title))).went_back(
            held
        )
        for epoch, version in (("e", 6), ("e", 5), ("e", 4), ("f", 5), ("f", 1))
        for title in ("Webinar", "Another")
    }
    assert {stored for stored, went_back in judged.items() if went_back} == {
        ("e", 4, "Webinar"),
        ("e", 4, "Another"),
        ("e", 5, "Another"),
    }


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"webinar_id":"w","epoch":"e","version":"1"}'])
def test_what_is_no_room_state_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        room_state(text)


REPLACES = [
    (("e", 2), ("e", 1), True),
    (("e", 1), ("e", 1), False),
    (("e", 1), ("e", 2), False),
    (("f", 1), ("e", 9), True),
    (("e", 9), ("f", 1), True),
]


@pytest.mark.parametrize(("one", "other", "replaces"), REPLACES)
def test_a_higher_version_and_any_other_epoch_replaces_a_state(
    one: tuple[str, int], other: tuple[str, int], replaces: bool
) -> None:
    first, second = (room_state(public_text(room(epoch=epoch, version=number))) for epoch, number in (one, other))
    assert first.replaces(second) is replaces
    assert first.replaces(None)


def test_the_reconnect_frame_gives_milliseconds() -> None:
    assert frames.reconnect(1.5) == text_frame(b'{"type":"reconnect","after_ms":1500}')


def test_a_ping_carries_the_version_and_the_epoch() -> None:
    assert ping("e", 7) == b"\x89\x08" + ping_payload("e", 7)
    assert len({ping_payload("e", 7), ping_payload("e", 8), ping_payload("f", 7)}) == 3


def pong(payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's pong."""
    return bytes((0x8A, 0x80 + len(payload))) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\x01\x02\x03\x04", b"\xff\xfe\x80\x7f"])
def test_the_pong_has_the_payload_of_the_ping(mask: bytes) -> None:
    assert pong_payload(pong(ping_payload("e", 7), mask)) == ping_payload("e", 7)


@pytest.mark.parametrize(
    "data",
    [b"", masked(PONG), masked(PING, b"eightbyt"), masked(PONG, b"eightbyt") + b"\x8a", masked(PONG, b"nine byte")],
)
def test_anything_else_has_no_payload_of_ours(data: bytes) -> None:
    assert pong_payload(data) is None
