"""The way from the room to the bot: offered while the lead's chat is not known, and gone once it is."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from room_server.core.bindings import lead
from room_server.core.room import RosterEntry
from room_server.state import bot
from room_server.state.roster import import_roster
from room_server.telegram.deep_links import open_links
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, fits, shows
from tests.support import Site
from tests.telegram.people import bind

OFFER = "a[data-telegram]"


@pytest.mark.parametrize("options", [PHONE, LAPTOP], ids=["phone", "laptop"])
async def test_the_bot_is_offered_before_during_and_after(
    site: Site, visitors: Visitors, options: dict[str, Any]
) -> None:
    await site.transactions.create(due())
    await bot.keep_name(site.store, "a_bot")
    page = await visitors.attendee(**options)
    for word, status in ((None, "scheduled"), ("start", "live"), ("stop", "finished")):
        if word:
            await site.status(word)
        await shows(page, status=status)
        await expect(page.locator(OFFER)).to_be_visible()
        assert await fits(page)
    url = urlsplit(await page.locator(OFFER).get_attribute("href") or "")

    assert (url.netloc, url.path) == ("t.me", "/a_bot")
    links = await open_links(site.settings, site.store)
    assert links.person(parse_qs(url.query)["start"][0]) == lead(42)


async def test_the_offer_goes_once_the_lead_has_pressed_start(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    await bot.keep_name(site.store, "a_bot")
    visitors.hosts.add("t.me")
    page = await visitors.attendee()
    await page.context.route("https://t.me/**", lambda route: route.fulfill(body="Telegram"))
    async with page.expect_popup():
        await page.locator(OFFER).click()
    await bind(site.store, lead(42), 1001)

    await expect(page.locator(OFFER)).to_have_count(0)
    await expect(page.locator("#telegram")).to_have_text("Telegram подключён.")


async def test_nothing_is_offered_without_a_bot_or_to_whom_it_knows_or_to_a_speaker(
    site: Site, visitors: Visitors
) -> None:
    await site.transactions.create(due())
    stranger = await visitors.attendee(43)
    await expect(stranger.locator("body")).to_have_attribute("data-status", "scheduled")
    await expect(stranger.locator("#telegram")).to_be_empty()
    await bot.keep_name(site.store, "a_bot")
    await import_roster(site.store, "w", [RosterEntry(lead_id=42, candidate_chat_id=1001)], replace=False)
    known = await visitors.attendee(42)
    async with known.expect_response(lambda answer: answer.url.endswith("/me")):
        await known.reload()
    speaker = await visitors.open("/room/w", site.token("speaker"))
    await shows(speaker, status="scheduled")

    for page in (known, speaker):
        await expect(page.locator(OFFER)).to_have_count(0)
