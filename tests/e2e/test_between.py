"""What stands between a browser and the server and answers in its place: only the server's own answers count.

Proxies of companies, sign-in pages of hotels and trains, challenges of firewalls, caches and gateways. None of them may
end what a page has to report or to show.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, expect

from room_server.errors import Forbidden
from room_server.problems import TYPE, body
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, shows
from tests.e2e.wire import Wire, answered
from tests.support import Site, eventually, wait_until

SIGN_IN = "<!doctype html><html><title>Wi-Fi</title><p>Войдите в сеть</p></html>"
PROBLEM = "application/problem+json"
JSON = "application/json"
STATUSES = (200, 206, 400, 401, 403, 404, 405, 407, 409, 413, 421, 422, 425, 429, 431, 451, 500, 502, 503, 511, 520)


def foreign() -> Iterator[tuple[str, bytes]]:
    """What others answer, each with a name."""
    for status in STATUSES:
        yield f"a page with {status}", answered(status, SIGN_IN)
    yield "an empty 200", answered(200)
    yield "an empty 200 that says JSON", answered(200, kind=JSON)
    yield "204", answered(204).replace(b"Content-Length: 0\r\n", b"")
    yield "304 to who has nothing", answered(304)
    yield "JSON cut short", answered(200, '{"webinar_id":"w","dupl', JSON)
    yield "JSON that never ends", answered(200, '{"webinar_id":"w"', JSON, Content_Length="900")
    yield "JSON of a gateway", answered(403, '{"message":"Forbidden","code":"WAF-7"}', JSON)
    yield "a problem of somebody else", answered(403, '{"type":"about:blank","code":"forbidden_role"}', PROBLEM)
    yield "a problem cut short", answered(403, body(Forbidden("forbidden_lead", "no"))[:-9], PROBLEM)
    yield "null", answered(200, "null", JSON)
    yield "a list", answered(200, "[]", JSON)
    yield "another's answer", answered(200, '{"webinar_id":"other","lead_id":9,"duplicate":true}', JSON)
    yield "a redirect to a sign-in", answered(302, "", Location="/room/sign-in")
    yield "a redirect elsewhere", answered(307, "", Location="/healthz")
    yield "nothing", b""
    yield "half a head", b"HTTP/1.1 200 O"
    yield "no HTTP", b"220 mail.example ESMTP\r\n"


FOREIGN = dict(foreign())
SOME = ("a page with 200", "a page with 403", "an empty 200 that says JSON", "JSON cut short", "another's answer",
        "a problem of somebody else", "a redirect to a sign-in")  # fmt: skip
"""One of each sort, for what asks in the same way as the hooks."""


@pytest.fixture(autouse=True)
async def _expected(visitors: Visitors, wire: Wire) -> AsyncIterator[None]:
    """What the browser says to redirects that are not followed is no fault of the page."""
    yield
    visitors.wrong = [words for words in visitors.wrong if "redirect" not in words]


async def meets(names: Iterable[str], wire: Wire, path: str, ask: Any = None) -> None:
    """Give these answers to requests of `path`; each must be followed by another request. `ask` hastens it."""
    for name in names:
        wire.instead = {path: FOREIGN[name]}
        already = len(wire.taken)

        async def repeated(already: int = already) -> bool:
            if ask is not None:
                await ask()
            return len(wire.taken) >= already + 2

        await eventually(repeated, f"the page asked again after {name}")
    wire.instead = {}


async def taken(wire: Wire, count: int) -> None:
    """Wait until so many requests were answered in the server's place."""
    await wait_until(lambda: len(wire.taken) >= count, f"{count} requests met somebody else")


async def test_entering_and_completing_are_reported_until_the_server_answers(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, connection="open")
    wire.instead = {"/hooks/": answered(403, SIGN_IN)}
    await site.status("start")
    await meets(FOREIGN, wire, "/hooks/client_webinar_entered")
    await shows(page, attendance="entered")
    assert (await site.entered(42)).json()["duplicate"] is True

    wire.instead = {"/hooks/": answered(403, SIGN_IN)}
    await site.status("stop")
    await meets(SOME, wire, "/hooks/client_webinar_completed")
    await shows(page, attendance="completed", counted="true")
    assert (await site.completed(42)).json()["duplicate"] is True


async def test_the_servers_own_refusal_is_final(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, connection="open")
    wire.instead = {"/hooks/": answered(403, body(Forbidden("forbidden_lead", "no")), PROBLEM)}
    await page.clock.install()
    await site.status("start")
    await taken(wire, 1)
    await shows(page, status="live")
    await page.clock.run_for(60_000)
    assert len(wire.taken) == 1
    await expect(page.locator("#unreported")).to_be_hidden()


async def by_waking(page: Page) -> None:
    await page.evaluate("dispatchEvent(new Event('online'))")


