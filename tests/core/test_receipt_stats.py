from itertools import pairwise

import pytest

from room_server.core.receipt_stats import BOUNDS_MS, Reach, ReceiptCounts, bucket, merge, no_answers, percentile


def answers(*milliseconds: float) -> list[int]:
    counted = no_answers()
    for one in milliseconds:
        counted[bucket(one / 1000)] += 1
    return counted


def test_bounds_grow_by_about_a_fifth_each_from_one_millisecond_to_82_seconds() -> None:
    assert (BOUNDS_MS[0], BOUNDS_MS[-1]) == (1, 82_000)
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
    old = ReceiptCounts(epoch="e", version=2, of=5, buckets=answers(1, 1))
    new = [
        ReceiptCounts(epoch="e", version=3, of=4, buckets=answers(10, 10, 1000)),
        ReceiptCounts(epoch="e", version=3, of=1, buckets=no_answers()),
    ]
    assert merge([old, *new]) == Reach(version=3, of=5, reached=3, p50_ms=10, p99_ms=1000)
    assert merge([*new, old]) == merge([old, *new])


def test_another_epoch_of_the_same_version_is_not_summed() -> None:
    parts = [ReceiptCounts(epoch=epoch, version=3, of=4, buckets=answers(10)) for epoch in ("e", "f")]
    assert merge(parts) == Reach(version=3, of=4, reached=1, p50_ms=10, p99_ms=10)


def test_a_histogram_has_a_bucket_for_each_bound_and_one_beyond_them() -> None:
    assert (len(no_answers()), bucket(1e9)) == (len(BOUNDS_MS) + 1, len(BOUNDS_MS))


def test_where_nothing_was_told_there_is_no_reach() -> None:
    assert merge([]) is None
