"""The room on a bad network: sockets that are cut, blocked or die in silence, and servers that go away."""

from playwright.async_api import Page, expect

from tests.e2e.visitors import Visitors, shows
from tests.e2e.wire import Wire
from tests.support import Site, eventually, room, serving, settings_for, wait_until


async def connections_seen(page: Page) -> list[str]:
    """All values of `body[data-connection]` since `watch_connection`."""
    seen: list[str] = await page.evaluate("window.seen")
    return seen


async def watch_connection(page: Page) -> None:
    await page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => seen.push(document.body.dataset.connection))
                .observe(document.body, { attributeFilter: ['data-connection'] });
        }"""
    )


async def test_a_cut_socket_comes_back_and_brings_what_was_missed(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room())
    page = await visitors.attendee()
    await shows(page, connection="open", status="scheduled")
    wire.is_down = True
    wire.cut()
    await shows(page, connection="connecting", status="scheduled")
    await expect(page.locator("#lost")).to_be_visible()
    await site.status("start")
    wire.is_down = False
    await shows(page, connection="open", status="live")
    await expect(page.locator("#lost")).to_be_hidden()


async def test_a_phone_goes_offline_and_back(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room())
    visitors.may_be_refused = True
    page = await visitors.attendee()
    await shows(page, connection="open", status="scheduled")
    await page.context.set_offline(True)
    await shows(page, connection="connecting", status="scheduled")
    await site.status("start")
    await page.context.set_offline(False)
    await shows(page, connection="open", status="live")


async def test_the_page_polls_where_sockets_are_blocked(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room())
    wire.blocks_sockets = True
    page = await visitors.attendee(11)
    await shows(page, connection="polling", status="scheduled")
    await site.status("start")
    await shows(page, status="live", attendance="entered", connection="polling")
    await site.status("stop")
    await shows(page, status="finished", attendance="completed")
    wire.blocks_sockets = False
    await shows(page, connection="open")


async def test_polling_asks_for_changes_only(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room())
    wire.blocks_sockets = True
    page = await visitors.attendee()
    async with page.expect_response(lambda response: response.status == 304) as unchanged:
        await shows(page, connection="polling")
    assert (await unchanged.value).url.endswith("/rooms/w/state")


async def test_a_socket_that_died_in_silence_is_found_out(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room(cta_label="Да", cta_url="https://example.org/"))
    page = await visitors.attendee()
    await shows(page, connection="open", status="scheduled")
    wire.freeze_sockets()
    await site.status("start")
    await page.evaluate("dispatchEvent(new Event('online'))")
    await shows(page, status="live")
    await wait_until(lambda: wire.sockets_opened == 2, "a second socket was opened")
    await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
    await expect(page.locator("a[data-cta]")).to_be_visible()


async def test_a_socket_that_is_asked_to_move_opens_another_first(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room())
    page = await visitors.attendee()
    await shows(page, connection="open", status="scheduled")
    await watch_connection(page)
    async with page.expect_websocket():
        wire.tell_sockets('{"type":"reconnect","after_ms":50}')
    await wait_until(lambda: wire.sockets_open == 1 and wire.sockets_opened == 2, "only the second socket is left")
    await site.status("start")
    await shows(page, status="live")
    assert set(await connections_seen(page)) <= {"open"}


async def test_another_process_takes_over(site: Site, visitors: Visitors, wire: Wire, valkey_url: str) -> None:
    await site.transactions.create(room())
    page = await visitors.attendee()
    await shows(page, connection="open", status="scheduled")
    await watch_connection(page)
    async with serving(settings_for(valkey_url)) as other:
        wire.target = other.address
        wire.cut()
        await eventually(lambda: connections_seen(page), "the page lost its socket")
        await shows(page, connection="open", status="scheduled")
        await site.status("start")
        await shows(page, status="live")


async def test_a_hook_is_repeated_until_it_is_answered(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(room())
    page = await visitors.attendee(12)
    await shows(page, connection="open")
    await page.route("**/hooks/*", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: "/hooks/" in request.url):
        await site.status("start")
    await page.unroute("**/hooks/*")
    await shows(page, attendance="entered")
    assert (await site.entered(12)).json()["duplicate"] is True


async def test_another_epoch_replaces_a_higher_version(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(room(title="Old"))
    await site.status("start")
    page = await visitors.attendee(13)
    await shows(page, status="live", attendance="entered")
    visitors.may_be_refused = True
    await site.store.delete("w")
    await site.transactions.create(room(title="New"))
    await page.reload()
    await shows(page, status="scheduled")
    await site.status("start")
    await shows(page, status="live")
    await eventually(lambda: has_entered(site, 13), "the person entered the new room as well")


async def has_entered(site: Site, lead_id: int) -> bool:
    return bool((await site.entered(lead_id)).json()["duplicate"])
