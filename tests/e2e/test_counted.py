"""Whether a person was counted: the page says what the server has stored, never what its own tab believes."""

from datetime import timedelta

import msgspec
from playwright.async_api import Page, expect

from room_server.clock import utc_now
from room_server.core.attendance_rule import AttendedBy
from room_server.core.room import RosterEntry
from room_server.core.watch_time import span
from room_server.errors import Unknown
from room_server.jobs.evaluation import Evaluations
from room_server.problems import body
from room_server.state import roster
from room_server.state.watch import Broadcast, add
from tests.e2e.visitors import Visitors, due, shows
from tests.e2e.wire import Wire, answered
from tests.support import Site, eventually, wait_until

THANKS, MISSED = "#completed", "#not-counted"


async def says_nothing(page: Page) -> None:
    """The page shows the end, and claims nothing of this person."""
    await shows(page, status="finished", connection="open")
    await expect(page.locator("body")).not_to_have_attribute("data-counted", "true")
    for text in (THANKS, MISSED):
        await expect(page.locator(text)).to_be_hidden()


async def freeze(page: Page, state: str) -> None:
    """Put the page to sleep as phones do (`frozen`), or wake it (`active`)."""
    driver = await page.context.new_cdp_session(page)
    await driver.send("Page.setWebLifecycleState", {"state": state})
    if state == "active":
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def has_attended(site: Site, lead_id: int = 42) -> bool | None:
    participation = (await site.store.load("w", lead_id)).participation
    return participation.attended if participation else None


