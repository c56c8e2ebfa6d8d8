"""Everybody at once: attendee, speaker, monitor and guest through a whole webinar, while servers and Redis go away."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from room_server.clock import utc_now
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, shows
from tests.outage import own_redis
from tests.support import TOKEN_SECRET, Site, eventually, serving, settings_for
from tests.terminal import running


async def card(guest: Page, heading: str) -> None:
    """The guest looks at the schedule, which may be a second old, until the webinar stands under this heading."""

    async def stands() -> bool:
        await guest.reload()
        await expect(guest.locator("[data-webinar=w]")).to_be_visible()
        return bool(await guest.locator(f"#{heading} [data-webinar=w]").count())

    await eventually(stands, f"the webinar is among {heading}")


async def test_a_webinar_survives_a_restart_of_the_server(valkey_url: str, site: Site, visitors: Visitors) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    await site.transactions.create(due(cta_label="Записаться", cta_url="https://example.org/"))
    async with running("web", "--port", "0", **environment) as first:
        visitors.address = urlsplit(first.address).netloc
        visitors.may_be_refused = True
        phone, console, guest = await visitors.attendee(7), await visitors.speaker(), await visitors.open("/")
        monitor = await visitors.open("/monitor", site.token("monitor", "*"), **LAPTOP)
        outsider = await visitors.open("/room/w", site.token("guest"))
        await shows(outsider, connection="refused")
        for page in (phone, console, monitor):
            await shows(page, connection="open")
        await card(guest, "upcoming")
        await console.click("button[data-hook=start]")
        await shows(phone, status="live", attendance="entered")
        await card(guest, "now")
        await expect(monitor.locator("[data-room=w] .held")).to_have_attribute("data-total", "2")
        assert (await first.end())[0] == 0
    for page in (phone, console):
        await shows(page, connection="connecting", status="live")
    async with running("web", "--port", str(urlsplit(first.address).port), **environment):
        for page in (phone, console, monitor):
            await shows(page, connection="open")
        await console.click("button[data-hook=cta]")
        await expect(phone.locator("a[data-cta]")).to_have_text("Записаться")
        await expect(monitor.locator("[data-room=w] [data-reached]")).to_have_text("2 из 2")
        await console.click("button[data-hook=stop]")
        await console.click("[data-confirm]")
        for page in (phone, console):
            await shows(page, status="finished")
        await shows(phone, attendance="completed")
        await expect(monitor.locator("[data-room=w] .evaluation")).to_be_visible()
        await card(guest, "past")
        assert (await site.completed(7)).json()["duplicate"] is True
        for page in (phone, console, monitor, guest):
            await page.close()


async def test_redis_goes_away_for_five_seconds(browser: Browser) -> None:
    """The monitor says so when its figures are five seconds old: that is how long Redis stays away."""
    async with (
        own_redis() as redis,
        serving(settings_for(redis.url)) as site,
        Visitors(browser, site) as visitors,
    ):
        visitors.may_be_refused = True
        await site.transactions.create(due(cta_label="Записаться", cta_url="https://example.org/"))
        phone, console = await visitors.attendee(7), await visitors.speaker()
        monitor = await visitors.open("/monitor", site.token("monitor", "*"), **LAPTOP)
        await console.click("button[data-hook=start]")
        await shows(phone, status="live", attendance="entered")
        await shows(monitor, connection="open")

        redis.freeze()
        await console.click("button[data-hook=cta]")
        await expect(monitor.locator("#stale")).to_be_visible()
        await expect(console.locator("#refusal")).to_contain_text("Нажмите ещё раз: повтор безопасен.")
        for page in (phone, console):
            await shows(page, status="live")
        redis.thaw()

        await expect(monitor.locator("#stale")).to_be_hidden()
        await expect(console.locator("button[data-hook=cta]")).to_be_enabled()
        stored = (await site.store.load("w")).room
        if stored is not None and stored.cta_visibility == "hidden":  # else Redis did what the first press asked for
            await console.click("button[data-hook=cta]")
        await expect(phone.locator("a[data-cta]")).to_have_text("Записаться")
        await shows(phone, status="live", connection="open")
        for page in (phone, console, monitor):
            await page.close()


async def test_a_clock_that_is_wrong_is_put_right(valkey_url: str, site: Site, visitors: Visitors) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    await site.transactions.create(due(scheduled_at=utc_now() + timedelta(minutes=30, seconds=30)))
    async with running("web", "--port", "0", **environment) as web:
        visitors.address = urlsplit(web.address).netloc
        page = await visitors.blank(**PHONE)
        await page.clock.install(time=utc_now() + timedelta(minutes=20))
        await page.goto(f"{web.address}/room/w#token={site.token('attendee')}")
        await shows(page, connection="open")
        await expect(page.locator("#minutes")).to_have_text("30")
        await page.goto(f"{web.address}/monitor#token={site.token('monitor', '*')}")
        await expect(page.locator("#nodes small").first).to_have_text(re.compile(r"веб-процесс, \d с назад"))
        await page.close()
