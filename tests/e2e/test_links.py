"""Personal links: what a page does with the token in its address, and what it says when the token opens nothing."""

import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from room_server.core.room import RosterEntry
from room_server.state import short_links
from room_server.state.roster import import_roster
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, fits, shows
from tests.e2e.wire import Wire, answered
from tests.support import Site, eventually, room, wait_until


async def test_the_rooms_address_stays_the_persons_link(site: Site, visitors: Visitors) -> None:
    """It can be copied and opened elsewhere; a fragment is neither sent nor told to other sites."""
    await site.transactions.create(room())
    token = site.token("attendee")
    page = await visitors.open("/room/w", token)
    await shows(page, connection="open")
    assert page.url == f"http://{site.address}/room/w#token={token}"
    await page.reload()
    await shows(page, connection="open", status="scheduled")


@pytest.mark.parametrize(
    ("path", "role"), [("/speaker/w", "speaker"), ("/monitor", "monitor"), ("/room/w", "organizer")]
)
async def test_a_token_with_power_leaves_the_address_and_stays_in_the_tab(
    site: Site, visitors: Visitors, path: str, role: str
) -> None:
    """Whoever holds it shares the screen now and then."""
    await site.transactions.create(room())
    page = await visitors.open(path, site.token(role, "*"))
    await shows(page, connection="open")
    assert page.url == f"http://{site.address}{path}"
    await page.reload()
    await shows(page, connection="open")


TOKEN_IN = [
    "/room/w#token={}",
    "/room/w#token%3D{}",
    "/room/w#/token={}",
    "/room/w#token=3D{}",
    "/room/w#token={}.",
    "/room/w#token={}%3E",
    "/room/w#token={}&utm_source=mail",
    "/room/w#token={}?utm_source=mail",
    "/room/w?utm_source=mail&lang=ru#token={}",
    "/room/w?token={}",
    "/room/w?lang=ru&amp;token={}",
    "/room/w%23token={}",
    "/room/w%2523token%253D{}",
    "/room/w/?token={}",
    "/room/w/{}",
    "/room/w%3Ftoken={}%3E",
    "//room/w/#token={}",
    "/rooms/w#token={}",
]
"""What becomes of a link on its way through mailers, click counters and messengers."""


