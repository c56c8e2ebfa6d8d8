"""A page's timers, ended by the test one by one, so that no test waits as long as a page does."""

from typing import Any

from playwright.async_api import Page

from tests.support import eventually

DEADLINE_MS = 10_000
"""How long a page waits for an answer or a handshake: such a timer is no wait of its own, and runs by itself."""
STEPPED = """(deadline) => {
    let last = 0;
    const { setTimeout: runs, clearTimeout: stops } = window;
    window.waits = new Map(); // by number, the oldest first
    window.setTimeout = (then, ms = 0) => ms === deadline ? -runs(then, ms) : waits.set(++last, { then, ms }) && last;
    window.clearTimeout = (number) => number < 0 ? stops(-number) : waits.delete(number);
}"""
END_THE_OLDEST = """() => {
    if (!waits.size) return null;
    const [number, { then, ms }] = waits.entries().next().value;
    waits.delete(number);
    then();
    return [ms];
}"""


class Stepped:
    """The timers that one page has set since `on` was called. None ends by itself."""

    def __init__(self, page: Page) -> None:
        self._page = page

    @classmethod
    async def on(cls, page: Page) -> "Stepped":
        """Take over the timers that this page sets from now on."""
        await page.evaluate(STEPPED, DEADLINE_MS)
        return cls(page)

    async def ends(self) -> int:
        """End the oldest timer, as soon as there is one; gives the milliseconds that it was set to."""
        found: list[int] = await eventually(self._end, "the page sets a timer")
        return found[0]

    async def number(self) -> int:
        """How many timers are set."""
        number: int = await self._page.evaluate("waits.size")
        return number

    async def _end(self) -> Any:
        return await self._page.evaluate(END_THE_OLDEST)
