"""What `webinar show` says of a room in each of its states."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from room_server.commands.summary import describe_room
from room_server.core.lifecycle import Trigger, move
from room_server.core.room import Room, Status, Visibility
from tests.support import room

MINUTE = timedelta(minutes=1)
AT = datetime(2026, 11, 22, 18, tzinfo=UTC)
PLANNED = room(scheduled_at=AT)


def lines(described: Room) -> dict[str, str]:
    """The lines, twelve minutes after the scheduled time."""
    return dict(describe_room(described, AT + 12 * MINUTE))


def test_a_scheduled_room_has_not_started() -> None:
    shown = lines(PLANNED)

    assert shown["planned"] == "2026-11-22 18:00:00 UTC"
    assert not {"started", "finished", "on air"} & shown.keys()


def test_the_time_on_air_goes_on_while_live_and_leaves_pauses_out() -> None:
    live = move(PLANNED, Trigger.START, AT)
    paused = move(live, Trigger.PAUSE, AT + 5 * MINUTE)
    resumed = move(paused, Trigger.RESUME, AT + 10 * MINUTE)

    assert [lines(state)["on air"] for state in (live, paused, resumed)] == ["0:12:00", "0:05:00", "0:07:00"]


def test_an_ended_room_shows_when_it_finished() -> None:
    ended = move(move(PLANNED, Trigger.START, AT), Trigger.STOP, AT + 11 * MINUTE)

    assert (lines(ended)["finished"], lines(ended)["on air"]) == ("2026-11-22 18:11:00 UTC", "0:11:00")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "none"),
        ({"cta_label": "Join", "cta_url": "https://example.org"}, "hidden: Join https://example.org"),
        ({"cta_label": "Join", "cta_visibility": Visibility.VISIBLE}, "shown: Join (no address)"),
        ({"cta_url": "https://example.org"}, "hidden: (no label) https://example.org"),
    ],
)
def test_a_call_to_action_is_shown_with_what_it_lacks(fields: dict[str, Any], expected: str) -> None:
    assert lines(room(**fields))["CTA"] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "none yet"),
        ({"no_recording": True}, "there will be none"),
        ({"recording_url": "https://example.org"}, "https://example.org"),
    ],
)
def test_a_recording_may_come_yet(fields: dict[str, Any], expected: str) -> None:
    assert lines(room(status=Status.FINISHED, **fields))["recording"] == expected


def test_texts_of_its_own_are_named_and_a_description_is_one_line() -> None:
    shown = lines(room(texts={"ru": {"recording": "…", "attendance": "…"}}, description="Two\nhours"))

    assert (shown["own texts"], shown["about"]) == ("ru: attendance recording", "Two hours")
