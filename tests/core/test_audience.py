"""How many were there when, and how long they watched, beside a count of one slot after the other."""

from itertools import pairwise
from random import Random

import pytest

from room_server.core.audience import POINTS, Audience, Point, WatchTimes
from room_server.core.watch_time import span

MINUTE = 60_000


def audience(on_air_ms: int, *slots: int) -> Audience:
    """Of leads with these slots."""
    made = Audience(on_air_ms)
    for one in slots:
        made.add(one)
    return made


def test_a_point_is_a_slot_while_the_webinar_is_short() -> None:
    leads = audience(22_000, 0b11111, 0b00111, 0b00010, 0)

    assert [(point.at_s, point.leads) for point in leads.curve(22_000)] == [(0, 2), (5, 3), (10, 2), (15, 1), (20, 1)]
    assert leads.peak() == 3


def test_any_visits_add_up_slot_by_slot() -> None:
    chance, on_air_ms = Random(3), 20 * MINUTE
    everybody = []
    for _ in range(200):
        slots = 0
        for _ in range(chance.randrange(4)):
            begin = chance.randrange(on_air_ms)
            slots |= span(begin, begin + chance.randrange(10 * MINUTE))
        everybody.append(slots)
    expected = [sum(slots >> slot & 1 for slots in everybody) for slot in range(240)]

    made = audience(on_air_ms, *everybody)
    assert [point.leads for point in made.curve(on_air_ms)] == expected
    assert made.peak() == max(expected)


def test_a_long_webinar_has_the_most_leads_of_each_step() -> None:
    hours = 3 * 60 * MINUTE
    made = audience(hours, span(0, hours), span(61_000, 62_000))
    curve = made.curve(hours)

    assert len(curve) == POINTS
    assert [point for point in curve if point.leads == 2] == [Point(60, 2)]
    assert {later.at_s - earlier.at_s for earlier, later in pairwise(curve)} == {30}


def test_a_curve_may_end_before_the_time_on_air() -> None:
    assert len(audience(MINUTE, 1).curve(MINUTE - 35_000)) == 5
    assert audience(MINUTE, 1).curve(-1) == []


def test_nobody_on_a_webinar_that_never_was_on_air() -> None:
    made = audience(0, 0b111)

    assert (made.curve(0), made.peak(), made.watch_times()) == ([], 0, WatchTimes(0, 0, (0,) * 10))


@pytest.mark.parametrize(
    ("minutes", "p50", "p90", "shares"),
    [
        ([], 0, 0, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
        ([10], 600, 600, (0, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
        ([1, 5, 9, 10], 300, 600, (0, 1, 0, 0, 0, 1, 0, 0, 0, 2)),
        (list(range(1, 11)), 300, 540, (0, 1, 1, 1, 1, 1, 1, 1, 1, 2)),
    ],
)
def test_watch_times_are_percentiles_and_ten_shares_of_who_was_seen(
    minutes: list[int], p50: int, p90: int, shares: tuple[int, ...]
) -> None:
    made = audience(10 * MINUTE, 0, *(span(0, one * MINUTE) for one in minutes))

    assert made.watch_times() == WatchTimes(p50, p90, shares)
