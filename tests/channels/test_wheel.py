"""One clock for all sockets: asked when it is time, about a second's precision, and never after having been dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from room_server.channels.wheel import Wheel
from tests.support import PATIENCE, wait_until


class Something:
    """Whatever stands on the wheel; `again` says how many seconds later it is to be asked next."""

    def __init__(self, again: Callable[[], float | None] = lambda: None) -> None:
        self.asked: list[float] = []
        self._again = again

    def due(self, now: float) -> float | None:
        self.asked.append(now)
        seconds = self._again()
        return None if seconds is None else now + seconds


@asynccontextmanager
async def turning(wheel: Wheel) -> AsyncIterator[float]:
    """The wheel turns; the time when it began to."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(wheel.turn())
        yield asyncio.get_running_loop().time()
        task.cancel()


async def test_each_is_asked_once_at_the_time_that_was_said_last() -> None:
    wheel, early, late, dropped, end = Wheel(), Something(), Something(), Something(), Something()
    crowd = [Something() for _ in range(1000)]
    async with turning(wheel) as now:
        wheel.put(late, now)
        wheel.put(late, now + 1000)
        wheel.put(early, now + 1000)
        for something in (early, dropped, *crowd):
            wheel.put(something, now)
        wheel.drop(dropped)
        wheel.put(end, now + 1)
        place = wheel._places[end]
        await wait_until(lambda: end.asked, "all before it were asked")
    assert (len(early.asked), len(late.asked), len(dropped.asked), len(end.asked)) == (1, 0, 0, 1)
    assert 1.0 <= end.asked[0] - now
    assert place <= now + 2.0
    assert {tuple(something.asked) for something in crowd} == {tuple(early.asked)}
    assert len(wheel) == 1


async def test_what_says_when_is_asked_again_and_stands_once() -> None:
    wheel, again = Wheel(), Something(lambda: 0.0)

    def changed() -> float | None:
        wheel.put(changing, asyncio.get_running_loop().time() + 1000)
        return 2000.0

    changing = Something(changed)
    async with turning(wheel):
        wheel.put(again, 0.0)
        wheel.put(changing, 0.0)
        await wait_until(lambda: len(again.asked) >= 2, "it is asked twice")
    assert again.asked[1] - again.asked[0] >= 0.5
    assert (len(changing.asked), len(wheel)) == (1, 2)


async def test_what_was_put_before_the_wheel_turned_is_asked_and_what_goes_wrong_stops_it() -> None:
    """It is a vital task: a wheel that went on without one of its sockets would hide the fault."""

    def broken() -> float | None:
        raise RuntimeError("broken")

    wheel, late = Wheel(), Something()
    wheel.put(Something(broken), 0.0)
    wheel.put(late, asyncio.get_running_loop().time() + 1000)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="broken"):
            await wheel.turn()
    assert (late.asked, len(wheel)) == ([], 1)


def test_dropping_what_does_not_stand_there_is_nothing() -> None:
    wheel, something = Wheel(), Something()
    wheel.drop(something)
    wheel.put(something, 5.0)
    wheel.drop(something)
    wheel.drop(something)
    assert len(wheel) == 0


def test_a_bucket_that_is_empty_again_is_gone() -> None:
    wheel, crowd = Wheel(), [Something() for _ in range(1000)]
    for number, one in enumerate(crowd):
        wheel.put(one, number % 7)
    for one in crowd:
        wheel.put(one, 100.0)
    assert len(wheel._buckets) == 1
    for one in crowd:
        wheel.drop(one)
    assert not wheel._buckets


async def test_what_is_dropped_while_its_bucket_is_asked_is_not_asked() -> None:
    wheel, asked = Wheel(), list[str]()

    def ends_both() -> None:
        asked.append("one")
        for one in both:
            wheel.drop(one)

    both = Something(ends_both), Something(ends_both)
    async with turning(wheel):
        for one in both:
            wheel.put(one, 0.0)
        await wait_until(lambda: asked, "one is asked")
        await wait_until(lambda: not wheel._buckets, "nobody else is")
    assert len(asked) == 1
