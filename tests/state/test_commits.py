"""A change as the record that the commit script writes."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from room_server.core.decision_types import Change, Facts
from room_server.core.room import public_text
from room_server.state.commits import Commit, EventWrite, arguments, commit_of, field, is_empty, unix_ms
from room_server.state.keys import Keys
from room_server.state.records import Loaded, Target
from tests.core import builders
from tests.core.builders import LEAD, NOW, WEBINAR

KEYS = Keys(1)


def made(before: Facts, change: Change, evaluation_in: timedelta | None = None) -> Commit:
    """The commit of a change."""
    return commit_of(loaded(before), change, evaluation_in)


def loaded(before: Facts) -> Loaded:
    """The facts, with two short texts in place of the lead's stored records."""
    return Loaded(target=Target(WEBINAR, str(LEAD)), facts=before, participation=b"as stored", entry=b"as listed")


def argued(before: Facts, change: Change) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of the script."""
    return arguments(KEYS, loaded(before), made(before, change))


def text(value: object) -> str:
    """A record as it is stored."""
    return msgspec.json.encode(value).decode()


def completed() -> tuple[Facts, Change]:
    """A lead that entered completes, is classified and gets its messages."""
    known = builders.facts("finished", participation=builders.entered())
    return known, builders.decided(builders.complete(), known)


def test_the_script_gets_each_key_under_its_name() -> None:
    keys, (_, names, record, participation, entry) = argued(*completed())

    assert dict(zip(msgspec.msgpack.decode(names), keys, strict=True)) == {
        **KEYS.of_commit(WEBINAR, ""),
        "done": keys[0],
    }
    assert msgspec.msgpack.decode(record, type=Commit) == made(*completed())
    assert (participation, entry) == (b"as stored", b"as listed")


def test_each_commit_has_an_id_of_its_own() -> None:
    ids = {argued(*completed())[0][0] for _ in range(100)}

    assert len(ids) == 100
    assert {key.rpartition(":")[0] for key in ids} == {KEYS.done(WEBINAR, "x").rpartition(":")[0]}


def test_a_change_of_the_room_carries_its_stamps_record_and_public_text() -> None:
    known = builders.facts("scheduled")
    change = builders.decided(builders.start(), known, "speaker")
    commit = made(known, change)

    assert commit.expected_stamp == "k3v9:7"
    assert commit.room is not None
    assert (commit.room.stamp, commit.room.archived_at) == ("k3v9:8", None)
    assert (commit.room.record, commit.room.public) == (text(change.room), public_text(change.room).decode())
    assert commit.room.scheduled_at == unix_ms(change.room.scheduled_at)


def test_a_new_room_expects_none() -> None:
    commit = made(Facts(), Change(room=builders.room("draft"), participation=None))

    assert commit.expected_stamp == ""
    assert commit.room is not None
    assert commit.room.stamp == "k3v9:7"


def test_a_room_that_is_not_changed_is_not_written() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.enter(), known)
    commit = made(known, change)

    assert (commit.expected_stamp, commit.room) == ("k3v9:7", None)
    assert (commit.lead, commit.participation) == (str(LEAD), text(change.participation))


def test_a_participation_that_is_not_changed_is_not_written() -> None:
    known = builders.facts("live")

    assert made(known, builders.decided(builders.stop(), known, "speaker")).participation is None


def test_the_roster_entry_is_compared_where_messages_rest_on_it() -> None:
    live = builders.facts("live")

    assert made(*completed()).compares_entry
    assert not made(live, builders.decided(builders.enter(), live)).compares_entry


def test_an_evaluation_is_due_after_so_many_milliseconds() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.stop(), known, "speaker")

    assert made(known, change, timedelta(seconds=1, microseconds=1_400)).evaluation_in == 1_001
    assert made(known, change).evaluation_in is None


def test_events_and_messages_are_written_as_they_were_decided() -> None:
    known, change = completed()
    commit = made(known, change)

    name = f"client_webinar_completed:{builders.WEBINAR}:{builders.LEAD}"
    assert commit.events[0] == EventWrite(name, "client_webinar_completed", text(change.events[0]), "")
    assert len(commit.events) == len(change.events)
    assert [(one.field, one.status) for one in commit.messages] == [(field(one), one.status) for one in change.messages]


def test_an_event_is_named_for_good_by_its_lead_or_by_the_rooms_version() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.stop(), known, "speaker")
    _, completion = completed()

    (stopped,) = made(known, change).events
    assert stopped.id == f"core_webinar_set_status:{builders.WEBINAR}:k3v9.{change.room.version}"
    assert change.room.version == 8
    assert [event.id for event in made(known, completion).events] == [
        f"{hook}:{builders.WEBINAR}:{builders.LEAD}"
        for hook in (
            "client_webinar_completed",
            "webinar_completed",
            "client_webinar_attendance_classified",
            "post_webinar_route",
        )
    ]


@pytest.mark.parametrize(
    ("known", "hook", "counted"),
    [
        (builders.facts("live"), builders.enter(), ["entered"]),
        (builders.facts("finished", participation=builders.entered()), builders.complete(), ["classified", "attended"]),
        (builders.facts("finished"), builders.evaluate(), ["classified"]),
        (builders.facts("finished", participation=builders.missed()), builders.complete(), []),
        (builders.facts("live"), builders.cta(), []),
    ],
    ids=["entered", "completed", "evaluated", "completed too late", "about the room"],
)
def test_each_thing_is_counted_once(known: Facts, hook: builders.Hook, counted: list[str]) -> None:
    role = "speaker" if hook == builders.cta() else "system"

    assert made(known, builders.decided(hook, known, role)).counters == counted


def test_a_first_click_is_counted_and_what_follows_it_is_not() -> None:
    before, clicked = builders.entered(), builders.entered(cta_clicked_at=builders.NOW)
    known = [builders.facts("live", participation=one) for one in (None, before, clicked)]
    changes = [Change(room=facts.room, participation=clicked) for facts in known if facts.room]

    assert [made(facts, change).counters for facts, change in zip(known, changes, strict=True)] == [
        ["clicked"], ["clicked"], [],
    ]  # fmt: skip


def test_nothing_to_write_is_empty() -> None:
    known = builders.facts("live")

    assert is_empty(known, builders.decided(builders.start(), known, "speaker"))
    assert not is_empty(known, builders.decided(builders.stop(), known, "speaker"))
    assert not is_empty(known, builders.decided(builders.enter(), known))


def test_a_moment_is_counted_in_milliseconds() -> None:
    assert unix_ms(NOW) == 1_795_374_000_000
    assert unix_ms(NOW + timedelta(microseconds=1_400)) == 1_795_374_000_001


def test_an_event_says_who_sent_it_without_a_name_and_what_the_server_emits_names_nobody() -> None:
    known, change = completed()
    commit = made(known, replace(change, actor=builders.actor("attendee", name="Анна")))

    sender = '{"role":"attendee","subject":"101"}'
    assert [event.actor for event in commit.events] == [sender, "", "", ""]
    assert "Анна" not in "".join(event.actor + event.payload for event in commit.events)
