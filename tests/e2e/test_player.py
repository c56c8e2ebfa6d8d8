"""The player: the console shows it as attendees see it, and nobody is left in silence when it does not load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from playwright.async_api import Page, expect

from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, fits, shows
from tests.e2e.wire import answered
from tests.support import Site


class Elsewhere:
    """A player's server on an origin of its own, which answers every address with these bytes; none: not at all."""

    def __init__(self) -> None:
        self.answer = b""
        self.host = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, or hold the line until the browser leaves."""
        await reader.readuntil(b"\r\n\r\n")
        if not self.answer:
            await reader.read()
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def elsewhere(visitors: Visitors) -> AsyncIterator[Elsewhere]:
    """Such a server while the block runs."""
    there = Elsewhere()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    visitors.hosts.add(there.host)
    try:
        yield there
    finally:
        server.close()


async def player_is(page: Page, what: str) -> None:
    await expect(page.locator("#preview")).to_have_attribute("data-player", what)


async def plan(site: Site, **more: object) -> None:
    """Change what is planned of the webinar."""
    await site.transactions.edit("w", lambda room: msgspec.structs.replace(room, version=room.version + 1, **more))


async def test_the_console_shows_the_player_as_attendees_see_it(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(player_url=f"http://{site.address}/demo/player"))
    page = await visitors.speaker()
    await shows(page, status="scheduled")
    await expect(page.locator("#preview")).to_be_hidden()
    await site.status("start")
    await player_is(page, "loaded")
    await expect(page.frame_locator("#player").locator("h1")).to_be_visible()
    silent = "document.featurePolicy.allowsFeature('autoplay')"
    assert await page.frames[-1].evaluate(silent) is False  # beside an open microphone
    await site.act("pause")
    await shows(page, status="paused")
    await expect(page.frame_locator("#player").locator("h1")).to_be_visible()
    await site.status("stop")
    await shows(page, status="finished")
    await expect(page.locator("#preview")).to_be_hidden()
    await expect(page.locator("#player[src]")).to_have_count(0)


async def test_the_console_says_that_no_player_is_set(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    page = await visitors.speaker()
    await player_is(page, "none")
    await expect(page.locator("#preview-state")).to_contain_text("Адрес плеера не задан")


async def test_a_player_that_leads_elsewhere_is_told_of_and_can_be_let_in(site: Site, visitors: Visitors) -> None:
    async with elsewhere(visitors) as first, elsewhere(visitors) as second:
        first.answer = answered(302, Location=f"http://{second.host}/")
        second.answer = answered(200, "<!doctype html><meta charset=utf-8><title>Player</title><h1>Плеер</h1>")
        await site.transactions.create(due(status="live", player_url=f"http://{first.host}/player"))
        console, phone = await visitors.speaker(), await visitors.attendee()
        await player_is(console, "refused")
        await expect(console.locator("#preview-state")).to_contain_text("room-server webinar set w --frame-origin")
        await expect(phone.locator("#refused-player")).to_be_visible()
        await expect(phone.locator("#player")).to_be_hidden()
        await shows(phone, status="live", connection="open", attendance="entered")

        await plan(site, frame_origins=(f"http://{second.host}",))
        await expect(phone.frame_locator("#player").locator("h1")).to_have_text("Плеер")
        await expect(phone.locator("#refused-player")).to_be_hidden()
        await console.click("#preview-again")
        await player_is(console, "loaded")
        await expect(console.frame_locator("#player").locator("h1")).to_have_text("Плеер")
        assert all("frame-src" in words for words in visitors.wrong)
        visitors.wrong.clear()


async def test_a_refused_player_does_not_load_the_page_again_and_again(site: Site, visitors: Visitors) -> None:
    async with elsewhere(visitors) as first:
        first.answer = answered(302, Location="http://127.0.0.1:9/")
        await site.transactions.create(due(status="live", player_url=f"http://{first.host}/player"))
        phone = await visitors.attendee()
        loads: list[str] = []
        phone.on("load", lambda page: loads.append(page.url))
        await expect(phone.locator("#refused-player")).to_be_visible()
        await phone.clock.install()
        await phone.clock.run_for(120_000)
        assert len(loads) <= 1
        visitors.wrong.clear()


async def test_a_player_that_does_not_answer_is_told_of(site: Site, visitors: Visitors) -> None:
    async with elsewhere(visitors) as there:
        await site.transactions.create(due(status="live", player_url=f"http://{there.host}/player"))
        page = await visitors.blank(**LAPTOP)
        await page.clock.install()
        await page.goto(f"http://{visitors.address}/speaker/w#token={site.token('speaker')}", wait_until="commit")
        await player_is(page, "loading")
        await page.clock.fast_forward(15_000)
        await player_is(page, "late")
        await expect(page.locator("#preview-state")).to_contain_text("Не загрузился за 15 секунд.")
        await expect(page.locator("#preview-again")).to_be_visible()
        await page.close()


async def test_an_attendee_is_told_of_a_player_that_does_not_answer_and_can_try_again(
    site: Site, visitors: Visitors
) -> None:
    """Being counted has nothing to do with it."""
    async with elsewhere(visitors) as there:
        await site.transactions.create(due(status="live", player_url=f"http://{there.host}/player"))
        page = await visitors.blank(**PHONE, locale="en-GB")
        await page.clock.install()
        await page.goto(f"http://{visitors.address}/room/w#token={site.token('attendee')}", wait_until="commit")
        await shows(page, status="live", connection="open", attendance="entered")
        await expect(page.locator("#late-player")).to_be_hidden()
        await page.clock.fast_forward(15_000)
        await expect(page.locator("#late-player")).to_contain_text("The broadcast has not opened yet.")
        assert await fits(page)
        await page.click("#player-leave")
        await expect(page.locator("#late-player")).to_be_hidden()

        await page.clock.fast_forward(60_000)
        await expect(page.locator("#late-player")).to_be_hidden()
        await plan(site, player_url=f"http://{there.host}/other")
        await expect(page.locator("#player")).to_have_attribute("src", f"http://{there.host}/other")
        await page.clock.fast_forward(15_000)
        await expect(page.locator("#late-player")).to_be_visible()
        await site.act("pause")
        await expect(page.locator("#late-player")).to_be_hidden()  # the break is what is to be read
        await site.act("resume")
        there.answer = answered(200, "<!doctype html><meta charset=utf-8><title>Player</title><h1>Плеер</h1>")
        await page.click("#player-again")
        await expect(page.locator("#late-player")).to_be_hidden()
        await expect(page.frame_locator("#player").locator("h1")).to_have_text("Плеер")
        await page.clock.fast_forward(60_000)
        await expect(page.locator("#late-player")).to_be_hidden()
        await shows(page, attendance="entered")
