from itertools import pairwise

import pytest

from room_server.core.reach import BOUNDS_MS, Reached, bucket, merged, no_answers, percentile


def answers(*milliseconds: float) -> list[int]:
    counted = no_answers()
    for one in milliseconds:
        counted[bucket(one / 1000)] += 1
    return counted


def test_bounds_grow_by_about_a_fifth_each() -> None:
    ratios = [after / before for before, after in pairwise(BOUNDS_MS)]
    assert min(ratios) > 1.1
    assert max(ratios) < 1.3


@pytest.mark.parametrize(("milliseconds", "bound"), [(0, 1), (1, 1), (1.1, 1.2), (100, 100), (240, 270)])
def test_an_answer_counts_below_the_next_bound(milliseconds: float, bound: float) -> None:
    assert percentile(answers(milliseconds), 0.5) == bound


def test_an_answer_beyond_all_bounds_is_counted_with_the_last() -> None:
    assert percentile(answers(10**9), 0.5) == BOUNDS_MS[-1]


def test_without_answers_there_is_no_percentile() -> None:
    assert percentile(no_answers(), 0.99) is None


def test_the_99th_percentile_leaves_one_of_a_hundred_out() -> None:
    assert percentile(answers(*[10] * 99, 1000), 0.99) == 10
    assert percentile(answers(*[10] * 98, 1000, 1000), 0.99) == 1000


def test_processes_are_summed_for_the_newest_version_only() -> None:
    old = Reached(epoch="e", version=2, of=5, buckets=answers(1, 1))
    new = [
        Reached(epoch="e", version=3, of=4, buckets=answers(10, 10, 10)),
        Reached(epoch="e", version=3, of=1, buckets=no_answers()),
    ]
    found = merged([old, *new])
    assert found is not None
    assert (found.version, found.of, found.reached, found.p50_ms) == (3, 5, 3, 10)


def test_where_nothing_was_told_there_is_no_reach() -> None:
    assert merged([]) is None
