"""A whole webinar as people live it: an attendee on a phone, a speaker at the console."""

from typing import Any

import msgspec
from playwright.async_api import Page, expect

from room_server.core.room import Room
from tests.e2e.visitors import Visitors, due, shows
from tests.support import Site, eventually


def with_everything(site: Site, **more: Any) -> Room:
    """A webinar whose player, call to action and recording are the demo's pages."""
    return due(
        title="Как всё начиналось",
        description="Разбор",
        cta_label="Записаться",
        cta_url=f"http://{site.address}/demo/cta",
        player_url=f"http://{site.address}/demo/player",
        recording_url=f"http://{site.address}/demo/recording",
        **more,
    )


async def height_of_player(page: Page) -> tuple[float, float]:
    box = await page.locator(".screen").bounding_box()
    assert box is not None
    return box["y"], box["height"]


async def test_a_phone_lives_through_a_whole_webinar(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    phone, console = await visitors.attendee(7, dice=True), await visitors.speaker()
    await shows(phone, status="scheduled", connection="open")
    await expect(phone.locator("[data-view=before] h1")).to_have_text("Как всё начиналось")

    await console.click("button[data-hook=start]")
    await shows(console, status="live")
    await shows(phone, status="live")
    player = phone.frame_locator("#player")
    await expect(player.locator("h1")).to_have_text("Пробная трансляция")
    await shows(phone, attendance="entered")
    assert (await site.entered(7)).json()["duplicate"] is True

    before = await height_of_player(phone)
    await expect(phone.locator("a[data-cta]")).to_have_count(0)
    await console.click("button[data-hook=cta]")
    offer = phone.locator("a[data-cta]")
    await expect(offer).to_have_text("Записаться")
    await expect(offer).to_have_attribute("href", f"http://{site.address}/demo/cta")
    assert await height_of_player(phone) == before

    await console.click("button[data-hook=stop]")
    await shows(phone, status="live")
    await console.click("[data-confirm]")
    await shows(console, status="finished")
    await shows(phone, status="finished", attendance="completed")
    assert (await site.completed(7)).json()["duplicate"] is True
    await expect(phone.locator("#recording")).to_have_attribute("href", f"http://{site.address}/demo/recording")
    await expect(phone.locator("#completed")).to_be_visible()


async def test_a_pause_keeps_the_player_where_it_is(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    phone = await visitors.attendee()
    await shows(phone, connection="open")
    await site.status("start")
    await expect(phone.frame_locator("#player").locator("h1")).to_be_visible()
    await phone.frames[1].evaluate("window.loadedOnce = true")
    await site.act("pause")
    await shows(phone, status="paused")
    await expect(phone.locator("#paused")).to_be_visible()
    await site.act("resume")
    await shows(phone, status="live")
    await expect(phone.locator("#paused")).to_be_hidden()
    assert await phone.frames[1].evaluate("window.loadedOnce") is True


async def test_a_player_that_comes_late_is_let_in(site: Site, visitors: Visitors) -> None:
    """The page's policy was made when there was none: the page is loaded again, once, and by itself."""
    await site.transactions.create(due(status="live"))
    phone = await visitors.attendee()
    await shows(phone, status="live")
    await expect(phone.locator("#no-player")).to_be_visible()
    player = f"http://{site.address}/demo/player"
    await site.transactions.edit("w", lambda room: msgspec.structs.replace(room, player_url=player))
    await expect(phone.frame_locator("#player").locator("h1")).to_have_text("Пробная трансляция")
    (refused,) = visitors.wrong
    assert "frame-src" in refused
    visitors.wrong.clear()


async def test_who_comes_after_the_end_has_not_completed(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    await site.status("start")
    await site.status("stop")
    phone = await visitors.attendee(8)
    await shows(phone, status="finished", connection="open")
    await expect(phone.locator("#completed")).to_be_hidden()
    assert (await site.completed(8)).json()["code"] == "lead_not_entered"


async def test_a_reloaded_page_still_completes_what_it_entered(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    await site.status("start")
    phone = await visitors.attendee(9)
    await shows(phone, attendance="entered")
    await phone.reload()
    await shows(phone, status="live", attendance="entered")
    await site.status("stop")
    await shows(phone, attendance="completed")
    assert (await site.completed(9)).json()["duplicate"] is True


async def test_who_leaves_right_at_the_end_is_counted(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    await site.status("start")
    phone = await visitors.attendee(10)
    await shows(phone, attendance="entered")
    await phone.evaluate("Math.random = () => 1")  # the report waits as long as it ever does
    await site.status("stop")
    await shows(phone, status="finished")
    await phone.goto("about:blank")
    await eventually(lambda: has_completed(site, 10), "the report that was waiting was sent")


async def has_completed(site: Site, lead_id: int) -> bool:
    participation = (await site.store.load("w", lead_id)).participation
    return participation is not None and participation.completed_at is not None


async def test_a_speaker_who_watches_the_room_is_no_attendee(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(with_everything(site))
    page = await visitors.open("/room/w", site.token("speaker"))
    hooks: list[str] = []
    page.on("request", lambda request: hooks.append(request.url) if "/hooks/" in request.url else None)
    await site.status("start")
    await expect(page.frame_locator("#player").locator("h1")).to_be_visible()
    await site.status("stop")
    await shows(page, status="finished")
    assert hooks == []
