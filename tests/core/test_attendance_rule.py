"""The rules by which leads are counted as attended."""

from itertools import product

import msgspec
import pytest

from room_server.core.attendance_rule import (
    AttendedBy,
    MinWatch,
    counts_unannounced,
    has_attended,
    is_evaluated_only,
    needed_ms,
)

ATTENDED = {
    AttendedBy.COMPLETED: {(True, True), (True, False)},
    AttendedBy.WATCHED: {(True, True), (False, True)},
    AttendedBy.BOTH: {(True, True)},
    AttendedBy.EITHER: {(True, True), (True, False), (False, True)},
}
"""By rule: whether the lead completed, and whether it watched enough, where it has attended."""


@pytest.mark.parametrize("rule", AttendedBy)
def test_a_rule_says_who_has_attended(rule: AttendedBy) -> None:
    counted = {facts for facts in product([True, False], repeat=2) if has_attended(rule, *facts)}
    assert counted == ATTENDED[rule]


def test_only_the_default_classifies_before_the_evaluation() -> None:
    assert [rule for rule in AttendedBy if not is_evaluated_only(rule)] == [AttendedBy.COMPLETED]


def test_who_never_said_that_it_entered_may_still_have_watched() -> None:
    assert [rule for rule in AttendedBy if counts_unannounced(rule)] == [AttendedBy.WATCHED, AttendedBy.EITHER]


@pytest.mark.parametrize(
    ("min_watch", "on_air_ms", "needed"),
    [("60%", 100_000, 60_000), ("1%", 1, 1), ("100%", 99_999, 99_999), ("30m", 100_000, 1_800_000), ("33%", 100, 33)],
)
def test_a_minimum_is_a_share_of_the_time_on_air_or_minutes(min_watch: str, on_air_ms: int, needed: int) -> None:
    assert needed_ms(min_watch, on_air_ms) == needed


@pytest.mark.parametrize("given", ["60%", "1%", "100%", "1m", "9999m"])
def test_a_minimum_is_taken(given: str) -> None:
    assert msgspec.convert(given, MinWatch) == given


@pytest.mark.parametrize(
    "given", ["", "60", "0%", "101%", "060%", "60 %", "-5%", "1.5%", "0m", "10000m", "1h", "60%\n", "٦٠%", "60%30m"]
)
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, MinWatch)
