"""What a newcomer does: start the demo, open the printed links, press Start; then the machine's worst happens."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, expect

from room_server.config import PREFIX
from tests.e2e.visitors import LAPTOP, PHONE, shows
from tests.support import PATIENCE


async def start_demo(folder: Path, port: str) -> tuple[Process, dict[str, str]]:
    """The running demo and the links that it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "room_server", "demo", "--port", port, "--data-dir", str(folder), env=clean, stdout=PIPE
    )
    assert process.stdout is not None
    links: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            name, _, link = line.decode().strip().rpartition(" ")
            links[name.strip()] = link
            if name == "ready":
                return process, links
    raise AssertionError("the demo ended before it was ready")


async def end(process: Process, number: signal.Signals) -> None:
    process.send_signal(number)
    await process.communicate()


async def test_the_demo_works_by_its_printed_links_and_survives_a_kill(browser: Browser, tmp_path: Path) -> None:
    process, links = await start_demo(tmp_path, "0")
    try:
        phone = await browser.new_page(**PHONE)
        await phone.goto(links["attendee"])
        await shows(phone, status="scheduled", connection="open")
        console = await browser.new_page(**LAPTOP)
        await console.goto(links["speaker"])
        await console.click("button[data-hook=start]")
        await shows(phone, status="live", attendance="entered")

        await end(process, signal.SIGKILL)
        await shows(phone, status="live", connection="connecting")
        process, links = await start_demo(tmp_path, str(urlsplit(links["ready"]).port))
        await shows(phone, status="live", connection="open")

        await shows(console, connection="open")
        await console.click("button[data-hook=stop]")
        await console.click("[data-confirm]")
        await shows(phone, status="finished", attendance="completed")
        await expect(phone.locator("#recording")).to_be_visible()
    finally:
        await end(process, signal.SIGTERM)
