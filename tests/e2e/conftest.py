"""A real browser for the tests: the Chromium that stands on the PATH."""

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.e2e.visitors import Visitors
from tests.e2e.wire import Wire
from tests.support import Site

NAMES = ("chromium", "chromium-browser", "google-chrome")
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
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """The address of a headless browser that all tests of this process share; each has contexts of its own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail(f"no browser: none of {', '.join(NAMES)} is on the PATH; `make test` installs it")
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as folder:
        command = [program, *QUIET, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield address_of_browser(Path(folder) / "DevToolsActivePort")
        finally:
            process.terminate()
            process.wait()


def address_of_browser(told: Path) -> str:
    """Where it listens, once it has written that down."""
    for _ in range(400):
        lines = told.read_text().split() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        subprocess.run(["sleep", "0.05"], check=True)
    raise TimeoutError("the browser does not listen")


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """The browser; what a test opened in it is closed with the test."""
    async with async_playwright() as playwright:
        connected = await playwright.chromium.connect_over_cdp(chromium)
        yield connected
        await connected.close()


@pytest.fixture
async def visitors(site: Site, browser: Browser) -> AsyncIterator[Visitors]:
    """People with browsers in front of a running site."""
    async with Visitors(browser, site) as people:
        yield people


@pytest.fixture
async def wire(site: Site, visitors: Visitors) -> AsyncIterator[Wire]:
    """A network between those people and the site that a test can spoil."""
    async with Wire(site.address) as relay:
        visitors.address = relay.address
        visitors.may_be_refused = True
        yield relay
