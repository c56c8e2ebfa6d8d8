"""The oldest browsers that are supported (docs/browsers.md), those below, and browsers with something switched off."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from room_server.api.pages import folder
from tests.e2e.oldest import LACKING, NO_STORAGE, without_what_came_later
from tests.e2e.test_webinar import with_everything
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, shows
from tests.e2e.wire import Wire, answered
from tests.support import Site

SCRIPTS = sorted(folder().glob("*.js"))
OLD_SCRIPT = folder() / "start.js"
"""The one script for every browser there is."""
TOO_NEW = {
    "a regular expression that looks behind": r"\(\?<[=!]",
    "a static block": r"\bstatic\s*\{",
    "await of a module": r"^(?:(?:export )?(?:const|let) .*= )?\(*await\b",
    "a private name looked for by `in`": r"#\w+ in\b",
    "an attribute of an import": r"\bwith\s*\{\s*type:",
    "a flag of regular expressions": r"/[gimsuy]*[dv][gimsuy]*\.(?:exec|test)\b",
}
"""Syntax that Safari 15, Chromium 89 or Firefox 90 does not read: one such line, and no script of the page runs."""


async def lacking(visitors: Visitors, scripts: list[str], path: str, role: str, **options: Any) -> Page:
    """A page in a browser that these scripts have deprived of something."""
    page = await visitors.blank(**options)
    for script in scripts:
        await page.context.add_init_script(script)
    scope = "*" if role == "monitor" else "w"
    await page.goto(f"http://{visitors.address}{path}#token={visitors.site.token(role, scope)}")
    return page


@pytest.mark.parametrize("what", LACKING)
async def test_a_browser_that_lacks_much_lives_through_a_whole_webinar(
    site: Site, visitors: Visitors, what: str
) -> None:
    await site.transactions.create(with_everything(site))
    phone = await lacking(visitors, LACKING[what], "/room/w", "attendee", **PHONE)
    console = await lacking(visitors, LACKING[what], "/speaker/w", "speaker", **LAPTOP)
    await console.click("button[data-hook=start]")
    await shows(console, status="live")
    await shows(phone, status="live", attendance="entered")
    await expect(phone.frame_locator("#player").locator("h1")).to_have_text("Пробная трансляция")
    await console.click("button[data-hook=cta]")
    await expect(phone.locator("a[data-cta]")).to_have_text("Записаться")
    await phone.reload()
    await shows(phone, status="live", attendance="entered")
    await console.click("button[data-hook=stop]")
    await console.click("[data-confirm]")
    await shows(console, status="finished")
    await shows(phone, status="finished", attendance="completed", counted="true")
    await expect(console.locator("[data-confirm]")).to_be_hidden()
    await expect(phone.locator("html")).to_have_attribute("lang", "ru")


@pytest.mark.parametrize("what", LACKING)
async def test_a_browser_that_lacks_much_shows_the_schedule_and_the_monitor(
    site: Site, visitors: Visitors, what: str
) -> None:
    await site.transactions.create(due())
    schedule = await lacking(visitors, LACKING[what], "/", "guest", **PHONE)
    await expect(schedule.locator("[data-webinar=w]")).to_be_visible()
    assert "undefined" not in await schedule.inner_text("main")
    monitor = await lacking(visitors, LACKING[what], "/monitor", "monitor", **LAPTOP)
    await expect(monitor.locator("[data-view=counts]")).to_be_visible()


async def test_a_question_can_be_answered_by_keyboard_where_dialogs_are_not_known(
    site: Site, visitors: Visitors
) -> None:
    await site.transactions.create(due(status="live"))
    page = await lacking(visitors, [without_what_came_later()], "/speaker/w", "speaker", **LAPTOP)
    await expect(page.locator("#question")).to_be_hidden()
    await page.click("button[data-hook=stop]")
    await expect(page.get_by_role("dialog", name="Завершить эфир?")).to_be_visible()
    await expect(page.locator("[data-cancel]")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#question")).to_be_hidden()
    assert (await site.state()).json()["status"] == "live"


async def test_the_language_can_be_changed_without_storage(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    for path, role in (("/room/w", "attendee"), ("/speaker/w", "speaker"), ("/monitor", "monitor")):
        page = await lacking(visitors, [NO_STORAGE], path, role, **PHONE)
        await shows(page, connection="open")
        await page.click("[data-other-language]")
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await shows(page, connection="open")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_script_has_syntax_that_the_oldest_browsers_cannot_read(script: Any) -> None:
    text = script.read_text()
    assert [what for what, pattern in TOO_NEW.items() if re.search(pattern, text, re.MULTILINE)] == []


def test_the_first_script_is_for_every_browser() -> None:
    newer = r"=>|`|\b(?:const|let|class|async|await|import|export|of)\b(?![^\n]*\*/)|\?\.|\?\?|\.\.\."
    code = re.sub(r"//[^\n]*", "", OLD_SCRIPT.read_text())
    assert re.findall(newer, code) == []


OLD = ["/room/w", "/speaker/w", "/monitor", "/"]


async def told_what_to_do(page: Page) -> None:
    """The page says in both languages what is needed."""
    note = page.locator(".not-started")
    await expect(note).to_be_visible()
    for words in ("обновите браузер", "update your browser", "Safari 15", "Chrome 89", "Firefox 90"):
        await expect(note).to_contain_text(words)


@pytest.mark.parametrize("path", OLD)
async def test_a_browser_that_cannot_read_the_scripts_is_told_so(visitors: Visitors, wire: Wire, path: str) -> None:
    """It reads the page, the styles and the one old script."""
    wire.instead = {"/static/dom.js": answered(200, "class { #?", "text/javascript")}
    page = await visitors.open(path)
    await expect(page.locator("html")).to_have_class(re.compile("too-old"))
    await told_what_to_do(page)
    visitors.wrong = []  # the browser's word on the script


async def test_a_browser_that_is_too_old_is_told_so_even_where_the_scripts_run(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    page = await lacking(visitors, ["CSS.supports = () => false;"], "/room/w", "attendee")
    await shows(page, connection="open")
    await told_what_to_do(page)


async def test_the_words_come_without_any_script_after_a_while(visitors: Visitors, wire: Wire) -> None:
    wire.instead = {"/static/start.js": answered(404), "/static/room.js": answered(200, "", "text/javascript")}
    page = await visitors.open("/room/w")
    await expect(page.locator(".not-started")).to_be_hidden()
    await page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    await told_what_to_do(page)
    visitors.wrong = []  # the browser's word on the script that is no script


@pytest.mark.parametrize("path", OLD)
async def test_whoever_has_switched_scripts_off_is_told_so_where_it_is_seen(visitors: Visitors, path: str) -> None:
    page = await visitors.open(path, java_script_enabled=False, **PHONE)
    told = page.locator("noscript")
    await expect(told).to_be_in_viewport()
    assert "Включите JavaScript." in await told.inner_text()
    await expect(page.locator(".connection:empty")).not_to_be_visible()


async def test_a_page_that_has_started_says_nothing_of_this(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, connection="open")
    await expect(page.locator("html")).to_have_attribute("data-started", "")
    await page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    await expect(page.locator(".not-started")).to_be_hidden()
