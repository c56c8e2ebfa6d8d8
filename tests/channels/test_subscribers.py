import asyncio

import pytest

from room_server.channels.frames import room_state
from room_server.channels.receipts import Receipts
from room_server.channels.subscribers import PAST, Partition, SubscriberGroup, counts_group, counts_scope
from room_server.core.receipt_stats import bucket
from room_server.core.room import public_text
from tests.support import room


@pytest.mark.parametrize("scope", ["*", "w", "counts"])
def test_a_crowd_that_watches_the_counts_is_no_room(scope: str) -> None:
    assert counts_scope(counts_group(scope)) == scope
    assert counts_scope(scope) is None


def test_an_answer_counts_for_the_newest_change_only() -> None:
    old, new = (
        room_state(b'{"webinar_id":"w","epoch":"e","version":%d,"status":"live"}' % version) for version in (1, 2)
    )
    group = SubscriberGroup("w")
    group.receive(new, 1.0)
    group.state, group.receipts = new, Receipts("e", 2, 2, 10.0)

    group.receive(old, 10.1)
    group.receive(new, 10.5)

    buckets = group.receipts.told().buckets
    assert (sum(buckets), buckets[bucket(0.5)]) == (1, 1)


def test_the_epochs_that_were_left_are_remembered_as_far_as_is_bounded() -> None:
    group = SubscriberGroup("w")
    for number in range(PAST + 3):
        for version in (1, 2):
            group.turn_to(room_state(public_text(room("w", epoch=f"e{number}", version=version))))

    assert group.state is not None
    assert (group.state.head.epoch, group.state.head.version) == (f"e{PAST + 2}", 2)
    assert group.past == tuple(f"e{number}" for number in range(2, PAST + 2))


async def test_a_room_that_is_asked_for_again_is_to_be_read_once() -> None:
    partition = Partition()
    for name in ("a", "b", "a"):
        partition.ask_for(name)

    assert await partition.asked_for() == ["a", "b"]
    partition.ask_for("a")
    assert await partition.asked_for() == ["a"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await partition.asked_for()
