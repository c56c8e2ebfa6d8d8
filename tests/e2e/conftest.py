"""A real browser for the tests: the Chromium that stands on the PATH."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

from tests.conftest import tasks_end
from tests.e2e.visitors import Visitors
from tests.e2e.wire import Wire
from tests.support import LOW_PRIORITY, PATIENCE, Site, serving, settings_for

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--mute-audio",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-hang-monitor",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--renderer-process-limit=1",  # these three: as few processes as it can do with
    "--in-process-gpu",
    "--disable-features=SpareRendererForSitePerProcess",
]


in_the_drivers_loop = pytest_asyncio.fixture(loop_scope="session")


def pytest_pycollect_makeitem(name: str, obj: object) -> None:
    """Playwright's objects belong to the loop in which its driver was started: the tests here share it."""
    if name.startswith("test_") and iscoroutinefunction(obj):
        pytest.mark.asyncio(loop_scope="session")(obj)


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """The address of a headless browser that all tests of this process share; each has contexts of its own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail(f"no browser: none of {', '.join(NAMES)} is on the PATH; `make test` installs it")
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as folder:
        command = [
            *LOW_PRIORITY,
            program,
            *QUIET,
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        # A group of its own: Debian's program is a script, which the browser would outlive.
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield address_of_browser(Path(folder) / "DevToolsActivePort")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def address_of_browser(told: Path) -> str:
    """Where it listens, once it has written that down."""
    for _ in range(int(20 * PATIENCE)):
        lines = told.read_text().split() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        subprocess.run(["sleep", "0.05"], check=True)
    raise TimeoutError("the browser does not listen")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """The browser's driver: a process that takes half a second to start, so it is started once."""
    async with async_playwright() as driver:
        yield driver


@in_the_drivers_loop
async def browser(playwright: Playwright, chromium: str) -> AsyncIterator[Browser]:
    """The browser; what a test opened in it is closed with the test."""
    connected = await playwright.chromium.connect_over_cdp(chromium)
    yield connected
    await connected.close()


@in_the_drivers_loop
async def site(valkey_url: str) -> AsyncIterator[Site]:
    """As for every other test, in the driver's loop."""
    async with serving(settings_for(valkey_url)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """As for every other test, in the driver's loop."""
    async for _ in tasks_end():
        yield


@in_the_drivers_loop
async def visitors(site: Site, browser: Browser) -> AsyncIterator[Visitors]:
    """People with browsers in front of a running site."""
    async with Visitors(browser, site) as people:
        yield people


@in_the_drivers_loop
async def wire(site: Site, visitors: Visitors) -> AsyncIterator[Wire]:
    """A network between those people and the site that a test can spoil."""
    async with Wire(site.address) as relay:
        visitors.address = relay.address
        visitors.may_be_refused = True
        yield relay
