"""The README's pictures: `room-server demo` on a port and a folder of its own, photographed in a headless browser."""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ROOM_SERVER = [sys.executable, "-m", "room_server"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TEXTS = {
    "--title": "How to teach a room you cannot see",
    "--description": "Two hours with examples and your questions.",
    "--cta-label": "Join the course",
    "--cta-url": "https://example.org/course",
}


@contextlib.contextmanager
def demo(folder: str) -> Iterator[dict[str, str]]:
    """The links that the demo prints, by name, while it runs."""
    command = [*ROOM_SERVER, "demo", "--port", "0", "--data-dir", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            yield dict(_links(process))
        finally:
            process.send_signal(signal.SIGTERM)


def _links(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    for line in process.stdout or ():
        if line.startswith("ready "):
            return
        name, _, address = line.strip().rpartition(" ")
        yield name.strip(), address


def tell(folder: str) -> None:
    """Give the demo English texts."""
    words = [word for option in TEXTS.items() for word in option]
    command = [*ROOM_SERVER, "webinar", "set", "demo", "--data-dir", folder, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command


def opened(browser: Browser, address: str) -> Page:
    """A page in English, in a window of a laptop's size."""
    context = browser.new_context(
        locale="en-GB", timezone_id="Europe/London", viewport={"width": 1120, "height": 700}, color_scheme="light"
    )
    page = context.new_page()
    page.goto(address)
    return page


def photograph(page: Page, name: str) -> None:
    """Keep what the page shows, once its fonts and frames are there."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def main() -> None:
    """Play a webinar up to its call to action."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, demo(folder) as links, sync_playwright() as playwright:
        tell(folder)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        room, speaker = opened(browser, links["attendee"]), opened(browser, links["speaker"])
        speaker.click('button[data-hook="start"]')
        speaker.click('button[data-hook="cta"]')
        for page in (room, speaker):
            expect(page.locator('body[data-status="live"]')).to_be_visible()
        expect(room.locator("a[data-cta]")).to_be_visible()
        photograph(room, "room")
        expect(speaker.get_by_text("0:00:05")).to_be_visible(timeout=10_000)
        photograph(speaker, "speaker")
        browser.close()


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    main()
