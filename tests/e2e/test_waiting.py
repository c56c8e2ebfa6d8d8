"""How long a page waits before it asks or tells again: its timers are stepped, and the test says what chance gives."""

import pytest
from playwright.async_api import Page

from tests.e2e.stepped import Stepped
from tests.e2e.visitors import Visitors
from tests.e2e.wire import Wire
from tests.support import Site, eventually, room, wait_until

BACKED_OFF = [1000, 2000, 4000, 5000, 5000]
"""The longest that a page waits after each failure (design: back-off capped at 5 s)."""

REPORTING = """async ([token, random]) => {
    const { Attendance } = await import('/static/attendance.js');
    Math.random = () => random;
    window.steps = [];
    const on = { step: (step) => steps.push(step), counted: () => {}, trouble: () => {} };
    window.attendance = new Attendance({ webinarId: 'w', leadId: 42, token, on });
}"""
BACKING_OFF = """async ([random, times]) => {
    const { Backoff } = await import('/static/timing.js');
    Math.random = () => random;
    const backoff = new Backoff();
    const delays = () => Array.from({ length: times }, () => backoff.next());
    return [delays(), (backoff.reset(), delays())];
}"""

CONNECTING = """async (token) => {
    const { RoomConnection } = await import('/static/connection.js');
    Math.random = () => 1;
    window.shown = new Set();
    new RoomConnection({
        webinarId: 'w', token, onState: () => {}, onStatus: ({ status }) => shown.add(status),
    }).start();
}"""


async def quiet_page(visitors: Visitors) -> Page:
    """A page of the site that runs nothing by itself."""
    page = await visitors.blank()
    await page.goto(f"http://{visitors.address}/demo/player")
    return page


class Reporter:
    """A page with a lead's attendance module and no connection: the test hands it the room's states."""

    def __init__(self, page: Page, clock: Stepped) -> None:
        self.page = page
        self.clock = clock
        self.answers: list[int] = []
        """The statuses of the hooks' answers."""
        page.on("response", lambda answer: self.answers.append(answer.status) if "/hooks/" in answer.url else None)

    @classmethod
    async def of(cls, visitors: Visitors, random: float, **claims: str) -> "Reporter":
        """`random` is what chance gives each time: 0 the shortest wait, 1 the longest. `claims` go into the token."""
        page = await quiet_page(visitors)
        clock = await Stepped.on(page)
        await page.evaluate(REPORTING, [visitors.site.token("attendee", **claims), random])
        return cls(page, clock)

    async def sees(self, status: str) -> None:
        """The room as a socket would have told it."""
        await self.page.evaluate("state => attendance.follow(state)", {"status": status, "epoch": "e"})

    async def steps(self) -> list[str]:
        """What is known to the server, by its answers."""
        found: list[str] = await self.page.evaluate("steps")
        return found

    async def has_reported(self, *steps: str) -> None:
        """Comes back when the server has answered for these."""

        async def known() -> bool:
            return await self.steps() == list(steps)

        await eventually(known, f"the page has reported {steps}")


async def test_failures_are_followed_by_ever_longer_waits_up_to_a_cap(visitors: Visitors) -> None:
    page = await quiet_page(visitors)

    for random, delays in ((1, BACKED_OFF), (0, [100] * 5), (0.5, [550, 1050, 2050, 2550, 2550])):
        assert await page.evaluate(BACKING_OFF, [random, 5]) == [delays, delays]


@pytest.mark.parametrize(("random", "least", "most"), [(0, 0, 0), (1, 4000, 5000)])
async def test_reports_are_spread_over_five_seconds(
    site: Site, visitors: Visitors, random: float, least: int, most: int
) -> None:
    await site.transactions.create(room(status="live"))
    reporter = await Reporter.of(visitors, random)
    await reporter.sees("live")
    assert least <= await reporter.clock.ends() <= most
    await reporter.has_reported("entered")

    await site.status("stop")
    await reporter.sees("finished")
    assert least <= await reporter.clock.ends() <= most
    await reporter.has_reported("entered", "completed")


async def test_who_is_told_that_it_is_not_live_yet_goes_on_asking_while_the_page_sees_it_live(
    site: Site, visitors: Visitors
) -> None:
    """The page may know of a start that this process has not heard of, or not yet of a pause that ends soon."""
    await site.transactions.create(room())
    visitors.may_be_refused = True
    reporter = await Reporter.of(visitors, random=1)
    await reporter.sees("live")
    await reporter.clock.ends()

    assert [await reporter.clock.ends() for _ in BACKED_OFF] == BACKED_OFF
    await wait_until(lambda: len(reporter.answers) == 1 + len(BACKED_OFF), "each report was refused")
    await site.status("start")
    await reporter.clock.ends()
    await reporter.has_reported("entered")
    assert set(reporter.answers[:-1]) == {409}


async def test_who_is_told_that_it_is_not_live_stops_asking_when_the_page_sees_that_too(
    site: Site, visitors: Visitors
) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    reporter = await Reporter.of(visitors, random=1)
    await reporter.sees("live")
    for _ in range(2):
        await reporter.clock.ends()
    await wait_until(lambda: len(reporter.answers) == 2, "two reports were refused")
    await reporter.sees("paused")
    await reporter.clock.ends()
    await wait_until(lambda: len(reporter.answers) == 3, "the third is the last")
    await reporter.page.evaluate("fetch('/healthz').then((answer) => answer.text())")

    assert await reporter.clock.number() == 0

    await reporter.sees("live")
    await reporter.sees("paused")
    assert 4000 <= await reporter.clock.ends() <= 5000
    assert (await reporter.clock.number(), len(reporter.answers)) == (0, 3)


async def test_who_may_not_report_does_not_ask_again(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room(status="live"))
    visitors.may_be_refused = True
    reporter = await Reporter.of(visitors, random=0, sub="43")
    await reporter.sees("live")
    await reporter.clock.ends()
    await wait_until(lambda: reporter.answers == [403], "another lead's report is refused")
    await reporter.page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    await reporter.sees("live")

    assert (await reporter.clock.number(), await reporter.steps()) == (0, [])


async def test_where_sockets_are_blocked_the_page_polls_and_goes_on_trying(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    await site.transactions.create(room())
    page = await quiet_page(visitors)
    wire.blocks_sockets = True
    clock = await Stepped.on(page)
    await page.evaluate(CONNECTING, site.token("attendee"))
    ended = list[int]()
    while ended.count(5000) < 2:
        assert len(ended) < 50, ended
        ended.append(await clock.ends())

    at_once, poll, handshake = 0, 4500, 10_000
    assert [ms for ms in ended if ms not in {at_once, poll, handshake}] == BACKED_OFF
    assert ended.count(poll) > 1
    assert await page.evaluate("[...shown]") == ["connecting", "polling"]