async def test_the_room_state_is_read_until_the_server_answers(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    wire.blocks_sockets = True
    wire.instead = {"/rooms/w/state": answered(403, SIGN_IN)}
    page = await visitors.attendee()
    await meets(SOME, wire, "/rooms/w/state", lambda: by_waking(page))
    await shows(page, connection="polling", status="scheduled")


async def test_a_foreign_answer_does_not_end_a_socket_that_lives(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, connection="open")
    await meets(SOME[:3], wire, "/rooms/w/state", lambda: by_waking(page))
    await site.status("start")
    await shows(page, status="live", connection="open")
    assert wire.sockets_opened == 1


async def test_the_schedule_is_read_until_the_server_answers(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    wire.instead = {"/webinars": answered(403, SIGN_IN)}
    page = await visitors.open("/", **PHONE)
    await expect(page.locator("#stale")).to_be_visible()
    await meets(SOME, wire, "/webinars")
    await expect(page.locator("[data-webinar=w]")).to_be_visible()
    await expect(page.locator("#stale")).to_be_hidden()


async def test_the_monitor_and_the_console_ask_for_counts_until_the_server_answers(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    await site.transactions.create(due())
    wire.blocks_sockets = True
    wire.instead = {"/monitor/counts": answered(403, SIGN_IN)}
    monitor = await visitors.open("/monitor", site.token("monitor", "*"), **LAPTOP)
    await meets(SOME, wire, "/monitor/counts", lambda: by_waking(monitor))
    await expect(monitor.locator("[data-view=counts]")).to_be_visible()
    await monitor.close()
    wire.blocks_sockets = False
    wire.instead = {"/monitor/counts": answered(403, SIGN_IN)}
    console = await visitors.speaker()
    await shows(console, connection="open")
    await taken(wire, 3)
    wire.instead = {}
    await expect(console.locator("[data-connections='1']")).to_be_visible()


async def test_ones_own_standing_is_read_until_the_server_answers(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due(status="live"))
    await site.entered(42)
    await site.status("stop")
    wire.instead = {"/rooms/w/me": answered(403, SIGN_IN)}
    page = await visitors.attendee()
    await meets(SOME, wire, "/rooms/w/me")
    await shows(page, counted="true")


async def test_what_a_cache_kept_for_another_time_does_not_count(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due(title="Настоящий"))
    wire.blocks_sockets = True
    old = {**(await site.state()).json(), "epoch": "old", "title": "Из кэша"}
    wire.instead = {"/rooms/w/state": answered(200, msgspec.json.encode(old), JSON, Age="90")}
    page = await visitors.attendee()
    await taken(wire, 2)
    await expect(page.locator("[data-view=before]")).to_be_hidden()
    wire.instead = {}
    await expect(page.locator("[data-view=before] h1")).to_have_text("Настоящий")


@pytest.mark.parametrize("kind", ["text/html", PROBLEM])
async def test_whoever_asks_for_patience_gets_it(site: Site, visitors: Visitors, wire: Wire, kind: str) -> None:
    """The server itself, or whoever answers in its place."""
    await site.transactions.create(due())
    page = await visitors.attendee()
    await shows(page, connection="open")
    content = msgspec.json.encode({"type": TYPE + "too_many_requests", "code": "too_many_requests"})
    wire.instead = {"/hooks/": answered(429, content, kind, Retry_After="2")}
    await site.status("start")
    await taken(wire, 2)
    wire.instead = {}
    (_, first), (_, second) = wire.taken[:2]
    assert second - first >= 2
    await shows(page, attendance="entered")


async def test_nobody_makes_a_page_wait_longer_than_a_minute(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.blank(**PHONE)
    await page.clock.install()
    await page.goto(f"http://{visitors.address}/room/w#token={site.token('attendee')}")
    await shows(page, connection="open")
    wire.instead = {"/hooks/": answered(503, SIGN_IN, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT")}
    await site.status("start")
    await shows(page, status="live")
    await page.clock.run_for(1)
    await taken(wire, 1)

    async def entered() -> bool:
        await page.clock.run_for(61_000)
        return await page.locator("body").get_attribute("data-attendance") == "entered"

    wire.instead = {}
    await eventually(entered, "the page did not wait until the year 2100")


async def test_whoever_has_passed_a_challenge_passes_it_with_reports_too(site: Site, visitors: Visitors) -> None:
    """Firewalls know by a cookie who has passed, and let nothing through without it."""
    await site.transactions.create(due())
    page = await visitors.blank(**PHONE)
    await page.context.add_cookies([{"name": "passed", "value": "yes", "url": f"http://{visitors.address}"}])
    await page.goto(f"http://{visitors.address}/room/w#token={site.token('attendee')}")
    await shows(page, connection="open")
    async with page.expect_request("**/hooks/*") as reported:
        await site.status("start")
    assert (await (await reported.value).all_headers())["cookie"] == "passed=yes"
    await shows(page, attendance="entered")


async def test_a_person_is_told_when_reporting_takes_long(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.blank(**PHONE)
    await page.clock.install()
    await page.goto(f"http://{visitors.address}/room/w#token={site.token('attendee')}")
    await shows(page, connection="open")
    wire.instead = {"/hooks/": answered(403, SIGN_IN)}
    await site.status("start")
    await taken(wire, 2)
    await expect(page.locator("#unreported")).to_be_hidden()
    await page.clock.fast_forward(20_000)
    await expect(page.locator("#unreported")).to_be_visible()
    wire.instead = {}
    await shows(page, attendance="entered")
    await expect(page.locator("#unreported")).to_be_hidden()


async def test_the_console_tells_a_stranger_from_the_server(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.speaker()
    wire.instead = {"/hooks/": answered(403, SIGN_IN)}
    await page.click("button[data-hook=start]")
    await expect(page.locator("#refusal")).to_contain_text("Вместо сервера ответил кто-то другой в сети (ошибка 403).")
    wire.instead = {}
    await page.click("button[data-hook=start]")
    await shows(page, status="live")


@pytest.mark.parametrize(
    ("file", "answer"),
    [("room.js", "a page with 200"), ("connection.js", "nothing"), ("strings.ru.js", "a page with 503")],
)
async def test_a_page_whose_file_did_not_come_is_loaded_again(
    site: Site, visitors: Visitors, wire: Wire, file: str, answer: str
) -> None:
    await site.transactions.create(due())
    wire.instead = {f"/static/{file}": FOREIGN[answer]}
    page = await visitors.attendee()
    await taken(wire, 3)
    await expect(page.locator("html")).not_to_have_attribute("data-started", "")
    wire.instead = {}
    await shows(page, connection="open", status="scheduled")
    visitors.wrong = []  # what the browser says of files that are no scripts
