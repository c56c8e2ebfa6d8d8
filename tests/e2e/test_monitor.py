"""The monitor: what it shows of rooms, processes, hooks and messages, how it hears of them, and how old that is."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from room_server.core.room import RosterEntry
from room_server.core.site_delivery import Receiver
from room_server.state import roster
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, fits, shows
from tests.e2e.wire import Wire
from tests.site.sending import known
from tests.support import TOKEN_SECRET, Site, next_state, serving, settings_for, transactions
from tests.terminal import running

LEADS = [RosterEntry(lead_id=number, name=f"Lead {number}", candidate_chat_id=number) for number in range(1, 5)]


async def monitor(visitors: Visitors, scope: str = "*", **options: Any) -> Page:
    """Somebody who watches everything."""
    return await visitors.open("/monitor", visitors.site.token("monitor", scope), **{**LAPTOP, **options})


async def table(page: Page, name: str) -> dict[str, str]:
    """The lines of a table: key to the last cell."""
    rows: dict[str, str] = await page.eval_on_selector_all(
        f"#{name} tbody tr",
        "rows => Object.fromEntries(rows.map((row) => [row.dataset.key, row.lastChild.textContent]))",
    )
    return rows


async def test_rooms_roles_processes_hooks_and_reach_are_shown(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    await site.transactions.create(due("other", status="live"))
    page = await monitor(visitors)
    async with site.socket() as one, site.socket("speaker") as two:
        for socket in (one, two):
            await next_state(socket)
        await site.status("start")
        for socket in (one, two):
            await next_state(socket)
        await site.status("start", "nowhere")
        room = page.locator("[data-room=w]")
        await expect(room.locator(".held")).to_have_attribute("data-total", "2")
        await expect(room.locator(".roles")).to_have_text("участники 1спикеры 1")
        await expect(room.locator("[data-reached]")).to_have_text("2 из 2")
        await expect(room.locator("[data-p99]")).to_contain_text("мс")
        await expect(page.locator("#slowest-room")).to_contain_text("w")
        await expect(page.locator("#total")).to_have_attribute("data-total", "2")
        await expect(page.locator("#accepted")).to_have_text("1")
        await expect(page.locator("#refused")).to_have_text("Отклонено: 1")
        assert await table(page, "hooks") == {"ok": "1", "webinar_unknown": "1"}
        await expect(page.locator("#nodes tbody tr")).to_have_count(1)
        await expect(page.locator("[data-room=w] .sparkline")).to_have_accessible_name(
            re.compile(r"Соединения за последние 10 минут: от \d до 2, сейчас 2")
        )
        order = await page.eval_on_selector_all("[data-room]", "rooms => rooms.map((room) => room.dataset.room)")
        assert order == ["other", "w"]
    await expect(page.locator("#total")).to_have_attribute("data-total", "0")
    await expect(page.locator("#total-most")).to_have_text("наибольшее: 2")


async def test_a_token_for_one_webinar_shows_that_room_only(site: Site, visitors: Visitors) -> None:
    for webinar_id in ("w", "other"):
        await site.transactions.create(due(webinar_id, status="live"))
    page = await monitor(visitors, "w")
    await expect(page.locator("[data-room]")).to_have_count(1)
    await expect(page.locator("[data-room=w] .chip")).to_have_text("В эфире")


async def test_an_evaluation_waits_loudly_for_a_worker_and_its_messages_are_told(
    valkey_url: str, visitors: Visitors
) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    async with serving(settings_for(valkey_url, evaluation_grace=0)) as prompt:
        visitors.address = prompt.address
        await transactions(prompt.store).create(due(recording_url="https://example.org/"))
        await roster.import_roster(prompt.store, "w", LEADS, False)
        page = await monitor(visitors)
        await prompt.status("start")
        await prompt.entered(1)
        await expect(page.locator("#no-worker")).to_be_hidden()
        await prompt.status("stop")
        evaluation = page.locator("[data-room=w] .evaluation")
        await expect(evaluation.locator("p")).to_have_text("Подводим итоги: 0 из 4")
        await expect(evaluation.locator("progress")).to_have_attribute("max", "4")
        await expect(page.locator("#no-worker")).to_be_visible()
        async with running("worker", **environment):
            await expect(page.locator("[data-key=dry_run] td")).not_to_have_text("0")
            await expect(page.locator("#no-worker")).to_be_hidden()
            await expect(page.locator("#nodes tbody tr", has_text="обработчик")).to_have_count(1)
            await expect(page.locator("#outgoing")).to_have_text("0")
            await expect(page.locator("[data-room=w]")).to_have_count(0)
        await page.close()


async def test_what_is_old_is_said_loudly_and_heals(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due(status="live"))
    page = await monitor(visitors)
    await expect(page.locator("[data-room=w]")).to_be_visible()
    wire.is_down = True
    wire.cut()
    await expect(page.get_by_role("alert").filter(has_text="Данные устарели")).to_be_visible()
    await shows(page, connection="connecting", stale="")
    await expect(page.locator("[data-room=w]")).to_be_visible()
    assert "Нет данных" in await page.title()
    wire.is_down = False
    await expect(page.locator("#stale")).to_be_hidden()
    await expect(page.locator("body")).not_to_have_attribute("data-stale", "")


async def test_counts_that_never_come_are_said_too(site: Site, visitors: Visitors, wire: Wire) -> None:
    wire.blocks_sockets = True
    page = await visitors.blank(**LAPTOP)
    await page.route("**/monitor/counts", lambda route: route.abort())
    await page.goto(f"http://{visitors.address}/monitor#token={site.token('monitor', '*')}")
    await expect(page.get_by_role("alert").filter(has_text="Сервер не отдаёт счётчики")).to_be_visible()
    await shows(page, connection="connecting")


async def test_counts_are_pushed(site: Site, visitors: Visitors) -> None:
    page = await visitors.blank(**LAPTOP)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/counts" in request.url else None)
    async with page.expect_websocket(lambda socket: socket.url.endswith("/monitor/socket")):
        await page.goto(f"http://{site.address}/monitor#token={site.token('monitor', '*')}")
    await shows(page, connection="open")
    await site.transactions.create(due())
    async with site.socket() as socket:
        await next_state(socket)
        await expect(page.locator("#total")).to_have_attribute("data-total", "1")
    await expect(page.locator("#total")).to_have_attribute("data-total", "0")
    assert asked == []


async def test_where_sockets_are_blocked_counts_are_asked_for(site: Site, visitors: Visitors, wire: Wire) -> None:
    wire.blocks_sockets = True
    page = await monitor(visitors)
    await shows(page, connection="polling")
    await expect(page.locator("#no-rooms")).to_be_visible()
    await site.transactions.create(due(status="live"))
    await expect(page.locator("[data-room=w]")).to_be_visible()
    wire.blocks_sockets = False
    await shows(page, connection="open")


async def test_a_socket_that_fell_silent_is_let_go(site: Site, visitors: Visitors, wire: Wire) -> None:
    page = await monitor(visitors)
    await shows(page, connection="open")
    wire.freeze_sockets()
    await site.transactions.create(due(status="live"))
    await expect(page.locator("[data-room=w]")).to_be_visible()


async def test_a_token_that_runs_out_ends_the_watch(site: Site, visitors: Visitors) -> None:
    visitors.may_be_refused = True
    page = await monitor(visitors)
    await expect(page.locator("#no-rooms")).to_be_visible()
    await shows(page, connection="open")
    site.expire_tokens()
    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text("Срок ссылки истёк")
    await expect(page.locator("#stale")).to_be_hidden()


async def test_whoever_may_not_watch_is_told_so(visitors: Visitors) -> None:
    visitors.may_be_refused = True
    page = await visitors.open("/monitor", visitors.site.token("attendee"))
    await shows(page, connection="refused")
    await expect(page.locator("#trouble-title")).to_have_text("Эта ссылка не для этой страницы")


async def test_it_fits_the_smallest_phone(site: Site, visitors: Visitors) -> None:
    long = "w" * 60
    await site.transactions.create(due(long, status="live"))
    await site.hook("core_webinar_set_status", {"webinar_id": "none", "status": "start"})
    page = await monitor(visitors, viewport={"width": 320, "height": 640})
    await expect(page.locator(f"[data-room={long}]")).to_be_visible()
    await expect(page.locator("#hooks tbody tr")).to_have_count(1)
    assert await fits(page)


HISTORY = """async (steps) => {
    const { History } = await import('/static/sparkline.js');
    const history = new History();
    for (const [value, at] of steps) history.add(value, at * 1000);
    return history.values();
}"""


async def test_ten_minutes_are_kept_and_no_more(visitors: Visitors) -> None:
    page = await visitors.open("/")
    values = await page.evaluate(HISTORY, [[second, second] for second in range(1000, 2000)])
    assert values == [1401 + 2 * step for step in range(300)]


async def test_of_what_comes_at_once_the_highest_is_kept(visitors: Visitors) -> None:
    page = await visitors.open("/")
    values = await page.evaluate(HISTORY, [[2, 1000], [9, 1000.5], [0, 1001], [3, 1002]])
    assert values[-2:] == [9, 3]


async def test_a_short_silence_is_bridged_and_a_long_one_is_a_gap(visitors: Visitors) -> None:
    page = await visitors.open("/")
    values = await page.evaluate(HISTORY, [[5, 1000], [6, 1006], [7, 1020]])
    assert values[-11:] == [5, 5, 5, 6, None, None, None, None, None, None, 7]
    assert set(values[:-11]) == {None}
    assert await page.evaluate(HISTORY, [[5, 1000], [6, 9000]]) == [None] * 299 + [6]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ru", ("принимает события · отложено: 2", "не принимает: первое ждёт", "отключён. Команда: room-server site")),
        ("en", ("takes events · parked: 2", "does not take them: the oldest", "switched off. See: room-server site")),
    ],
)
async def test_receivers_of_the_events_are_a_line_each(
    site: Site, visitors: Visitors, language: str, words: tuple[str, ...]
) -> None:
    for name, fields in (("a", {}), ("b", {"failures": 3}), ("c", {"off_since": 1})):
        await known(site.store, f"https://{name}.a-long-name-of-a-site.example/wp-json/events", **fields)
    (tag,) = site.store.keys.tags
    await site.store.call("HSET", site.store.keys.parked(tag, Receiver.of(
        "https://a.a-long-name-of-a-site.example/wp-json/events").id), "1-1", "{}", "1-2", "{}")  # fmt: skip
    await site.transactions.create(due())
    await site.status("start")
    token = site.token("monitor", "*")
    for kind in (LAPTOP, PHONE):
        page = await visitors.open(f"/monitor?lang={language}", token, **kind)
        lines = page.locator("#site-events tbody tr")
        await expect(lines).to_have_count(3)
        for number, text in enumerate(words):
            await expect(lines.nth(number)).to_contain_text(text)
            await expect(lines.nth(number).locator("td")).to_have_text("1")
        assert await fits(page)
        await page.close()


async def test_a_server_without_a_receiver_shows_none(site: Site, visitors: Visitors) -> None:
    page = await monitor(visitors)
    await expect(page.locator("#nodes tbody tr")).to_have_count(1)
    await expect(page.locator("#site")).to_be_hidden()
