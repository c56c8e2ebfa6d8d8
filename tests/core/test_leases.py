"""A lease by a clock that is ahead, or from before a clock was set back, ends no later than any other."""

import pytest
from msgspec.structs import replace

from room_server.core.delivery import Transition, look_again
from tests.core.builders import NOW, at
from tests.core.test_delivery import delivery, sending


@pytest.mark.parametrize(("seconds", "left"), [(-5, -5), (0, 0), (8, 8), (8.001, 8), (3600, 8)])
def test_a_lease_by_a_clock_that_is_ahead_is_cut_to_a_whole_one(seconds: float, left: float) -> None:
    known = sending(lease_until=at(seconds))

    expected = Transition(delivery=replace(known, lease_until=at(left)), again_in=max(left, 0.0))
    assert look_again(known, NOW) == expected


def test_a_message_that_is_sent_without_a_lease_is_looked_at_again_at_once() -> None:
    known = delivery("sending")

    assert look_again(known, NOW) == Transition(delivery=replace(known, lease_until=NOW), again_in=0.0)
