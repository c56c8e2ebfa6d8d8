"""Frames out, built once; and what a client's bytes say, whole or in pieces. The `websockets` package is the reader."""

import struct
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame, Opcode

from room_server.channels import frames, receipts
from room_server.channels.frames import ControlFrames, read_control_frames, room_state, text_frame
from room_server.core.room import Status, public_text
from room_server.core.wire import RoomVersion
from room_server.errors import CloseCode
from tests.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked
from tests.support import room


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_a_text_frame_is_what_an_independent_library_makes(size: int) -> None:
    text = b"x" * size
    assert text_frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


def test_a_room_state_is_the_stored_text_and_the_frame_around_it() -> None:
    text = public_text(room("w", epoch="e", version=7, status=Status.LIVE, title="Вебинар"))
    state = room_state(text)
    head = state.head
    assert (head.webinar_id, head.epoch, head.version, head.status) == ("w", "e", 7, Status.LIVE)
    assert (state.text, state.frame, state.ping) == (text, text_frame(text), receipts.ping("e", 7))


def test_the_counts_are_a_numbered_state_of_whoever_watches_them() -> None:
    first, second = frames.counts("*", 7, b'{"total":1}'), frames.counts("*", 8, b'{"total":2}')
    assert first == (
        RoomVersion("*", "", 7, Status.LIVE),
        b'{"total":1}',
        text_frame(b'{"total":1}'),
        receipts.ping("", 7),
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
    assert {stood for stood, went_back in judged.items() if went_back} == {
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
def test_the_highest_version_stands_and_another_epoch_replaces(
    one: tuple[str, int], other: tuple[str, int], replaces: bool
) -> None:
    first, second = (room_state(public_text(room(epoch=epoch, version=number))) for epoch, number in (one, other))
    assert first.replaces(second) is replaces
    assert first.replaces(None)


def test_the_frame_that_asks_a_peer_to_come_back_says_when() -> None:
    assert frames.reconnect(1.5) == text_frame(b'{"type":"reconnect","after_ms":1500}')


PINGED, PONGED = masked(PING, b"ping"), masked(PONG, b"pong")
CLOSED = masked(CLOSE, struct.pack("!H", 1000))


def test_silence_says_nothing() -> None:
    assert read_control_frames(b"") == ControlFrames()


def test_every_ping_is_answered() -> None:
    later = masked(PING, b"x" * 125)
    assert read_control_frames(PINGED + PONGED + later) == ControlFrames(pings=PINGED + later, controls=3)


def test_a_close_ends_what_is_said() -> None:
    assert read_control_frames(PINGED + CLOSED + masked(TEXT, b"x")) == ControlFrames(
        pings=PINGED, close=CLOSED + masked(TEXT, b"x"), controls=1
    )


RECEIPT, NEWER = (masked(PONG, receipts.payload("e", version)) for version in (7, 8))


@pytest.mark.parametrize(
    ("behind", "rest"),
    [
        (b"", {}),
        (PINGED[:3], {"rest": PINGED[:3]}),
        (CLOSED, {"close": CLOSED}),
        (masked(TEXT, b"x"), {"rest": masked(TEXT, b"x"), "fault": CloseCode.READ_ONLY}),
    ],
)
def test_the_latest_receipt_is_found_among_whatever_else_is_said(behind: bytes, rest: dict[str, Any]) -> None:
    latest = receipts.payload("e", 8)
    own = masked(PING, latest)  # as long as ours, and no answer
    for said in ([RECEIPT, NEWER], [PINGED, NEWER, PONGED], [NEWER, own], [own, RECEIPT, PINGED, NEWER]):
        pings = b"".join(frame for frame in said if frame[0] == PING)
        expected = ControlFrames(**{"pings": pings, "pong": latest, "controls": len(said), **rest})
        assert read_control_frames(b"".join(said) + behind) == expected
    assert read_control_frames(own + PONGED).pong == b""


@pytest.mark.parametrize("frame", [PINGED, PONGED, CLOSED, masked(PING), masked(PONG, b"x" * 125)])
def test_a_frame_may_come_in_pieces(frame: bytes) -> None:
    for cut in range(len(frame)):
        assert read_control_frames(frame[:cut]) == ControlFrames(rest=frame[:cut])
        assert read_control_frames(PONGED + frame[:cut]).rest == frame[:cut]
    whole = read_control_frames(frame)
    assert (whole.rest, whole.fault) == (b"", None)


@pytest.mark.parametrize("first", [TEXT, BINARY, CONTINUATION, TEXT & 0x7F, BINARY & 0x7F, CONTINUATION & 0x7F])
def test_data_is_refused_at_its_first_byte(first: int) -> None:
    assert read_control_frames(bytes([first])).fault is CloseCode.READ_ONLY
    assert read_control_frames(PINGED + bytes([first])) == ControlFrames(
        pings=PINGED, rest=bytes([first]), fault=CloseCode.READ_ONLY, controls=1
    )


def fault(first: int) -> CloseCode | None:
    """What RFC 6455, 5.2, says of a first byte: opcode, reserved bits, fragmented control frames."""
    reserved, opcode, final = first & 0x70, first & 0x0F, first & 0x80
    if reserved:
        return CloseCode.PROTOCOL_ERROR
    if opcode in {0, 1, 2}:
        return CloseCode.READ_ONLY
    return None if opcode in {8, 9, 10} and final else CloseCode.PROTOCOL_ERROR


def test_every_first_byte_is_judged() -> None:
    assert [read_control_frames(bytes([first])).fault for first in range(256)] == [fault(first) for first in range(256)]


@pytest.mark.parametrize("first", [CLOSE, PING, PONG])
def test_a_control_frame_is_masked_and_short(first: int) -> None:
    judged = [read_control_frames(bytes([first, second])).fault for second in range(256)]
    expected = [None if 0x80 <= second <= 0x80 + 125 else CloseCode.PROTOCOL_ERROR for second in range(256)]
    assert judged == expected


def test_a_flood_of_pings_is_read_no_further_than_it_takes_to_see_that_it_is_one() -> None:
    flood = masked(PING) * 40_000
    most = frames.MOST_CONTROLS + 2
    assert read_control_frames(flood) == ControlFrames(pings=masked(PING) * most, rest=flood[6 * most :], controls=most)
