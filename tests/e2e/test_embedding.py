"""A site embeds the room in a page of its own: it works where ALLOWED_ORIGINS says so, and nowhere else."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from playwright.async_api import Browser, FrameLocator, Page, expect

from tests.e2e.oldest import NO_RIGHT_TO_LOCKS, NO_STORAGE
from tests.e2e.visitors import LAPTOP, Visitors, due
from tests.support import Site, serving, settings_for, wait_until
from tests.test_examples import ROOT

PAGE = """<!doctype html><html lang="ru"><title>Школа</title><h1>Школа</h1>{frame}</html>"""
FRAME = re.compile(r"<iframe src=\"[^\"]*\".*?></iframe>", re.DOTALL)
DOCUMENTED = [FRAME.findall((ROOT / page).read_text("utf-8"))[0] for page in ("README.md", "docs/site.md")]
"""The frames that the documents give to sites."""


class School:
    """Another site, on an origin of its own: a page with a frame."""

    def __init__(self) -> None:
        self.frame = ""
        """The frame of the page, as HTML."""
        self.origin = ""
        self.asked: list[str] = []
        """The heads of the requests that came, in lower case."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer any request with the page, and any but the first address with nothing."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode("latin-1").lower())
        body = PAGE.format(frame=self.frame).encode() if head.startswith(b"GET / ") else b""
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: "
        writer.write(kind + str(len(body)).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def school() -> AsyncIterator[School]:
    """The other site; `localhost` is another site than 127.0.0.1 to a browser, not only another origin."""
    there = School()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.origin = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield there


async def visit(
    visitors: Visitors, there: School, address: str, *scripts: str, frame: str = DOCUMENTED[0]
) -> tuple[Page, FrameLocator]:
    """A browser at the school's page that embeds `address`; `scripts` run in every frame before its own."""
    there.frame = re.sub(r'src="[^"]*"', f'src="{address}"', frame)
    visitors.hosts.add(there.origin.removeprefix("http://"))
    page = await visitors.blank(**LAPTOP)
    for script in scripts:
        await page.context.add_init_script(script)
    await page.goto(f"{there.origin}/")
    return page, page.frame_locator("iframe")


async def test_a_site_that_is_allowed_embeds_the_room(valkey_url: str, browser: Browser) -> None:
    async with (
        school() as there,
        serving(settings_for(valkey_url, allowed_origins=there.origin)) as site,
        Visitors(browser, site) as visitors,
    ):
        player = f"http://{site.address}/demo/player"
        await site.transactions.create(due(player_url=player, cta_label="Да", cta_url="https://example.org/"))
        page, frame = await visit(visitors, there, f"http://{site.address}/room/w#token={site.token('attendee')}")
        body = frame.locator("body")
        await expect(body).to_have_attribute("data-connection", "open")
        await expect(body).to_have_attribute("data-status", "scheduled")
        await site.status("start")
        await expect(body).to_have_attribute("data-status", "live")
        await expect(frame.frame_locator("#player").locator("h1")).to_be_visible()
        await expect(body).to_have_attribute("data-attendance", "entered")
        await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
        await expect(frame.locator("a[data-cta]")).to_have_attribute("target", "_blank")
        assert await schedule_as_read_by(page, site) == 1


async def test_a_site_that_is_not_listed_gets_no_frame_and_no_data(
    valkey_url: str, site: Site, visitors: Visitors
) -> None:
    await site.transactions.create(due())
    for origins in ("", "https://elsewhere.example"):
        async with school() as there, serving(settings_for(valkey_url, allowed_origins=origins)) as strict:
            visitors.hosts |= {strict.address, "chromewebdata"}
            address = f"http://{strict.address}/room/w#token={site.token('attendee')}"
            page, frame = await visit(visitors, there, address)
            await expect(frame.locator("[data-view]")).to_have_count(0)
            refused = [words for words in visitors.wrong if "frame-ancestors" in words]
            assert len(refused) == 1
            assert await schedule_as_read_by(page, strict) is None
            visitors.wrong.clear()  # what the browser says to that, and nothing else
            await page.close()


@pytest.mark.parametrize("frame", DOCUMENTED, ids=["README.md", "docs/site.md"])
async def test_the_documented_frame_lets_the_player_sound_and_fill_the_screen(
    valkey_url: str, browser: Browser, frame: str
) -> None:
    async with (
        school() as there,
        serving(settings_for(valkey_url, allowed_origins=there.origin)) as site,
        Visitors(browser, site) as visitors,
    ):
        await site.transactions.create(due(status="live", player_url=f"http://{site.address}/demo/player"))
        link = f"http://{site.address}/room/w#token={site.token('attendee')}"
        page, room = await visit(visitors, there, link, frame=frame)
        await expect(room.frame_locator("#player").locator("h1")).to_be_visible()
        player = page.frames[-1]
        may = "names => names.filter((name) => document.featurePolicy.allowsFeature(name))"
        needed = ["autoplay", "fullscreen", "picture-in-picture", "encrypted-media"]
        assert await player.evaluate(may, needed) == needed
        assert await player.evaluate("document.fullscreenEnabled") is True


async def test_a_frame_without_storage_keeps_its_person_when_it_is_loaded_again_for_a_player(
    valkey_url: str, browser: Browser
) -> None:
    """At the moment of the start the player comes, and the page's policy does not know it yet."""
    async with (
        school() as there,
        serving(settings_for(valkey_url, allowed_origins=there.origin)) as site,
        Visitors(browser, site) as visitors,
    ):
        await site.transactions.create(due())
        link = f"http://{site.address}/room/w#token={site.token('attendee')}"
        _, frame = await visit(visitors, there, link, NO_STORAGE, NO_RIGHT_TO_LOCKS)
        body = frame.locator("body")
        await expect(body).to_have_attribute("data-connection", "open")
        player = f"http://{site.address}/demo/player"
        await site.transactions.edit("w", lambda room: msgspec.structs.replace(room, version=2, player_url=player))
        await site.status("start")
        await expect(frame.frame_locator("#player").locator("h1")).to_be_visible()
        await expect(body).to_have_attribute("data-connection", "open")
        await expect(body).to_have_attribute("data-attendance", "entered")
        await site.status("stop")
        await expect(body).to_have_attribute("data-counted", "true")
        assert [words for words in visitors.wrong if "frame-src" not in words] == []
        visitors.wrong.clear()


async def test_the_link_in_a_frame_can_be_taken_to_another_device(valkey_url: str, browser: Browser) -> None:
    async with (
        school() as there,
        serving(settings_for(valkey_url, allowed_origins=there.origin)) as site,
        Visitors(browser, site) as visitors,
    ):
        await site.transactions.create(due())
        link = f"http://{site.address}/room/w#token={site.token('attendee')}"
        _, frame = await visit(visitors, there, link)
        await frame.locator("#device-link").click()
        await expect(frame.locator("#device-address")).to_have_value(link)
        visitors.wrong.clear()  # the browser's word on the clipboard that the frame may not use


async def schedule_as_read_by(page: Page, site: Site) -> int | None:
    """How many webinars a script of that page can read; None where the browser does not let it."""
    read = "address => fetch(address).then((answer) => answer.json()).then((body) => body.webinars.length, () => null)"
    count: int | None = await page.evaluate(read, f"http://{site.address}/webinars")
    return count


async def test_the_player_is_told_which_site_shows_it_and_no_more(site: Site, visitors: Visitors) -> None:
    """Players refuse to play where they cannot tell who shows them; the page's path and its token are not theirs."""
    async with school() as there:
        visitors.hosts.add(there.origin.removeprefix("http://"))
        await site.transactions.create(due(status="live", player_url=f"{there.origin}/embed"))
        await visitors.attendee()
        heads = await wait_until(lambda: [head for head in there.asked if "/embed" in head], "the player was asked for")
    told = [line.partition(": ")[2] for line in heads[0].splitlines() if line.startswith("referer: ")]
    assert told == [f"http://{site.address}/"]
