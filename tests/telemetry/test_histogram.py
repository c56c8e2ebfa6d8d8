"""Durations in plain lists."""

import pytest

from room_server.telemetry.histogram import STEPS, SUM, Histogram


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


def test_a_series_is_a_sample_per_bucket_and_the_sum() -> None:
    taken = Histogram((0.5, 1.0))
    for seconds in (0.25, 0.75, 0.75, 2.0):
        taken.observe(seconds)

    assert taken.series("f", "label") == {
        ("f", "label", SUM): 3.75,
        ("f", "label", "0.5"): 1,
        ("f", "label", "1.0"): 2,
        ("f", "label", "+Inf"): 1,
    }


def test_of_counts_alone_the_sum_is_estimated_from_the_middle_of_each_bucket() -> None:
    assert Histogram.of_counts((1.0, 3.0), [2, 1, 1]).seconds == 2 * 0.5 + 2.0 + 3.0