async def test_a_link_is_understood_whatever_happened_to_it_on_its_way(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    token = site.token("attendee")
    page = await visitors.blank()
    for spoiled in TOKEN_IN:
        await page.goto("about:blank")
        await page.goto(f"http://{site.address}{spoiled.replace('{}', token)}")
        await shows(page, connection="open", status="scheduled")
        parts = urlsplit(page.url)
        assert (parts.path, parts.fragment) == ("/room/w", f"token={token}"), spoiled
        assert "token" not in parts.query, spoiled


async def test_a_link_that_was_wrapped_is_put_together(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    token = site.token("attendee")
    page = await visitors.blank()
    for end in ("%0D%0A", "%3D%0D%0A", " "):
        wrapped = f"{token[:70]}{end}{token[70:]}"
        await page.goto("about:blank")
        await page.goto(f"http://{site.address}/room/w#token={wrapped}")
        await shows(page, connection="open", status="scheduled")


async def test_the_rest_of_the_query_stays(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    token = site.token("attendee")
    page = await visitors.blank()
    await page.goto(f"http://{site.address}/room/w?lang=en&token={token}&utm_source=mail")
    await shows(page, connection="open")
    assert page.url == f"http://{site.address}/room/w?lang=en&utm_source=mail#token={token}"
    await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_a_console_link_with_a_slash_opens_too(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    for path, role in (("/speaker/w/", "speaker"), ("/monitor/", "monitor"), ("/speaker/w%23token={}", "speaker")):
        token = site.token(role, "*")
        page = await visitors.open(path.replace("{}", token), None if "{}" in path else token)
        await shows(page, connection="open")


@pytest.mark.parametrize("path", ["/nothing", "/room/", "/room", "/room/w/chat", "/static/none.js"])
async def test_nobody_who_strays_sees_the_words_of_programs(visitors: Visitors, path: str) -> None:
    visitors.may_be_refused = True
    page = await visitors.open(path)
    await expect(page.locator("h1")).to_have_text("Такой страницы нет")
    await expect(page.locator("[lang=en] h2")).to_have_text("There is no such page")
    assert await fits(page)
    await page.click("[lang=en] a")
    await expect(page.locator("h1")).to_have_text("Webinar schedule")


async def test_the_link_for_another_device_is_copied(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    for path, role in (("/room/w", "attendee"), ("/speaker/w", "speaker")):
        token = site.token(role)
        page = await visitors.open(path, token, **LAPTOP, permissions=["clipboard-read", "clipboard-write"])
        await shows(page, connection="open")
        await page.click("#device-link")
        await expect(page.locator("#device-said")).to_contain_text("Ссылка скопирована. Она личная")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == f"http://{site.address}{path}#token={token}"
        other = await visitors.blank()
        await other.goto(copied)
        await shows(other, connection="open", status="scheduled")


async def test_the_link_is_shown_where_it_cannot_be_copied(site: Site, visitors: Visitors) -> None:
    """Without HTTPS, and in frames of other sites."""
    await site.transactions.create(room())
    page = await visitors.blank(**LAPTOP)
    await page.context.add_init_script("delete Navigator.prototype.clipboard;")
    await page.goto(f"http://{site.address}/room/w#token={site.token('attendee')}")
    await page.click("#device-link")
    await expect(page.locator("#device-said")).to_contain_text("Скопируйте эту ссылку.")
    await expect(page.locator("#device-address")).to_have_value(page.url)
    selected = "(field) => field.value.slice(field.selectionStart, field.selectionEnd)"
    assert await page.locator("#device-address").evaluate(selected) == page.url
    assert await fits(page)


async def test_a_phone_offers_what_it_shares_with(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    page = await visitors.blank(**PHONE)
    await page.context.add_init_script("Navigator.prototype.share = async (what) => { window.shared = what; };")
    await page.goto(f"http://{site.address}/room/w#token={site.token('attendee')}")
    await page.click("#device-link")
    await page.wait_for_function("window.shared")
    assert await page.evaluate("window.shared.url") == page.url


async def test_whoever_has_no_link_has_none_to_hand_on(visitors: Visitors) -> None:
    page = await visitors.open("/room/w")
    await expect(page.locator("#trouble-title")).to_be_visible()
    await expect(page.locator("#device-link")).to_be_hidden()


@pytest.mark.parametrize(
    ("path", "claims", "title"),
    [
        ("/room/w", {"role": "attendee", "ttl": -60}, "Срок ссылки истёк"),
        ("/room/w", {"role": "attendee", "webinar_id": "other"}, "Эта ссылка не для этой страницы"),
        ("/room/none", {"role": "attendee", "webinar_id": "none"}, "Такой комнаты нет"),
        ("/room/draft", {"role": "attendee", "webinar_id": "draft"}, "Такой комнаты нет"),
        ("/room/w", {"role": "guest"}, "Эта ссылка не для этой страницы"),
        ("/speaker/w", {"role": "attendee"}, "Это ссылка участника"),
        ("/speaker/w", {"role": "speaker", "ttl": -60}, "Срок ссылки истёк"),
    ],
)
async def test_a_token_that_opens_nothing_is_told_so(
    site: Site, visitors: Visitors, path: str, claims: dict[str, object], title: str
) -> None:
    await site.transactions.create(room())
    await site.transactions.create(due("draft", status="draft"))
    visitors.may_be_refused = True
    page = await visitors.open(path, site.token(**claims))  # type: ignore[arg-type]
    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text(title)
    await expect(page.locator("body")).not_to_have_attribute("data-status", "scheduled")


@pytest.mark.parametrize("path", ["/room/w", "/speaker/w", "/monitor"])
async def test_what_is_no_token_asks_nobody(visitors: Visitors, path: str) -> None:
    page = await visitors.open(path)
    await expect(page.locator("#trouble-title")).to_have_text("Нужна личная ссылка")
    for nonsense in ("nonsense", "я б"):
        await page.goto("about:blank")
        await page.goto(f"http://{visitors.address}{path}#token={nonsense}")
        await shows(page, connection="refused")
        await expect(page.locator("#trouble-title")).to_have_text("Ссылка не подошла")


async def test_a_forged_token_is_told_from_an_expired_one(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee")[:-8] + "AAAAAAAA")
    await expect(page.locator("#trouble-title")).to_have_text("Ссылка не подошла")


async def test_a_token_that_runs_out_ends_the_visit(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee"))
    await shows(page, connection="open")
    site.expire_tokens()
    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text("Срок ссылки истёк")


async def test_a_new_link_pasted_into_the_tab_is_taken(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee", ttl=-60))
    await shows(page, connection="refused")
    await page.evaluate("token => { location.hash = `token=${token}` }", site.token("attendee"))
    await shows(page, connection="open", status="scheduled")


async def test_a_refused_page_asks_no_more(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee", ttl=-60))
    await shows(page, connection="refused")
    later: list[str] = []
    page.on("request", lambda request: later.append(request.url))
    page.on("websocket", lambda socket: later.append(socket.url))
    await page.clock.install()
    await page.clock.run_for(60_000)
    await page.evaluate("dispatchEvent(new Event('online'))")

    async def drew() -> bool:
        return bool(await page.evaluate("new Promise((done) => requestAnimationFrame(() => done(true)))"))

    await eventually(drew, "the page drew once more")
    assert later == []


def more_than(wire: Wire, count: int) -> bool:
    """Whether more requests than that were answered in the server's place."""
    return len(wire.taken) > count


async def short_link(site: Site) -> str:
    """The path of a short link to the webinar `w`."""
    await site.transactions.create(room())
    await import_roster(site.store, "w", [RosterEntry(lead_id=42)], replace=False)
    return "/r/" + (await short_links.save(site.store, "w", [42], int(time.time()) + 3600))[42]


async def test_a_short_link_opens_the_room_and_leaves_no_code_behind(site: Site, visitors: Visitors) -> None:
    path = await short_link(site)
    for spoiled in (path, f"{path}/", f"{path}.", f"{path}?lang=en", f"{path}?utm_source=mail#x"):
        page = await visitors.blank(**PHONE)
        await page.goto(f"http://{site.address}{spoiled}")
        await shows(page, connection="open", status="scheduled")

        parts = urlsplit(page.url)
        assert (parts.path, parts.fragment[:9]) == ("/room/w", "token=eyJ"), spoiled
        assert await page.evaluate("history.length") == 2, spoiled  # the empty page that was there, and the room
        assert await page.evaluate("document.referrer") == ""
        await page.reload()
        await shows(page, connection="open", status="scheduled")


@pytest.mark.parametrize("look", [PHONE, LAPTOP])
async def test_a_short_link_that_has_ended_says_so(site: Site, visitors: Visitors, look: dict[str, Any]) -> None:
    visitors.may_be_refused = True
    path = await short_link(site)
    await site.store.delete("w")
    page = await visitors.open(path, **look)

    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text("Ссылка не работает")
    assert await fits(page)
    await page.goto(f"http://{site.address}{path}?lang=en")
    await expect(page.locator("#trouble-title")).to_have_text("This link does not work")


async def test_a_short_link_is_asked_again_until_the_server_itself_answers(
    site: Site, visitors: Visitors, wire: Wire
) -> None:
    path = await short_link(site)
    for instead in (answered(502, "<html>Bad gateway"), answered(200, "{}", "application/json"), answered(404, "?")):
        wire.instead, already = {"/links": instead}, len(wire.taken)
        page = await visitors.blank(**PHONE)
        await page.goto(f"http://{wire.address}{path}")
        await wait_until(partial(more_than, wire, already + 1), "the page asks again")
        wire.instead = {}
        await shows(page, connection="open", status="scheduled")
