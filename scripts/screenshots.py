"""The README's pictures: `room-server demo` on a port and a folder of its own, photographed in a headless browser.

Everything shown has happened: webinars of the command line, hooks, sockets that come and go. Only the monitor's clock
runs ahead, so that ten minutes of it need no ten minutes.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from playwright.sync_api import Browser, Page, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ROOM_SERVER = [sys.executable, "-m", "room_server"]
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CROWD = [3, 7, 9, 8, 12, 17, 22, 26, 31, 30, 33, 36, 36, 35, 37, 38]
"""How many attendees hold a socket, one number every few seconds."""
STEP_MS = 2800
"""How far the monitor's clock is moved on after each push: less than the silence that it takes for an outage."""
OPEN_SOCKETS = """([tokens, count]) => {
    window.crowd ??= [];
    while (crowd.length > count) crowd.pop().close();
    while (crowd.length < count) {
        const token = tokens[crowd.length % tokens.length];
        crowd.push(new WebSocket(`ws://${location.host}/rooms/demo/socket`, ['room.v1', `room.bearer.${token}`]));
    }
}"""
SEND_HOOKS = """([name, tokens]) => Promise.all(tokens.map((token) => fetch(`/hooks/${name}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({
        webinar_id: 'demo', lead_id: Number(JSON.parse(atob(token.split('.')[1])).sub), timestamp: 0, completed_at: 0,
    }),
})))"""
CLICKS, STAYS = 11, 29
"""How many of the attendees click the CTA, and how many stay to the end."""


class Demo(NamedTuple):
    """A running demo."""

    folder: str
    links: dict[str, str]

    def run(self, *words: str) -> str:
        """What a command on the demo's data prints."""
        command = [*ROOM_SERVER, *words, "--data-dir", self.folder]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603

    def at(self, path: str) -> str:
        """An address of the demo."""
        return urljoin(self.links["schedule"], path)


@contextlib.contextmanager
def demo(folder: str) -> Iterator[Demo]:
    """A demo, until the block ends; evaluations begin soon after the end of a webinar."""
    command = [*ROOM_SERVER, "demo", "--port", "0", "--data-dir", folder]
    environment = {**os.environ, "ROOM_SERVER_EVALUATION_GRACE": "20"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        try:
            yield Demo(folder, dict(_links(process)))
        finally:
            process.send_signal(signal.SIGTERM)


def _links(process: subprocess.Popen[str]) -> Iterator[tuple[str, str]]:
    for line in process.stdout or ():
        if line.startswith("ready "):
            return
        name, _, address = line.strip().rpartition(" ")
        yield name.strip(), address


def fill(running: Demo) -> None:
    """English texts for the demo, three more webinars, and a roster for three of them."""
    words = {"--title": "How to teach a room you cannot see", "--description": "Two hours with examples and questions.",
             "--cta-label": "Join the course", "--cta-url": "https://example.org/course"}  # fmt: skip
    running.run("webinar", "set", "demo", *itertools.chain(*words.items()))
    plan = {"first-lesson": (-3, "Your first online lesson"), "feedback": (-1, "Feedback that people want to hear"),
            "questions": (6, "Bring your questions: an open hour")}  # fmt: skip
    roster = Path(running.folder) / "leads.csv"
    lines = [f"{number},Lead {number},{1000 + number if number % 6 else ''},2001,en" for number in range(1, 49)]
    roster.write_text("\n".join(["lead_id,name,candidate_chat_id,partner_chat_id,locale", *lines]))
    for webinar_id, (days, title) in plan.items():
        at = (datetime.now(UTC) + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
        running.run("webinar", "create", webinar_id, "--title", title, "--at", at.isoformat())
        if days < 0:
            running.run("roster", "import", webinar_id, str(roster))
    running.run("roster", "import", "demo", str(roster))


def tell(page: Page, running: Demo, webinar_id: str, *words: str) -> None:
    """Send `start` and `stop` as the speaker of that webinar."""
    token = running.run("token", "issue", "--role", "speaker", "--webinar", webinar_id)
    for word in words:
        page.request.post(
            running.at("/hooks/core_webinar_set_status"),
            data={"webinar_id": webinar_id, "status": word},
            headers={"Authorization": f"Bearer {token}"},
        )


def opened(browser: Browser, address: str, height: int = 700) -> Page:
    """A page in English, in a window of a laptop's size."""
    context = browser.new_context(
        locale="en-GB", timezone_id="Europe/London", viewport={"width": 1120, "height": height}, color_scheme="light"
    )
    page = context.new_page()
    page.goto(address)
    return page


def photograph(page: Page, name: str) -> None:
    """Keep what the page shows, once its frames are there."""
    page.wait_for_load_state("load")
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def gather(crowd: Page, monitor: Page, tokens: list[str]) -> None:
    """Let attendees come and go while the monitor's clock runs ahead."""
    crowd.evaluate(SEND_HOOKS, ["client_webinar_entered", tokens])
    for count in itertools.chain.from_iterable(itertools.repeat(count, 3) for count in CROWD):
        crowd.evaluate(OPEN_SOCKETS, [tokens, count])
        monitor.clock.fast_forward(STEP_MS)
        monitor.wait_for_timeout(1100)  # the next push


def end(crowd: Page, running: Demo, tokens: list[str]) -> None:
    """Some click, and most stay to the end."""
    crowd.evaluate(SEND_HOOKS, ["client_webinar_cta_clicked", tokens[:CLICKS]])
    tell(crowd, running, "demo", "stop")
    crowd.evaluate(SEND_HOOKS, ["client_webinar_completed", tokens[:STAYS]])


def main() -> None:
    """Play a webinar up to its call to action, after others that were and before others that come."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, demo(folder) as running, sync_playwright() as playwright:
        fill(running)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        crowd = opened(browser, running.links["schedule"])
        tell(crowd, running, "first-lesson", "start", "stop", "start")
        monitor = browser.new_page(locale="en-GB", viewport={"width": 1120, "height": 900}, color_scheme="light")
        monitor.clock.install()
        monitor.goto(running.links["monitor"])
        room, speaker = opened(browser, running.links["attendee"]), opened(browser, running.links["speaker"])
        speaker.click('button[data-hook="start"]')
        tokens = re.findall(r"#token=([\w.-]+)", running.run("roster", "links", "demo"))[-max(CROWD) :]
        gather(crowd, monitor, tokens)
        speaker.click('button[data-hook="cta"]')
        expect(room.locator("a[data-cta]")).to_be_visible()
        expect(speaker.locator("#reach-text")).to_contain_text(f"{CROWD[-1] + 2} of {CROWD[-1] + 2}")
        for name, page in (("room", room), ("speaker", speaker)):
            expect(page.locator('body[data-status="live"]')).to_be_visible()
            photograph(page, name)
        tell(crowd, running, "feedback", "start", "stop")
        monitor.evaluate("import('/static/api.js').then((api) => api.learnClock())")
        expect(monitor.locator("[data-room=feedback] .evaluation")).to_contain_text("begins in")
        photograph(monitor, "monitor")
        schedule = opened(browser, running.links["schedule"])
        expect(schedule.locator("#past [data-webinar]")).to_have_count(2)
        photograph(schedule, "schedule")
        end(crowd, running, tokens)
        report = opened(browser, running.links["report"], height=976)
        expect(report.locator('body[data-status="finished"]')).to_be_visible()
        expect(report.locator(".open")).to_have_count(0, timeout=90_000)
        photograph(report, "report")
        browser.close()


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    main()
