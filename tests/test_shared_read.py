"""One read for all callers of a moment, its refusal included; values by key."""

import asyncio

import pytest

from room_server.errors import StateUnavailable
from room_server.shared_read import KEYS, SharedRead
from tests.support import wait_until

CALLERS = 8


class Slow:
    """A read that ends when the test lets it, by the test's clock."""

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
        """The outcomes for so many callers at the same time."""
        asking = [asyncio.create_task(self.shared.get()) for _ in range(callers)]
        await wait_until(lambda: self.begun, "somebody reads")
        self.may_end.set()
        return [str(answer) for answer in await asyncio.gather(*asking, return_exceptions=True)]


@pytest.fixture
def slow() -> Slow:
    return Slow()


async def test_callers_at_the_same_time_share_one_read(slow: Slow) -> None:
    assert (await slow.ask(), slow.begun) == (["1"] * CALLERS, 1)


async def test_callers_at_the_same_time_share_a_refusal(slow: Slow) -> None:
    slow.fails = True

    assert (await slow.ask(), slow.begun) == (["reading 1"] * CALLERS, 1)


async def test_a_value_serves_for_a_moment_and_then_is_read_again(slow: Slow) -> None:
    answers = []
    for seconds in (0.0, 0.4, 0.1):
        slow.now += seconds
        answers += await slow.ask(1)

    assert (answers, slow.begun) == (["1", "1", "2"], 2)


async def test_after_a_refusal_the_next_caller_reads_again(slow: Slow) -> None:
    slow.fails = True
    await slow.ask()
    slow.fails, slow.now = False, slow.now + 0.001

    assert await slow.ask() == ["2"] * CALLERS


async def test_a_cancelled_reader_leaves_the_read_to_the_next(slow: Slow) -> None:
    asking = asyncio.create_task(slow.shared.get())
    await wait_until(lambda: slow.begun, "the first one reads")
    asking.cancel()

    assert await slow.ask() == ["2"] * CALLERS
    assert asking.cancelled()


async def test_an_unforeseen_error_is_not_shared() -> None:
    shared = SharedRead(broken, 1000.0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await shared.get()


async def broken() -> float:
    return 1 / 0


class Keyed:
    """A read by key that the test can make fail, by the test's clock."""

    def __init__(self, most: int = KEYS) -> None:
        self.now = 0.0
        self.refused = False
        self.asked: list[str] = []
        self.shared = SharedRead(self._read, 1.0, lambda: self.now, most)

    async def _read(self, key: str) -> str:
        self.asked.append(key)
        if self.refused:
            raise StateUnavailable
        return key.upper()


async def test_each_key_has_its_own_value() -> None:
    keyed = Keyed()

    assert [await keyed.shared.get(key) for key in ("a", "b", "a")] == ["A", "B", "A"]
    assert keyed.asked == ["a", "b"]


async def test_the_latest_value_stays_when_a_later_read_is_refused() -> None:
    keyed = Keyed()
    assert await keyed.shared.get("a") == "A"
    keyed.now, keyed.refused = 2.0, True
    for key in ("a", "b"):
        with pytest.raises(StateUnavailable):
            await keyed.shared.get(key)

    assert (keyed.shared.latest("a"), keyed.shared.latest("b")) == ("A", None)


async def test_the_key_read_longest_ago_is_dropped_first_and_refused_keys_drop_none() -> None:
    keyed = Keyed()
    for number in range(KEYS):
        await keyed.shared.get(f"k{number}")
    keyed.refused = True
    for number in range(10):
        with pytest.raises(StateUnavailable):
            await keyed.shared.get(f"refused {number}")
    assert keyed.shared.latest("k0") == "K0"
    keyed.refused = False
    await keyed.shared.get("one more")

    assert (keyed.shared.latest("k0"), keyed.shared.latest("k1")) == (None, "K1")


async def test_as_many_values_are_kept_as_is_said() -> None:
    keyed = Keyed(most=2)
    for key in ("a", "b", "c"):
        await keyed.shared.get(key)

    assert [keyed.shared.latest(key) for key in ("a", "b", "c")] == [None, "B", "C"]