async def test_who_stayed_to_the_end_is_counted(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    await expect(page.locator("body")).not_to_have_attribute("data-counted", "true")
    await site.status("stop")
    await shows(page, status="finished", attendance="completed", counted="true")
    await expect(page.locator(THANKS)).to_be_visible()
    assert await has_attended(site) is True


async def asleep_at_the_stop(site: Site, visitors: Visitors, wire: Wire) -> Page:
    """An attendee's page that was asleep, its socket dead, when the webinar ended."""
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    await freeze(page, "frozen")
    wire.freeze_sockets()
    await site.status("stop")
    return page


async def test_a_phone_that_wakes_within_the_grace_is_counted(site: Site, visitors: Visitors, wire: Wire) -> None:
    page = await asleep_at_the_stop(site, visitors, wire)
    await freeze(page, "active")
    await shows(page, status="finished", counted="true")
    assert await has_attended(site) is True


async def test_a_phone_that_wakes_after_the_grace_is_told_the_truth(site: Site, visitors: Visitors, wire: Wire) -> None:
    page = await asleep_at_the_stop(site, visitors, wire)
    await Evaluations(site.transactions).run_pending("w")
    await freeze(page, "active")
    await shows(page, status="finished", counted="false")
    await expect(page.locator(MISSED)).to_be_visible()
    await expect(page.locator(THANKS)).to_be_hidden()
    assert await has_attended(site) is False


async def test_a_phone_that_wakes_in_the_archive_is_told_the_truth(site: Site, visitors: Visitors, wire: Wire) -> None:
    page = await asleep_at_the_stop(site, visitors, wire)
    await Evaluations(site.transactions).run_pending("w")
    await site.act("archive")
    await freeze(page, "active")
    await shows(page, status="archived", counted="false")


async def test_a_link_that_is_opened_again_within_the_grace_completes(site: Site, visitors: Visitors) -> None:
    """The tab that had entered is lost; the server has not forgotten."""
    await site.transactions.create(due(status="live"))
    await site.entered(42)
    await site.status("stop")
    page = await visitors.attendee()
    await shows(page, status="finished", attendance="completed", counted="true")
    assert await has_attended(site) is True


async def test_a_link_that_is_opened_again_after_the_grace_only_asks(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    await site.entered(42)
    await site.status("stop")
    await Evaluations(site.transactions).run_pending("w")
    page = await visitors.blank()
    hooks: list[str] = []
    page.on("request", lambda request: hooks.append(request.url) if "/hooks/" in request.url else None)
    await page.goto(f"http://{visitors.address}/room/w#token={site.token('attendee')}")
    await shows(page, status="finished", counted="false")
    await expect(page.locator(MISSED)).to_be_visible()
    assert hooks == []


async def test_who_was_never_there_hears_it_once_that_is_certain(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    await roster.import_roster(site.store, "w", [RosterEntry(lead_id=42)], replace=False)
    await site.status("stop")
    page = await visitors.attendee()
    await says_nothing(page)
    await Evaluations(site.transactions).run_pending("w")
    await page.reload()
    await shows(page, counted="false")


async def test_a_stranger_to_the_roster_is_told_nothing(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    await site.status("stop")
    await Evaluations(site.transactions).run_pending("w")
    page = await visitors.attendee()
    async with page.expect_response("**/rooms/w/me"):
        await page.reload()
    await says_nothing(page)


async def test_a_page_that_is_loaded_again_asks_instead_of_reporting_again(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    await site.status("stop")
    await shows(page, counted="true")
    hooks: list[str] = []
    page.on("request", lambda request: hooks.append(request.url) if "/hooks/" in request.url else None)
    await page.reload()
    await shows(page, counted="true", attendance="completed")
    await site.act("archive")
    await page.reload()
    await shows(page, status="archived", counted="true")
    assert hooks == []


async def test_a_server_that_cannot_tell_is_believed_by_the_tabs_own_memory(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    """While servers are being replaced, an older one may answer that there is no such address."""
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    unknown = answered(404, body(Unknown("not_found", "no")), "application/problem+json")
    wire.instead = {"/rooms/w/me": unknown}
    address = page.url
    await page.goto("about:blank")
    await site.status("stop")
    await page.goto(address)
    await shows(page, status="finished", counted="true")
    assert await has_attended(site) is True


async def test_an_answer_that_leaves_it_open_is_followed_by_a_question(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    """Some webinars are evaluated only after the end: a completion is answered `attended: null`."""
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    unsettled = {"webinar_id": "w", "duplicate": False, "lead_id": 42, "attended": None}
    wire.instead = {
        "/hooks/client_webinar_completed": answered(200, msgspec.json.encode(unsettled), "application/json")
    }
    await site.status("stop")
    await wait_until(lambda: wire.taken, "the page has completed")
    await says_nothing(page)
    assert (await site.completed(42)).json()["attended"] is True

    async def counted() -> bool:
        await page.evaluate("dispatchEvent(new Event('online'))")
        return await page.locator("body").get_attribute("data-counted") == "true"

    await eventually(counted, "the page asked until the answer was certain")


async def test_a_new_webinar_under_the_same_id_begins_uncounted(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    page = await visitors.attendee()
    await shows(page, attendance="entered")
    await site.status("stop")
    await shows(page, counted="true")
    visitors.may_be_refused = True
    await site.store.delete("w")
    await site.transactions.create(due(status="live"))
    await page.reload()
    await shows(page, status="live")
    await expect(page.locator("body")).not_to_have_attribute("data-counted", "true")
    await eventually(lambda: entered_again(site), "the person entered the new one")
    await site.status("stop")
    await shows(page, counted="true")


async def entered_again(site: Site) -> bool:
    participation = (await site.store.load("w", 42)).participation
    return participation is not None and participation.entered_at is not None


async def test_who_watched_enough_is_counted_by_the_evaluation_and_told_how_long(
    site: Site, visitors: Visitors
) -> None:
    """The phone may sleep at the stop: nothing that it does then matters under this rule."""
    began = utc_now() - timedelta(minutes=10)
    rule = {"attended_by": AttendedBy.WATCHED, "min_watch": "5m"}
    await site.transactions.create(due(status="live", started_at=began, on_air_since=began, **rule))
    for lead, minutes in ((42, 7), (43, 2)):
        await add(site.store, Broadcast("w", began), {lead: span(0, minutes * 60_000)})
    await site.status("stop")
    await Evaluations(site.transactions).run_pending("w")
    for lead, counted, told in ((42, "true", "Вы смотрели 7 мин."), (43, "false", "Вы смотрели 2 мин.")):
        page = await visitors.attendee(lead)
        await shows(page, status="finished", counted=counted)
        await expect(page.locator("#watched")).to_have_text(told)
