"""The pictures of docs/wordpress.md: WordPress, the plugin and a room server, photographed in a headless browser.

A webinar is played on a real site: its owner tests the connection, its speaker starts and stops, two people come, one
does not. Run it with the root of this repository as PYTHONPATH; it uses what the tests use.
"""

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.wordpress.live import Live, live
from tests.wordpress.site import database

IMAGES = Path(__file__).parents[1] / "docs" / "images"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LAPTOP = {"width": 1120, "height": 760}
PHONE = {"width": 390, "height": 844}
WEBINAR = "/webinar/first-lesson/"


async def logged_in(browser: Browser, shown: Live, name: str, size: dict[str, int]) -> Page:
    """A window in which that user is logged in."""
    context = await browser.new_context(locale="en-GB", viewport=size, color_scheme="light", reduced_motion="reduce")
    await context.add_init_script("Math.random = () => 0")
    page = await context.new_page()
    page.set_default_timeout(60_000)
    await page.goto(f"{shown.site.home}/wp-login.php")
    await expect(page.locator("#user_login")).to_be_focused()  # WordPress moves the focus there after a moment
    await page.fill("#user_login", name)
    await page.fill("#user_pass", "password")
    await page.click("#wp-submit")
    return page


async def photograph(page: Page, name: str) -> None:
    """Keep what the page shows."""
    await page.wait_for_load_state("load")
    await page.screenshot(path=IMAGES / f"wordpress-{name}.png", animations="disabled")


async def of_the_owner(admin: Page, shown: Live) -> None:
    """The settings after a test of the connection, and the editor."""
    links = shown.links()
    await admin.goto(links["settings"])
    await admin.click("#room-server-check")
    await expect(admin.locator('[data-direction="in"]')).to_have_attribute("data-state", "ok", timeout=60_000)
    await admin.set_viewport_size({"width": LAPTOP["width"], "height": 1000})
    await photograph(admin, "settings")
    await admin.set_viewport_size({"width": LAPTOP["width"], "height": LAPTOP["height"]})
    await admin.goto(f"{shown.site.home}/wp-admin/edit.php?post_type=room_webinar")
    await admin.click("a.row-title")
    await expect(admin.locator(".editor-post-title__input")).to_be_visible()
    await admin.evaluate("wp.data.dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false)")
    await admin.locator("#room_server_scheduled_at").scroll_into_view_if_needed()
    await photograph(admin, "webinar")


async def of_the_visitors(browser: Browser, shown: Live) -> None:
    """The registration, the room before and during the webinar; then its end."""
    phone = await logged_in(browser, shown, "maria", PHONE)
    await phone.goto(f"{shown.site.home}{WEBINAR}")
    await photograph(phone, "register")
    await phone.click(".room-server-register button")
    await phone.goto(f"{shown.site.home}/webinars/")
    await photograph(phone, "schedule")
    others = [await logged_in(browser, shown, name, LAPTOP) for name in ("anna", "olga")]
    for page in (phone, *others):
        await page.goto(f"{shown.site.home}{WEBINAR}")
    await others[1].click(".room-server-console")
    await others[1].click("button[data-hook=start]")
    for page in (phone, others[0]):
        room = page.frame_locator(".room-server-room")
        await expect(room.locator("body")).to_have_attribute("data-attendance", "entered", timeout=60_000)
    await others[0].locator(".room-server-room").scroll_into_view_if_needed()
    await photograph(others[0], "room")
    await others[1].click("button[data-hook=stop]")
    await others[1].click("[data-confirm]")
    for page in (phone, others[0]):
        room = page.frame_locator(".room-server-room")
        await expect(room.locator("body")).to_have_attribute("data-counted", "true", timeout=60_000)


async def of_the_end(admin: Page, shown: Live) -> None:
    """Who came, once all are classified, and the deliveries."""
    for _ in range(120):
        await admin.goto(f"{shown.links()['who came']}&webinar=first-lesson")
        attended = await admin.locator("tr[data-lead] td:nth-child(5)").all_inner_texts()
        if "–" not in attended:
            break
        await asyncio.sleep(1)
    await photograph(admin, "attendance")
    await admin.goto(shown.links()["deliveries"])
    await photograph(admin, "deliveries")


async def main() -> None:
    """Play the webinar."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with database() as running:
        async with live(running) as shown, async_playwright() as playwright:
            await shown.site.user("maria")
            browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            admin = await logged_in(browser, shown, "admin", LAPTOP)
            await of_the_owner(admin, shown)
            await of_the_visitors(browser, shown)
            await of_the_end(admin, shown)
            await browser.close()


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    asyncio.run(main())
