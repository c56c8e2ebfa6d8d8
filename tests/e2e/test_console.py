"""The speaker's console: what can be pressed when, and what is said when it did not work."""

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.e2e.visitors import PHONE, Visitors, due, shows
from tests.e2e.wire import Wire
from tests.support import Site


async def enabled(page: Page) -> set[str]:
    """The buttons that can be pressed."""
    names: list[str] = await page.eval_on_selector_all(
        "button[data-hook]:not(:disabled)", "buttons => buttons.map((button) => button.dataset.hook)"
    )
    return set(names)


async def test_only_what_can_be_done_now_can_be_pressed(site: Site, visitors: Visitors) -> None:
    await site.store.create(due(status="draft"))
    page = await visitors.speaker()
    for trigger, status, buttons in [
        (None, "draft", set()),
        ("schedule", "scheduled", {"start", "cta"}),
        ("start", "live", {"stop", "cta"}),
        ("pause", "paused", {"stop", "cta"}),
        ("resume", "live", {"stop", "cta"}),
        ("stop", "finished", set()),
        ("archive", "archived", set()),
    ]:
        if trigger in {"start", "stop"}:
            await site.status(trigger)
        elif trigger:
            await site.act(trigger)
        await shows(page, status=status)
        assert await enabled(page) == buttons, status


async def test_stop_wants_a_confirmation(site: Site, visitors: Visitors) -> None:
    await site.store.create(due())
    await site.status("start")
    page = await visitors.speaker(**PHONE)
    await page.click("button[data-hook=stop]")
    await expect(page.locator("dialog[open] [data-confirm]")).to_be_visible()
    await expect(page.locator("[data-cancel]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    assert (await site.state()).json()["status"] == "live"


async def test_the_keyboard_alone_runs_a_webinar(site: Site, visitors: Visitors) -> None:
    await site.store.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    await page.keyboard.press("Tab")
    await expect(page.locator("button[data-hook=start]")).to_be_focused()
    await page.keyboard.press("Enter")
    await shows(page, status="live")
    await page.keyboard.press("Tab")
    await expect(page.locator("button[data-hook=stop]")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await shows(page, status="finished")


async def test_a_button_is_disabled_while_its_hook_is_under_way(site: Site, visitors: Visitors) -> None:
    await site.store.create(due())
    page = await visitors.speaker()
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/hooks/*", hold)
    await page.click("button[data-hook=start]")
    await expect(page.locator("button[data-hook=start]")).to_be_disabled()
    await expect(page.locator("button[data-hook=start]")).to_have_attribute("aria-busy", "true")
    await expect(page.locator("button[data-hook=cta]")).to_be_enabled()
    held.set()
    await shows(page, status="live")


async def test_two_speakers_who_press_at_once_are_both_content(site: Site, visitors: Visitors) -> None:
    await site.store.create(due())
    one, other = await visitors.speaker(), await visitors.speaker()
    for page in (one, other):
        await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    click = "document.querySelector('button[data-hook=start]').click()"
    await asyncio.gather(one.evaluate(click), other.evaluate(click))
    for page in (one, other):
        await shows(page, status="live")
        await expect(page.locator("#refusal")).to_be_hidden()


async def test_a_refused_hook_says_why_in_words(site: Site, visitors: Visitors, wire: Wire) -> None:
    """The console holds an old state, since its socket is silent: its press comes too late."""
    await site.store.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    wire.freeze_sockets()
    await site.status("start")
    await site.status("stop")
    await page.click("button[data-hook=start]")
    await expect(page.locator("#refusal")).to_contain_text("Вебинар уже завершён, начать его снова нельзя.")
    await shows(page, status="finished")


async def test_a_server_that_does_not_answer_is_told_from_a_refusal(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.store.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    wire.is_down = True
    wire.cut()
    await page.click("button[data-hook=start]")
    await expect(page.locator("#refusal")).to_contain_text("Сервер не ответил.")
    wire.is_down = False
    await shows(page, connection="open")
    await page.click("button[data-hook=start]")
    await shows(page, status="live")


@pytest.mark.parametrize("role", ["moderator", "system"])
async def test_who_may_only_watch_sees_no_button_enabled(site: Site, visitors: Visitors, role: str) -> None:
    await site.store.create(due())
    page = await visitors.speaker(role=role)
    await shows(page, status="scheduled")
    await expect(page.locator("#read-only")).to_be_visible()
    assert await enabled(page) == set()


async def test_time_on_air_leaves_pauses_out(site: Site, visitors: Visitors) -> None:
    await site.store.create(due(status="paused", on_air_ms=754_000))
    page = await visitors.speaker()
    await expect(page.locator("#on-air")).to_have_text("0:12:34")
    await site.act("resume")
    await expect(page.locator("#on-air")).to_have_text(re.compile(r"0:12:(3[6-9]|[45]\d)"))
