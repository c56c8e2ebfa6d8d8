"""Who follows the call to action is known to the server, once, and follows it whatever the server says."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.oldest import without_what_came_later
from tests.e2e.visitors import Visitors, due, shows
from tests.e2e.wire import Wire, answered
from tests.support import Site, eventually

HOOK = "/hooks/client_webinar_cta_clicked"


async def offered(site: Site) -> None:
    """A live webinar whose call to action is shown."""
    await site.transactions.create(due(cta_label="Записаться", cta_url=f"http://{site.address}/demo/cta"))
    await site.status("start")
    await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})


async def clicked(site: Site, lead_id: int = 42) -> bool:
    participation = (await site.store.load("w", lead_id)).participation
    return participation is not None and participation.cta_clicked_at is not None


async def follow(phone: Page, **how: Any) -> None:
    """A click; the offer opens in a tab of its own."""
    async with phone.context.expect_page() as opened:
        await phone.locator("a[data-cta]").click(**how)
    await expect((await opened.value).locator("h1")).to_be_visible()


@pytest.mark.parametrize("how", [{}, {"button": "middle"}], ids=["clicked", "opened in the background"])
async def test_a_click_is_reported_once(site: Site, visitors: Visitors, how: dict[str, Any]) -> None:
    await offered(site)
    phone = await visitors.attendee()
    sent: list[str] = []
    phone.on("request", lambda request: sent.append(request.url) if HOOK in request.url else None)
    await follow(phone, **how)
    await eventually(lambda: clicked(site), "the click is known")
    await follow(phone, **how)

    assert len(sent) == 1


async def test_a_click_outlives_its_page(site: Site, visitors: Visitors) -> None:
    await offered(site)
    phone = await visitors.attendee()
    await expect(phone.locator("a[data-cta]")).to_be_visible()
    await phone.evaluate("document.querySelector('a[data-cta]').target = '_self'")
    await phone.locator("a[data-cta]").click()

    await expect(phone.locator("body.cta h1")).to_be_visible()
    await eventually(lambda: clicked(site), "the click is known")


async def test_the_oldest_browsers_report_it_too(site: Site, visitors: Visitors) -> None:
    await offered(site)
    phone = await visitors.blank()
    await phone.context.add_init_script(without_what_came_later())
    await phone.goto(f"http://{site.address}/room/w#token={site.token('attendee')}")
    await follow(phone)

    await eventually(lambda: clicked(site), "the click is known")


async def test_what_a_proxy_answered_is_sent_again_and_the_link_works_meanwhile(site: Site, visitors: Visitors) -> None:
    await offered(site)
    async with Wire(site.address) as wire:
        wire.instead[HOOK] = answered(502, "<html>")
        visitors.address, visitors.may_be_refused = wire.address, True
        visitors.hosts.add(site.address)
        phone = await visitors.attendee()
        await follow(phone)
        await eventually(lambda: asyncio.sleep(0, len(wire.taken) > 1), "it is sent again")
        wire.instead.clear()
        await eventually(lambda: clicked(site), "the click is known")


async def test_a_speaker_who_looks_at_the_room_reports_nothing(site: Site, visitors: Visitors) -> None:
    await offered(site)
    page = await visitors.open("/room/w", site.token("speaker"))
    await shows(page, status="live")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/hooks/" in request.url else None)
    await follow(page)

    assert sent == []
