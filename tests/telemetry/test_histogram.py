"""Durations in plain lists."""

import pytest

from room_server.telemetry.histogram import STEPS, Histogram


@pytest.mark.parametrize(("seconds", "place"), [(0.0, 0), (0.001, 1), (0.0011, 2), (2.0, 2), (2.0001, 3), (1e9, 3)])
def test_a_duration_is_counted_at_the_first_bound_that_it_does_not_pass(seconds: float, place: int) -> None:
    taken = Histogram((0.0005, 0.001, 2.0))
    taken.observe(seconds)

    assert taken.counts == [int(number == place) for number in range(4)]
    assert taken.seconds == seconds


def test_there_is_a_count_for_what_is_beyond_all_bounds() -> None:
    taken = Histogram()
    for seconds in (*STEPS, 2 * STEPS[-1]):
        taken.observe(seconds)

    assert taken.counts == [1] * (len(STEPS) + 1)
    assert taken.seconds == pytest.approx(sum(STEPS) + 2 * STEPS[-1])
