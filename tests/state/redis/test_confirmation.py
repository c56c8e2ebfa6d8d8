"""What a flight sends behind its commands, and whom it may answer by the replies."""

import logging
from typing import Any

import pytest
from redis.exceptions import AskError, ReadOnlyError, ResponseError

from room_server.state.keys import PARTITIONS, slot
from room_server.state.redis.confirmation import CONFIRM_MS, MARK_SECONDS, NotReplicated, ReplicationWait

DEMOTED = ResponseError("WAIT cannot be used with replica instances. Please also note that …")
UNBLOCKED = ResponseError(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)
MOVING = AskError("1234 127.0.0.1:7001")
DENIED = ResponseError("NOPERM this user has no permissions to run the 'wait' command")


def read(*tags: str) -> list[tuple[Any, ...]]:
    """A flight that reads a record of each partition."""
    return [("HGET", f"rs:{{{tag}}}:room:w", "record") for tag in tags]


def mark_of(tag: str) -> tuple[Any, ...]:
    return ("SET", f"rs:{{{tag}}}:mark", "", "EX", MARK_SECONDS)


def test_without_replicas_a_flight_carries_nothing_else() -> None:
    confirmation = ReplicationWait(0)

    assert confirmation.commands(read("p1")) == []
    assert confirmation.doubt([]) is None


def test_a_flight_marks_its_slots_and_waits_last() -> None:
    expected = [mark_of("p1"), mark_of("p2"), ("WAIT", 2, CONFIRM_MS)]

    assert ReplicationWait(2).commands(read("p1", "p1", "p2", "p1")) == expected


def test_a_flight_marks_two_slots_at_most() -> None:
    assert ReplicationWait(1).commands(read("p1", "p2", "p3"))[:-1] == [mark_of("p1"), mark_of("p2")]


@pytest.mark.parametrize(
    "command",
    [("EVALSHA", "0" * 40, 1, "rs:{p2}:room:w", "argument"), ("GET", "rs:webhook:digest"), ("PING",)],
    ids=["a script", "a key without braces", "no key"],
)
def test_the_mark_is_in_the_slot_of_the_command(command: tuple[Any, ...]) -> None:
    """On a Cluster the server that carried the command would refuse any other."""
    (_, key, *_), _ = ReplicationWait(1).commands([command])
    expected = next((word for word in command if str(word).startswith("rs:")), PARTITIONS)

    assert slot(str(key)) == slot(str(expected))


@pytest.mark.parametrize(
    ("replies", "doubt"),
    [
        ([True, 2], None),
        ([True, 3], None),
        ([MOVING, True, 2], None),
        ([True, 1], NotReplicated),
        ([MOVING, MOVING, 2], AskError),
        ([True, DENIED], ResponseError),
        ([ReadOnlyError(), DEMOTED], ReadOnlyError),
        ([True, UNBLOCKED], ReadOnlyError),
    ],
    ids=[
        "all",
        "more",
        "one mark of two",
        "too few",
        "no mark",
        "may not wait",
        "is a replica",
        "became one meanwhile",
    ],
)
def test_a_flight_is_answered_when_it_is_marked_and_enough_replicas_have_the_mark(
    replies: list[Any], doubt: type[Exception] | None
) -> None:
    found = ReplicationWait(2).doubt(replies)

    assert (type(found) if found else None) is doubt


def test_missing_replicas_are_told_once_and_so_is_their_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    confirmation = ReplicationWait(1)
    for have in (1, 0, 0, 1, 1):
        confirmation.doubt([True, have])

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "0 replicas have what was written, 1 are asked for"),
        ("INFO", "1 replicas have what was written, 1 are asked for"),
    ]
