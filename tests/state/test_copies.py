"""Copies of rooms: bounded, and dropped by partition."""

from room_server.state.copies import MOST, Copies
from room_server.state.keys import Keys
from tests.support import room

KEYS = Keys(8)


def test_what_was_remembered_last_is_the_copy() -> None:
    copies, first, second = Copies(KEYS), room("w"), room("w", version=2)
    copies.remember(first)
    copies.remember(second)

    assert (copies.get("w"), copies.get("other"), len(copies)) == (second, None, 1)


def test_the_copies_of_a_partition_are_dropped_and_no_others() -> None:
    copies, rooms = Copies(KEYS), [room(f"w-{number}") for number in range(32)]
    for one in rooms:
        copies.remember(one)
    copies.drop_all(KEYS.tags[0])

    assert {one.webinar_id for one in rooms if copies.get(one.webinar_id) is None} == {
        one.webinar_id for one in rooms if KEYS.tag(one.webinar_id) == KEYS.tags[0]
    }
    copies.remember(rooms[0])
    assert copies.get(rooms[0].webinar_id) is rooms[0]


def test_a_webinar_that_is_deleted_has_no_copy() -> None:
    copies = Copies(KEYS)
    copies.remember(room("w"))
    for _ in range(2):
        copies.drop("w")

    assert (copies.get("w"), len(copies)) == (None, 0)


def test_the_one_that_was_remembered_longest_ago_is_the_first_to_go() -> None:
    copies, kept = Copies(KEYS), room("kept")
    copies.remember(kept)
    for number in range(MOST - 1):
        copies.remember(room(f"w-{number}"))
    copies.remember(kept)
    copies.remember(room("one-more"))

    assert (len(copies), copies.get("kept"), copies.get("w-0")) == (MOST, kept, None)
