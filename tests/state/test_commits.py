"""A change as the keys and arguments of the commit script."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.decision_types import Change, Facts
from room_server.core.room import public_text
from room_server.state.commits import DONE_SECONDS, Commit, arguments, field, is_empty, unix_ms
from room_server.state.keys import Keys
from room_server.state.redis.pipeline import flat
from tests.core import builders
from tests.core.builders import LEAD, NOW, WEBINAR

KEYS = Keys(1)
TAG = KEYS.tag(WEBINAR)
GRACE = 120.0


def plan(before: Facts, change: Change, lead: str = str(LEAD)) -> Commit:
    """A plan as the store makes it; what stands is given as two words."""
    return Commit(
        webinar_id=WEBINAR,
        lead=lead,
        before=before,
        participation=b"as it stands",
        entry=b"as listed",
        change=change,
        grace=GRACE,
    )


def argued(before: Facts, change: Change) -> list[Any]:
    """The arguments alone."""
    return arguments(KEYS, plan(before, change))[1]


def completed() -> tuple[Facts, Change]:
    """A lead that entered completes, is classified and gets its messages."""
    known = builders.facts("finished", participation=builders.entered())
    return known, builders.decided(builders.complete(), known)


def tail(arguments: list[Any]) -> tuple[int, int, list[Any]]:
    """How many events and messages are appended, and the counters."""
    rest = arguments[15:]
    events = rest[0]
    messages = rest[1 + 2 * events]
    return events, messages, rest[2 + 2 * events + 3 * messages :]


def test_the_keys_stand_in_the_scripts_order() -> None:
    keys, _ = arguments(KEYS, plan(*completed()))

    assert keys[1:] == [
        *(KEYS.room(WEBINAR), KEYS.participations(WEBINAR), KEYS.roster(WEBINAR)),
        *(KEYS.events(TAG), KEYS.outbox(TAG), KEYS.deliveries(WEBINAR), KEYS.evaluations(TAG)),
        *(KEYS.webinars(TAG), KEYS.tally(WEBINAR), KEYS.channel(TAG), KEYS.fates(TAG)),
        *(KEYS.archived(TAG), KEYS.clock(TAG)),
    ]


def test_each_commit_has_an_id_of_its_own() -> None:
    ids = {arguments(KEYS, plan(*completed()))[0][0] for _ in range(100)}

    assert len(ids) == 100
    assert {key.rpartition(":")[0] for key in ids} == {KEYS.done(WEBINAR, "x").rpartition(":")[0]}


def test_a_change_of_the_room_carries_its_stamps_record_and_public_text() -> None:
    known = builders.facts("scheduled")
    change = builders.decided(builders.start(), known, "speaker")

    assert argued(known, change)[:6] == [
        *(DONE_SECONDS, "k3v9:7", "k3v9:8"),
        *(msgspec.json.encode(change.room), public_text(change.room)),
        unix_ms(change.room.scheduled_at),
    ]


def test_a_new_room_expects_none() -> None:
    change = Change(room=builders.room("draft"), participation=None)

    assert argued(Facts(), change)[1:3] == ["", "k3v9:7"]


def test_a_room_that_is_not_changed_is_not_written() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.enter(), known)

    assert argued(known, change)[1:5] == ["k3v9:7", "", "", ""]
    assert argued(known, change)[6:9] == [str(LEAD), b"as it stands", msgspec.json.encode(change.participation)]


def test_a_participation_that_is_not_changed_is_not_written() -> None:
    known = builders.facts("live")

    assert argued(known, builders.decided(builders.stop(), known, "speaker"))[8] == ""


@pytest.mark.parametrize(("hook", "compared"), [(builders.complete(), "1"), (builders.enter(), "0")])
def test_the_roster_entry_is_compared_where_messages_rest_on_it(hook: builders.Hook, compared: str) -> None:
    status = "finished" if compared == "1" else "live"
    known = builders.facts(status, participation=builders.entered() if compared == "1" else None)

    assert argued(known, builders.decided(hook, known))[9:11] == [compared, b"as listed"]


def test_the_end_of_a_webinar_arms_its_evaluation_after_the_grace() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.stop(), known, "speaker")
    ended = replace(change.room, finished_at=utc_now() + timedelta(days=1))
    due = argued(known, replace(change, room=ended))[11]

    wanted = (timedelta(days=1) + timedelta(seconds=GRACE)) / timedelta(milliseconds=1)
    assert wanted - 60_000 < due <= wanted  # counted from now


def test_an_evaluation_is_never_due_in_the_past() -> None:
    known = builders.facts("live")
    change = builders.decided(builders.stop(), known, "speaker")
    ended = replace(change.room, finished_at=utc_now() - timedelta(days=1))

    assert argued(known, replace(change, room=ended))[11] == 0


def test_what_does_not_end_a_webinar_arms_nothing() -> None:
    known = builders.facts("live")

    assert argued(known, builders.decided(builders.cta(), known, "speaker"))[11] == ""


def test_events_messages_and_counters_are_appended() -> None:
    known, change = completed()

    assert tail(argued(known, change)) == (
        len(change.events),
        len(change.messages),
        flat([("completed",), ("classified",), ("attended",)]),
    )


@pytest.mark.parametrize(
    ("known", "hook", "counted"),
    [
        (builders.facts("live"), builders.enter(), ["entered"]),
        (builders.facts("finished"), builders.evaluate(), ["classified"]),
        (builders.facts("finished", participation=builders.missed()), builders.complete(), []),
        (builders.facts("live"), builders.cta(), []),
    ],
    ids=["entered", "evaluated", "completed too late", "about the room"],
)
def test_each_thing_is_counted_once(known: Facts, hook: builders.Hook, counted: list[str]) -> None:
    role = "speaker" if hook == builders.cta() else "system"

    assert tail(argued(known, builders.decided(hook, known, role)))[2] == [len(counted), *counted]


def test_only_a_queued_message_wakes_the_sender() -> None:
    known, change = completed()
    arguments = argued(known, change)
    start = 15 + 2 + 2 * len(change.events)
    rows = [arguments[start + 3 * n : start + 3 * n + 3] for n in range(len(change.messages))]

    assert [(name, wakes) for name, _, wakes in rows] == [
        (field(message), "1" if message.status == "queued" else "0") for message in change.messages
    ]


def test_nothing_to_write_is_empty() -> None:
    known = builders.facts("live")

    assert is_empty(known, builders.decided(builders.start(), known, "speaker"))
    assert not is_empty(known, builders.decided(builders.stop(), known, "speaker"))
    assert not is_empty(known, builders.decided(builders.enter(), known))


def test_a_moment_is_counted_in_milliseconds() -> None:
    assert unix_ms(NOW) == 1_795_374_000_000
    assert unix_ms(NOW + timedelta(microseconds=1_400)) == 1_795_374_000_001
