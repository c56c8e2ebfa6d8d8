"""Personal links: what a page does with the token in its address, and what it says when the token opens nothing."""

import pytest
from playwright.async_api import expect

from tests.e2e.visitors import Visitors, due, shows
from tests.support import Site, eventually, room


async def test_the_token_leaves_the_address_and_stays_in_the_tab(site: Site, visitors: Visitors) -> None:
    await site.store.create(room())
    page = await visitors.attendee()
    await shows(page, connection="open")
    assert page.url == f"http://{site.address}/room/w"
    await page.reload()
    await shows(page, connection="open", status="scheduled")


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
    await site.store.create(room())
    await site.store.create(due("draft", status="draft"))
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
    await site.store.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee")[:-8] + "AAAAAAAA")
    await expect(page.locator("#trouble-title")).to_have_text("Ссылка не подошла")


async def test_a_token_that_runs_out_ends_the_visit(site: Site, visitors: Visitors) -> None:
    await site.store.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee"))
    await shows(page, connection="open")
    site.expire_tokens()
    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text("Срок ссылки истёк")


async def test_a_new_link_pasted_into_the_tab_is_taken(site: Site, visitors: Visitors) -> None:
    await site.store.create(room())
    visitors.may_be_refused = True
    page = await visitors.open("/room/w", site.token("attendee", ttl=-60))
    await shows(page, connection="refused")
    await page.evaluate("token => { location.hash = `token=${token}` }", site.token("attendee"))
    await shows(page, connection="open", status="scheduled")


async def test_a_refused_page_asks_no_more(site: Site, visitors: Visitors) -> None:
    await site.store.create(room())
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
