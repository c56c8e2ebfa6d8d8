"""People with browsers: they open pages of a site, and everything that goes wrong in their browsers is written down."""

from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from room_server.clock import utc_now
from room_server.core.room import Room, Status
from tests.support import PATIENCE, Site, room

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PATIENCE_MS = 1000 * PATIENCE
NETWORK_ERRORS = ("Failed to load resource", "WebSocket connection to")
"""What the browser itself writes to the console when a request was refused; no page can prevent it."""
OLD_AND_NEW = "Allow attribute will take precedence over 'allowfullscreen'"
"""Its word on a frame that speaks to browsers of every age."""

expect.set_options(timeout=PATIENCE_MS)


def due(webinar_id: str = "w", **more: Any) -> Room:
    """A webinar whose time has come, so that nobody asks again before its start."""
    status = Status(more.pop("status", Status.SCHEDULED))
    return room(webinar_id, **{"status": status, "scheduled_at": utc_now(), **more})


class Visitors:
    """Opens pages of a site; at the end nothing may have gone wrong in any of them."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site = site
        self.address = site.address
        """Where the pages are opened; a test may put a wire in between."""
        self.may_be_refused = False
        """Whether this test has requests refused on purpose."""
        self.hosts: set[str] = set()
        """Other hosts that this test asks on purpose."""
        self.wrong: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        for context in self._contexts:
            await context.close()
        if kind is None:
            assert self.wrong == [], self.wrong

    async def attendee(self, lead_id: int = 42, webinar_id: str = "w", **options: Any) -> Page:
        """A person with a personal link and a phone."""
        token = self.site.token("attendee", webinar_id, sub=str(lead_id))
        return await self.open(f"/room/{webinar_id}", token, **{**PHONE, **options})

    async def speaker(self, webinar_id: str = "w", role: str = "speaker", **options: Any) -> Page:
        """A person at the console."""
        token = self.site.token(role, webinar_id)
        return await self.open(f"/speaker/{webinar_id}", token, **{**LAPTOP, **options})

    async def open(self, path: str, token: str | None = None, **options: Any) -> Page:
        """A browser of its own at this page. `dice=True` leaves chance alone; else nobody waits for it."""
        page = await self.blank(**options)
        await page.goto(f"http://{self.address}{path}" + (f"#token={token}" if token else ""))
        return page

    async def blank(self, dice: bool = False, **options: Any) -> Page:
        """A watched browser of its own that has opened nothing yet."""
        context = await self._browser.new_context(**{"locale": "ru-RU", "timezone_id": "Europe/Moscow", **options})
        self._contexts.append(context)
        if not dice:
            await context.add_init_script("Math.random = () => 0")
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        self.watch(page)
        return page

    def watch(self, page: Page) -> None:
        """Write down whatever goes wrong in this page."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        page.on("request", self._asked)
        page.on("websocket", lambda socket: self._stays(socket.url))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if message.text.startswith(OLD_AND_NEW):
            return
        if self.may_be_refused and message.text.startswith(NETWORK_ERRORS):
            return
        self.wrong.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        self._stays(request.url)

    def _stays(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and parts.netloc not in {self.address, *self.hosts}:
            self.wrong.append(f"foreign: {url}")


async def shows(page: Page, **data: str) -> None:
    """Wait until the body bears these `data-…`."""
    for name, value in data.items():
        await expect(page.locator("body")).to_have_attribute(f"data-{name}", value)


async def fits(page: Page) -> bool:
    """Whether nothing makes the page scroll sideways."""
    width: int = await page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    return width <= 0
