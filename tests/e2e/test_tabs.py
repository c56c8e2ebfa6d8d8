"""Several tabs of one person, and a tab that slept."""

from playwright.async_api import Page, expect

from tests.e2e.visitors import Visitors, due, shows
from tests.e2e.wire import Wire
from tests.support import Site, wait_until


async def second_tab(page: Page, visitors: Visitors) -> Page:
    """The same link opened once more in the same browser."""
    other = await page.context.new_page()
    visitors.watch(other)
    await other.goto(f"http://{visitors.address}/room/w#token={visitors.site.token('attendee')}")
    return other


def plays(page: Page) -> bool:
    """Whether the page holds a player: a hidden frame would still be heard."""
    return [frame.url for frame in page.frames[1:]] not in ([], ["about:blank"])


async def test_the_player_is_gone_after_the_end(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(player_url=f"http://{site.address}/demo/player"))
    page = await visitors.attendee()
    await shows(page, connection="open")
    await site.status("start")
    await wait_until(lambda: plays(page), "the player is there")
    await shows(page, attendance="entered")
    await site.status("stop")
    await shows(page, status="finished")
    await wait_until(lambda: not plays(page), "the player is gone")


async def test_of_two_tabs_only_the_newer_plays(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(player_url=f"http://{site.address}/demo/player"))
    one = await visitors.attendee()
    await shows(one, connection="open")
    other = await second_tab(one, visitors)
    await site.status("start")
    for page in (one, other):
        await shows(page, status="live", connection="open", attendance="entered")
    await expect(other.frame_locator("#player").locator("h1")).to_be_visible()
    await expect(one.locator("#elsewhere")).to_be_visible()
    assert plays(one) is False

    await one.click("#watch-here")
    await expect(one.frame_locator("#player").locator("h1")).to_be_visible()
    await expect(other.locator("#elsewhere")).to_be_visible()
    await wait_until(lambda: not plays(other), "the other tab is silent")

    await one.close()
    await expect(other.frame_locator("#player").locator("h1")).to_be_visible()
    await expect(other.locator("#elsewhere")).to_be_hidden()


async def test_two_tabs_report_one_person_once(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    one = await visitors.attendee()
    other = await second_tab(one, visitors)
    await site.status("start")
    for page in (one, other):
        await shows(page, attendance="entered")
    await site.status("stop")
    for page in (one, other):
        await shows(page, status="finished", attendance="completed")
    assert (await site.completed(42)).json()["duplicate"] is True


async def test_pages_that_are_gone_back_to_go_on_where_they_were(site: Site, visitors: Visitors) -> None:
    """Some browsers keep the whole page and show it again, others load it again."""
    await site.transactions.create(due())
    visitors.may_be_refused = True  # a page that is kept loses its socket, and the browser says so
    phone, console = await visitors.attendee(), await visitors.speaker()
    monitor = await visitors.open("/monitor", site.token("monitor", "*"))
    for page in (phone, console, monitor):
        await shows(page, connection="open")
        await page.goto(f"http://{visitors.address}/demo/cta")
    await site.status("start")
    for page in (phone, console, monitor):
        await page.go_back(wait_until="commit")
        await shows(page, connection="open")
    await shows(phone, status="live", attendance="entered")
    await shows(console, status="live")
    await console.click("button[data-hook=stop]")
    await console.click("[data-confirm]")
    await shows(phone, status="finished", counted="true")


async def test_a_page_that_the_browser_kept_looks_again_when_it_is_shown(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, status="scheduled", connection="open")
    wire.freeze_sockets()
    await site.status("start")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await shows(page, status="live", connection="open", attendance="entered")


async def test_a_tab_that_is_opened_anew_needs_nothing_but_its_address(site: Site, visitors: Visitors) -> None:
    """A session that is restored, a bookmark, a copied address, "open in Safari"."""
    await site.transactions.create(due())
    await site.status("start")
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    other = await visitors.blank()
    await other.goto(page.url)
    await shows(other, connection="open", status="live", attendance="entered")


async def test_a_frozen_tab_that_wakes_shows_what_is_now(site: Site, visitors: Visitors, wire: Wire) -> None:
    """A phone freezes the pages that nobody sees; their sockets die meanwhile, and nobody tells them."""
    await site.transactions.create(due(cta_label="Записаться", cta_url="https://example.org/"))
    page = await visitors.attendee()
    await shows(page, status="scheduled", connection="open")
    driver = await page.context.new_cdp_session(page)
    await driver.send("Page.setWebLifecycleState", {"state": "frozen"})
    wire.freeze_sockets()
    await site.status("start")
    await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
    await driver.send("Page.setWebLifecycleState", {"state": "active"})
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await shows(page, status="live")
    await expect(page.locator("a[data-cta]")).to_have_text("Записаться")
    await shows(page, connection="open")
