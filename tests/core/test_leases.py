"""A lease by a clock that is ahead, or of before a clock was set back, ends no later than any other."""

import pytest
from msgspec.structs import replace

from room_server.core.delivery import within_lease
from tests.core.builders import NOW, at
from tests.core.test_delivery import delivery, sending


@pytest.mark.parametrize(("seconds", "left"), [(-5, -5), (0, 0), (8, 8), (8.001, 8), (3600, 8)])
def test_a_lease_by_a_clock_that_is_ahead_is_cut_to_a_whole_one(seconds: float, left: float) -> None:
    known = sending(lease_until=at(seconds))

    assert within_lease(known, NOW) == replace(known, lease_until=at(left))
    assert (within_lease(known, NOW) is known) == (seconds == left)


def test_what_has_no_lease_is_not_cut() -> None:
    known = delivery("sending")

    assert within_lease(known, NOW) is known
