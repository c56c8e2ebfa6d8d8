"""A real browser for every test: the Chromium that stands on the PATH."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.e2e.visitors import Visitors
from tests.e2e.wire import Wire
from tests.support import Site

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(f"no browser: none of {', '.join(NAMES)} is on the PATH; `make test` installs it")
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A fresh headless browser."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield launched
        await launched.close()


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
