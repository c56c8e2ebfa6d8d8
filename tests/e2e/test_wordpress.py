"""A WordPress site's owner, its speaker and its visitors, from the plugin's archive to the table of who came."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, FrameLocator, Page, expect

from room_server.jobs.evaluation import Evaluations
from room_server.state.startup import open_state
from room_server.worker import work
from tests.e2e.visitors import LAPTOP, PATIENCE_MS, PHONE
from tests.support import HOOK_SECRET, TOKEN_SECRET, Site, eventually, serving, settings_for
from tests.wordpress.site import ROOT, Database, WordPress, database, wordpress

ROUTES = "add_action( 'post_webinar_route', function ( $data ) { rs_note( $data['lead_id'], $data['route'] ); } );"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Database]:
    """A database server in which WordPress is installed."""
    with database() as running:
        yield running


@asynccontextmanager
async def room_server_for(site: WordPress, valkey_url: str) -> AsyncIterator[Site]:
    """A room server, web process and worker, that tells this site what happens and lets it show rooms."""
    more = {"allowed_origins": site.home, "site_events_url": site.events_url}
    settings = settings_for(valkey_url, **more)
    stopping = asyncio.Event()
    async with serving(settings) as server, open_state(settings) as state:
        worker = asyncio.create_task(work(settings, state, stopping))
        try:
            yield server
        finally:
            stopping.set()
            await worker


async def opened(browser: Browser, site: WordPress, name: str, path: str = "/", **device: object) -> Page:
    """A browser of their own, in which that user has just logged in on the way to a page."""
    context = await browser.new_context(locale="en-GB", **device)  # type: ignore[arg-type]
    await context.add_init_script("Math.random = () => 0")  # nobody waits for chance
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{site.home}{path}")
    if not page.url.startswith(f"{site.home}/wp-login.php"):
        await page.locator('a[href*="wp-login.php"]').first.click()
    await expect(page.locator("#user_login")).to_be_focused()  # WordPress moves the focus there after a moment
    await page.fill("#user_login", name)
    await page.fill("#user_pass", "password")
    await page.click("#wp-submit")
    return page


async def install(page: Page, site: WordPress, archive: Path) -> None:
    """Upload the plugin and activate it."""
    await page.goto(f"{site.home}/wp-admin/plugin-install.php?tab=upload")
    await page.set_input_files("#pluginzip", archive)
    await page.click("#install-plugin-submit")
    await page.click('a[href*="action=activate"]')
    await expect(page.locator(".notice-warning")).to_contain_text("needs the address of the room server")


async def connect(page: Page, site: WordPress, server: Site) -> None:
    """Enter address and secrets, and test the connection."""
    await page.goto(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-settings")
    await page.fill("#room_server_url", f"http://{server.address}")
    await page.fill("#room_server_token_secret", TOKEN_SECRET)
    await page.fill("#room_server_hook_secret", HOOK_SECRET)
    await page.click("#submit")
    await page.click("#room-server-check")
    await expect(page.locator('[data-direction="out"]')).to_have_attribute("data-state", "ok")
    await expect(page.locator('[data-direction="in"]')).to_have_attribute("data-state", "ok")


async def plan(page: Page, site: WordPress) -> None:
    """Make a webinar in the editor: title, time, publish."""
    await page.goto(f"{site.home}/wp-admin/post-new.php?post_type=room_webinar")
    await close_welcome(page)
    await page.locator(".editor-post-title__input").fill("How it all began")
    at = datetime.now(UTC) + timedelta(hours=3, minutes=5)  # the site's zone is Moscow's
    await page.fill("#room_server_scheduled_at", at.strftime("%Y-%m-%dT%H:%M"))
    await page.click(".editor-post-publish-panel__toggle")
    await page.click(".editor-post-publish-panel .editor-post-publish-button")
    await expect(page.locator(".components-snackbar").first).to_be_visible()


async def close_welcome(page: Page) -> None:
    """The editor's guide, which greets who is there for the first time."""
    await page.evaluate("""() => {
        const { dispatch } = window.wp.data;
        dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false);
    }""")


async def enter(browser: Browser, site: WordPress, name: str) -> tuple[Page, FrameLocator]:
    """A visitor on a phone registers; the page, and the room in it."""
    page = await opened(browser, site, name, "/webinar/how-it-all-began/", **PHONE)
    await page.click(".room-server-register button")
    await expect(page.locator('[data-room-server="registered"]')).to_be_visible()
    return page, page.frame_locator(".room-server-room")


async def test_a_site_runs_a_webinar(browser: Browser, mariadb: Database, valkey_url: str, tmp_path: Path) -> None:
    archive = tmp_path / "room-server.zip"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "plugin.py"), str(archive)], check=True, capture_output=True)
    async with wordpress(mariadb, installed=False) as site, room_server_for(site, valkey_url) as server:
        site.listen(ROUTES)
        admin = await opened(browser, site, "admin", "/wp-admin/", **LAPTOP)
        await install(admin, site, archive)
        await connect(admin, site, server)
        await plan(admin, site)
        anna, absent = await site.user("anna"), await site.user("absent")
        await site.user("olga", "room_server_speaker")
        await eventually(lambda: is_planned(server), "the webinar is planned")
        await site.php(f"room_server_register_user( 'how-it-all-began', {absent} );")

        phone, room = await enter(browser, site, "anna")
        await expect(room.locator("body")).to_have_attribute("data-status", "scheduled")
        await expect(room.locator("h1").first).to_have_text("How it all began")
        speaker = await opened(browser, site, "olga", "/webinar/how-it-all-began/", **LAPTOP)
        await speaker.click(".room-server-console")
        await speaker.click("button[data-hook=start]")
        await expect(room.locator("body")).to_have_attribute("data-attendance", "entered")
        await speaker.click("button[data-hook=stop]")
        await speaker.click("[data-confirm]")
        await expect(room.locator("body")).to_have_attribute("data-counted", "true")
        await Evaluations(server.transactions).run_pending("how-it-all-began")

        await eventually(lambda: has_heard(site, 2), "both leads' routes have come")
        assert sorted(site.heard()) == sorted([[anna, "attended"], [absent, "not_attended"]])
        await admin.goto(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-attendance")
        await admin.click("text=How it all began")
        await expect(admin.locator(f'tr[data-lead="{anna}"]')).to_contain_text("yes")
        await expect(admin.locator(f'tr[data-lead="{absent}"]')).to_contain_text("no")
        await admin.click("text=Report")
        await expect(admin.locator('[data-report="registered"]')).to_have_text("2")
        await expect(admin.locator('[data-report="attended"]')).to_have_text("1")
        assert admin.url.startswith(f"http://{server.address}/report/how-it-all-began")
        for page in (phone, speaker, admin):
            await page.context.close()


async def is_planned(server: Site) -> bool:
    return (await server.store.load("how-it-all-began")).room is not None


async def has_heard(site: WordPress, count: int) -> bool:
    return len(site.heard()) >= count
