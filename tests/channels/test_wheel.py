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


async def test_it_asks_once_when_it_is_time_and_not_before() -> None:
    wheel, something = Wheel(), Something()
    async with turning(wheel) as now:
        wheel.put(something, now + 0.8)
        await wait_until(lambda: something.asked, "it is asked")
        (asked,) = something.asked
        assert 0.8 <= asked - now < 2.5
        assert len(wheel) == 0


async def test_only_the_time_that_was_said_last_counts() -> None:
    wheel, early, late, dropped, end = Wheel(), Something(), Something(), Something(), Something()
    async with turning(wheel) as now:
        wheel.put(late, now)
        wheel.put(late, now + 1000)
        wheel.put(early, now + 1000)
        wheel.put(early, now)
        wheel.put(dropped, now)
        wheel.drop(dropped)
        wheel.put(end, now + 1)
        await wait_until(lambda: end.asked, "all before it were asked")
        assert (len(early.asked), len(late.asked), len(dropped.asked)) == (1, 0, 0)
        assert len(wheel) == 1


async def test_what_says_when_is_asked_again() -> None:
    wheel, something = Wheel(), Something(lambda: 0.0)
    async with turning(wheel):
        wheel.put(something, 0.0)
        await wait_until(lambda: len(something.asked) >= 2, "it is asked twice")
        assert all(later - sooner >= 0.5 for sooner, later in zip(something.asked, something.asked[1:], strict=False))
        assert len(wheel) == 1


async def test_what_changes_its_own_time_while_it_is_asked_stands_once() -> None:
    wheel = Wheel()

    def again() -> float | None:
        wheel.put(something, asyncio.get_running_loop().time() + 1000)
        return 2000.0

    something = Something(again)
    async with turning(wheel):
        wheel.put(something, 0.0)
        await wait_until(lambda: something.asked, "it is asked")
        assert len(wheel) == 1


async def test_all_of_a_second_are_asked_in_one_turn() -> None:
    wheel, crowd = Wheel(), [Something() for _ in range(1000)]
    async with turning(wheel) as now:
        for something in crowd:
            wheel.put(something, now)
        await wait_until(lambda: len(wheel) == 0, "everyone was asked")
    assert len({something.asked[0] for something in crowd}) == 1


async def test_what_goes_wrong_stops_the_wheel() -> None:
    """It is a vital task: a wheel that went on without one of its sockets would hide the fault."""

    def broken() -> float | None:
        raise RuntimeError("broken")

    wheel = Wheel()
    wheel.put(Something(broken), 0.0)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="broken"):
            await wheel.turn()


async def test_what_was_put_before_the_wheel_turned_is_asked_too() -> None:
    wheel, soon, late = Wheel(), Something(), Something()
    wheel.put(soon, 0.0)
    wheel.put(late, asyncio.get_running_loop().time() + 1000)
    async with turning(wheel):
        await wait_until(lambda: soon.asked, "it is asked")
    assert late.asked == []


def test_dropping_what_does_not_stand_there_is_nothing() -> None:
    wheel, something = Wheel(), Something()
    wheel.drop(something)
    wheel.put(something, 5.0)
    wheel.drop(something)
    wheel.drop(something)
    assert len(wheel) == 0
