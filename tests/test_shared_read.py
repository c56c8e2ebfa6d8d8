"""One reading for everybody who asks, its failure included."""

import asyncio

import pytest

from room_server.errors import StateUnavailable
from room_server.shared_read import SharedRead
from tests.support import wait_until

CALLERS = 8


class Slow:
    """A reading that the test lets end, and whose clock it holds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.begun = 0
        self.fails = False
        self.may_end = asyncio.Event()
        self.shared = SharedRead(self._read, 0.5, lambda: self.now)

    async def _read(self) -> int:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        self.now += 0.001
        if self.fails:
            raise StateUnavailable(f"reading {number}")
        return number

    async def ask(self, callers: int = CALLERS) -> list[str]:
        """What so many callers who come at once are answered."""
        asking = [asyncio.create_task(self.shared.get()) for _ in range(callers)]
        await wait_until(lambda: self.begun, "somebody reads")
        self.may_end.set()
        return [str(answer) for answer in await asyncio.gather(*asking, return_exceptions=True)]


@pytest.fixture
def slow() -> Slow:
    return Slow()


async def test_all_who_ask_at_once_share_one_reading(slow: Slow) -> None:
    assert (await slow.ask(), slow.begun) == (["1"] * CALLERS, 1)


async def test_a_failure_is_everybodys_too(slow: Slow) -> None:
    slow.fails = True

    assert (await slow.ask(), slow.begun) == (["reading 1"] * CALLERS, 1)


async def test_an_answer_serves_for_a_moment_and_then_is_read_anew(slow: Slow) -> None:
    answers = []
    for seconds in (0.0, 0.4, 0.1):
        slow.now += seconds
        answers += await slow.ask(1)

    assert (answers, slow.begun) == (["1", "1", "2"], 2)


async def test_after_a_failure_the_next_one_tries_again(slow: Slow) -> None:
    slow.fails = True
    await slow.ask()
    slow.fails, slow.now = False, slow.now + 0.001

    assert await slow.ask() == ["2"] * CALLERS


async def test_who_gives_up_while_reading_leaves_the_reading_to_the_next(slow: Slow) -> None:
    asking = asyncio.create_task(slow.shared.get())
    await wait_until(lambda: slow.begun, "the first one reads")
    asking.cancel()

    assert await slow.ask() == ["2"] * CALLERS
    assert asking.cancelled()


async def test_what_is_not_foreseen_is_nobodys_answer() -> None:
    shared = SharedRead(broken, 1000.0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await shared.get()


async def broken() -> float:
    return 1 / 0
