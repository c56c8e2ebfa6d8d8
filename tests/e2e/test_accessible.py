"""What axe-core, which knows the rules of WCAG, finds in every page and state. Dark and light, small and large."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.async_api import Page, expect

from room_server.core.room import Room, RosterEntry, Status
from room_server.state import roster
from tests.e2e.test_report import watched
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, shows
from tests.support import Site, next_state

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
GRAVE = {"serious", "critical"}
LOOKS = [
    pytest.param({**PHONE, "color_scheme": "light"}, id="phone"),
    pytest.param({**LAPTOP, "color_scheme": "dark", "locale": "en-GB"}, id="laptop"),
]


async def watched_by_axe(visitors: Visitors, look: dict[str, Any]) -> Page:
    """A page that has axe before its own scripts. The driver brings it, once, so the page's policy stays as it is."""
    page = await visitors.blank(**look, reduced_motion="reduce")
    await page.context.add_init_script(AXE)
    return page


def states(look: dict[str, Any], soak: bool) -> list[Status]:
    """All, in the long form; else half of them on the phone, and the others on the laptop."""
    return list(Status) if soak else list(Status)["is_mobile" in look :: 2]


async def findings(page: Page) -> list[str]:
    """Serious and critical violations: rule and place, in a page that `watched_by_axe` opened."""
    await page.evaluate("() => Promise.all(document.getAnimations().map((one) => { one.finish() }))")
    results: dict[str, Any] = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{found['id']}: {node['target']}"
        for found in results["violations"]
        if found["impact"] in GRAVE
        for node in found["nodes"]
    ]


def full(site: Site, status: Status) -> Room:
    """A webinar that shows all that there is to show in this state."""
    return due(
        status,
        status=status,
        title="Как всё начиналось",
        description="Разбор",
        cta_visibility="visible",
        cta_label="Записаться",
        cta_url=f"http://{site.address}/demo/cta",
        player_url=f"http://{site.address}/demo/player",
        recording_url=f"http://{site.address}/demo/recording",
        on_air_ms=7 * 3_600_000,
    )


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("page_name", ["room", "speaker"])
async def test_room_and_console_in_every_state(
    site: Site, visitors: Visitors, page_name: str, look: dict[str, Any], soak: bool
) -> None:
    page = await watched_by_axe(visitors, look)
    token = site.token("organizer", "*")
    for status in states(look, soak):
        await site.transactions.create(full(site, status))
        await page.goto(f"http://{site.address}/{page_name}/{status}#token={token}")
        await shows(page, status=status, connection="open")
        assert await findings(page) == [], status


@pytest.mark.parametrize("look", LOOKS)
async def test_the_report_in_every_state(site: Site, visitors: Visitors, look: dict[str, Any], soak: bool) -> None:
    page = await watched_by_axe(visitors, look)
    token = site.token("organizer", "*")
    for status in Status:
        await site.transactions.create(full(site, status))
    await watched(site, full(site, Status.ARCHIVED))
    for status in [*states(look, soak), Status.ARCHIVED]:  # this one has all figures
        await page.goto(f"http://{site.address}/report/{status}#token={token}")
        await shows(page, status=status)
        assert await findings(page) == [], status
    await page.click("summary")
    assert await findings(page) == []


@pytest.mark.parametrize("look", LOOKS)
async def test_schedule_and_monitor_full_and_empty(site: Site, visitors: Visitors, look: dict[str, Any]) -> None:
    page = await watched_by_axe(visitors, look)
    token = site.token("monitor", "*")
    for path, empty in (("/", "#empty"), (f"/monitor#token={token}", "#no-rooms")):
        await page.goto(f"http://{site.address}{path}")
        await expect(page.locator(empty)).to_be_visible()
        assert await findings(page) == [], path
    for status in Status:
        await site.transactions.create(full(site, status))
    await roster.import_roster(site.store, "live", [RosterEntry(lead_id=1)], False)
    await site.hook("core_webinar_set_status", {"webinar_id": "live", "status": "stop"})
    await site.hook("core_webinar_set_status", {"webinar_id": "archived", "status": "start"})
    async with site.socket(webinar_id="paused") as socket:
        await next_state(socket)
        await expect(page.locator("[data-room=paused] .roles li")).to_be_visible()
        await expect(page.locator("[data-room=live] progress")).to_be_visible()
        await expect(page.locator("#hooks tbody tr")).to_have_count(2)
        assert await findings(page) == []
    await page.goto(f"http://{site.address}/")
    await expect(page.locator("[data-webinar]")).to_have_count(len(Status) - 1)
    assert await findings(page) == []


@pytest.mark.parametrize("look", LOOKS)
async def test_troubles_and_questions(site: Site, visitors: Visitors, look: dict[str, Any]) -> None:
    visitors.may_be_refused = True
    page = await watched_by_axe(visitors, look)
    expired = site.token("attendee", ttl=-60)
    for path in ("/room/w", f"/room/w#token={expired}", "/speaker/w", "/monitor", f"/monitor#token={expired}"):
        await page.goto("about:blank")
        await page.goto(f"http://{site.address}{path}")
        await shows(page, connection="refused")
        assert await findings(page) == [], path
    await site.transactions.create(due(status="live"))
    await page.goto(f"http://{site.address}/speaker/w#token={site.token('speaker')}")
    await page.click("button[data-hook=stop]")
    await expect(page.locator("dialog[open]")).to_be_visible()
    assert await findings(page) == []
    await page.keyboard.press("Escape")
    await page.context.set_offline(True)
    await shows(page, connection="connecting")
    await page.click("button[data-hook=cta]")
    await expect(page.locator("#refusal")).to_be_visible()
    assert await findings(page) == []


@pytest.mark.parametrize("look", LOOKS[:1])
async def test_old_figures_and_another_tab(site: Site, visitors: Visitors, look: dict[str, Any]) -> None:
    visitors.may_be_refused = True
    await site.transactions.create(full(site, Status.LIVE))
    one = await watched_by_axe(visitors, look)
    address = f"http://{site.address}/room/live#token={site.token('speaker', '*')}"
    await one.goto(address)
    await shows(one, status="live")
    other = await one.context.new_page()
    await other.goto(address)
    await expect(one.locator("#elsewhere")).to_be_visible()
    assert await findings(one) == []
    await other.goto(f"http://{site.address}/monitor#token={site.token('monitor', '*')}")
    await expect(other.locator("[data-room=live]")).to_be_visible()
    await other.context.set_offline(True)
    await expect(other.locator("#stale")).to_be_visible()
    assert await findings(other) == []


async def test_what_is_wrong_would_be_found(visitors: Visitors) -> None:
    page = await watched_by_axe(visitors, PHONE)
    await page.goto(f"http://{visitors.address}/")
    await expect(page.locator("#empty")).to_be_visible()
    await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert await findings(page) == ["button-name: ['button']"]
