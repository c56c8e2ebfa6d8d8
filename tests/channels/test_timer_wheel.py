"""One clock for all sockets: asked when it is time, about a second's precision, and never after having been dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from room_server.channels.timer_wheel import TimerWheel
from tests.support import PATIENCE, wait_until


class Something:
    """Whatever stands on the wheel; `again` says how many seconds later it is to be asked next."""

    def __init__(self, again: Callable[[], float | None] = lambda: None) -> None:
        self.asked: list[float] = []
        self._again = again

    def on_timer(self, now: float) -> float | None:
        self.asked.append(now)
        seconds = self._again()
        return None if seconds is None else now + seconds


@asynccontextmanager
async def turning(timers: TimerWheel) -> AsyncIterator[float]:
    """The wheel turns; the time when it began to."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(timers.run())
        yield asyncio.get_running_loop().time()
        task.cancel()


async def test_each_is_asked_once_at_the_time_that_was_said_last() -> None:
    timers, early, late, dropped, end = TimerWheel(), Something(), Something(), Something(), Something()
    group = [Something() for _ in range(1000)]
    async with turning(timers) as now:
        timers.schedule(late, now)
        timers.schedule(late, now + 1000)
        timers.schedule(early, now + 1000)
        for something in (early, dropped, *group):
            timers.schedule(something, now)
        timers.cancel(dropped)
        timers.schedule(end, now + 1)
        place = timers._places[end]
        await wait_until(lambda: end.asked, "all before it were asked")
    assert (len(early.asked), len(late.asked), len(dropped.asked), len(end.asked)) == (1, 0, 0, 1)
    assert 1.0 <= end.asked[0] - now
    assert place <= now + 2.0
    assert {tuple(something.asked) for something in group} == {tuple(early.asked)}
    assert len(timers) == 1


async def test_what_says_when_is_asked_again_and_stands_once() -> None:
    timers, again = TimerWheel(), Something(lambda: 0.0)

    def changed() -> float | None:
        timers.schedule(changing, asyncio.get_running_loop().time() + 1000)
        return 2000.0

    changing = Something(changed)
    async with turning(timers):
        timers.schedule(again, 0.0)
        timers.schedule(changing, 0.0)
        await wait_until(lambda: len(again.asked) >= 2, "it is asked twice")
    assert again.asked[1] - again.asked[0] >= 0.5
    assert (len(changing.asked), len(timers)) == (1, 2)


async def test_what_was_put_before_the_wheel_turned_is_asked_and_what_goes_wrong_stops_it() -> None:
    """It is a vital task: a wheel that went on without one of its sockets would hide the fault."""

    def broken() -> float | None:
        raise RuntimeError("broken")

    timers, late = TimerWheel(), Something()
    timers.schedule(Something(broken), 0.0)
    timers.schedule(late, asyncio.get_running_loop().time() + 1000)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="broken"):
            await timers.run()
    assert (late.asked, len(timers)) == ([], 1)


def test_dropping_what_does_not_stand_there_is_nothing() -> None:
    timers, something = TimerWheel(), Something()
    timers.cancel(something)
    timers.schedule(something, 5.0)
    timers.cancel(something)
    timers.cancel(something)
    assert len(timers) == 0


def test_a_bucket_that_is_empty_again_is_gone() -> None:
    timers, group = TimerWheel(), [Something() for _ in range(1000)]
    for number, one in enumerate(group):
        timers.schedule(one, number % 7)
    for one in group:
        timers.schedule(one, 100.0)
    assert len(timers._buckets) == 1
    for one in group:
        timers.cancel(one)
    assert not timers._buckets


async def test_what_is_dropped_while_its_bucket_is_asked_is_not_asked() -> None:
    timers, asked = TimerWheel(), list[str]()

    def ends_both() -> None:
        asked.append("one")
        for one in both:
            timers.cancel(one)

    both = Something(ends_both), Something(ends_both)
    async with turning(timers):
        for one in both:
            timers.schedule(one, 0.0)
        await wait_until(lambda: asked, "one is asked")
        await wait_until(lambda: not timers._buckets, "nobody else is")
    assert len(asked) == 1
