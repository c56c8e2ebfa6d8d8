"""The organizer's report: the numbers that it shows, the curve, the list that it gives, and whom it turns away."""

import csv
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from playwright.async_api import Page, expect

from room_server.clock import utc_now
from room_server.core.attendance_rule import AttendedBy
from room_server.core.room import Participation, Room, RosterEntry, Span, Status, Stretch
from room_server.core.watch_time import span
from room_server.state import roster
from room_server.state.watch import Broadcast, add
from tests.e2e.visitors import LAPTOP, PHONE, Visitors, due, fits, shows
from tests.support import Site, room

MINUTE = 60_000
BEGIN = utc_now() - timedelta(minutes=40)


def over(**more: Any) -> Room:
    """Half an hour on air with a pause, and the CTA shown for five minutes."""
    fields: dict[str, Any] = {
        "status": Status.FINISHED,
        "title": "Как всё было",
        "started_at": BEGIN,
        "finished_at": BEGIN + timedelta(minutes=35),
        "on_air_ms": 30 * MINUTE,
        "stretches": (Stretch(0, BEGIN), Stretch(10 * MINUTE, BEGIN + timedelta(minutes=15))),
        "cta_shown": (Span(20 * MINUTE, 25 * MINUTE),),
        **more,
    }
    return room(**fields)


async def watched(site: Site, known: Room) -> None:
    """Somebody saw five minutes of this webinar, which was on air since BEGIN for half an hour."""
    after = replace(over(), webinar_id=known.webinar_id, status=known.status, epoch="new")
    await site.store.delete(known.webinar_id)
    await site.transactions.create(after)
    await add(site.store, Broadcast(known.webinar_id, BEGIN), {1: span(0, 5 * MINUTE)})


async def held(site: Site, leads: int, **more: Any) -> None:
    """A webinar for which so many were registered, all but one came, half of them stayed, and one clicked."""
    await site.transactions.create(over(**more))
    await roster.import_roster(site.store, "w", [RosterEntry(lead_id=lead) for lead in range(1, leads + 1)], False)
    came = range(2, leads + 1)
    await add(site.store, Broadcast("w", BEGIN), {lead: span(0, 30 * MINUTE if lead % 2 else MINUTE) for lead in came})
    for lead in came:
        known = Participation(lead_id=lead, entered_at=BEGIN, attended=bool(lead % 2),
                              cta_clicked_at=BEGIN if lead == 3 else None)  # fmt: skip
        await site.store.call("HSET", site.store.keys.participations("w"), lead, msgspec.json.encode(known))
    first = Participation(lead_id=1, attended=False)
    await site.store.call("HSET", site.store.keys.participations("w"), 1, msgspec.json.encode(first))


async def report(visitors: Visitors, role: str = "organizer", **options: Any) -> Page:
    """The page of the webinar `w`."""
    return await visitors.open("/report/w", visitors.site.token(role), **{**LAPTOP, **options})


async def figures(page: Page) -> list[str]:
    """Registered, entered, attended, clicked, as text."""
    return await page.locator("[data-report]").all_text_contents()


@pytest.mark.parametrize("look", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_the_report_says_who_came_stayed_and_clicked(
    site: Site, visitors: Visitors, look: dict[str, Any]
) -> None:
    await held(site, 1200)
    page = await report(visitors, **look)
    await shows(page, status="finished", connection="polling")

    assert await figures(page) == ["1200", "1199", "599", "1"]
    await expect(page.locator("#title")).to_have_text("Как всё было")
    await expect(page.locator("#cta-saw")).to_have_text("599")
    await expect(page.locator("#rule")).to_have_text("Засчитан тот, кто был до конца.")
    await expect(page.locator("#peak")).to_contain_text("больше всего сразу: 1 199")
    assert await fits(page)


async def test_the_curve_is_there_for_eyes_and_as_numbers(site: Site, visitors: Visitors) -> None:
    await held(site, 13)
    page = await report(visitors, locale="en-GB")
    await shows(page, status="finished")

    await expect(page.locator("[data-curve] .line")).to_have_attribute("d", re.compile(r"^M0 .*H1000\.0$"))
    assert await page.locator("[data-curve] .band").count() == await page.locator("[data-curve] .pause").count() == 1
    await expect(page.get_by_role("img")).to_have_accessible_name(
        "The audience over 30 min on air; most at once: 12 (after 0 min). The numbers are in the table below."
    )
    assert await page.locator("#marks li").all_text_contents() == [
        "button shown: 20–25 min", "pause: 10 min", "end: 30 min",
    ]  # fmt: skip
    await page.click("summary")
    rows = await page.locator("#audience-table tbody tr").all_inner_texts()
    assert (rows[0].split(), rows[2].split(), rows[-1].split()) == (["0:00", "12"], ["1:00", "6"], ["29:30", "6"])


async def test_the_rule_and_what_is_not_known_yet_are_said(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(
        due(status="live", started_at=utc_now(), on_air_since=utc_now(), attended_by=AttendedBy.EITHER, min_watch="60%")
    )
    page = await report(visitors)
    await shows(page, status="live")

    await expect(page.locator("#rule")).to_contain_text("был до конца или смотрел не меньше 60 % эфира")
    await expect(page.locator(".open .note")).to_have_text("станет известно после эфира")
    await expect(page.locator("#no-audience")).to_have_text("Кривая появится через полминуты.")
    await site.status("stop")
    await page.reload()
    await shows(page, status="finished")


async def test_the_list_of_attendees_is_downloaded(site: Site, visitors: Visitors) -> None:
    await held(site, 7)
    page = await report(visitors)
    await shows(page, status="finished")
    async with page.expect_download() as started:
        await page.click("#csv")
    file = await (await started.value).path()

    rows = list(csv.DictReader(io.StringIO(Path(file).read_text("utf-8-sig"))))
    assert (await started.value).suggested_filename == "attendance-w.csv"
    assert [row["segment"] for row in rows] == ["absent", *["left_early", "stayed"] * 3]


async def test_the_page_follows_the_webinar_by_itself(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    page = await report(visitors)
    await shows(page, status="scheduled")
    await site.status("start")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await shows(page, status="live")


@pytest.mark.parametrize("role", ["speaker", "moderator", "monitor"])
async def test_the_report_is_the_organizers(site: Site, visitors: Visitors, role: str) -> None:
    visitors.may_be_refused = True
    await site.transactions.create(due())
    page = await report(visitors, role)
    await shows(page, connection="refused")

    await expect(page.locator("#trouble-title")).to_have_text("Это не ссылка организатора")


async def test_links_that_do_not_work_say_why(site: Site, visitors: Visitors) -> None:
    visitors.may_be_refused = True
    await site.transactions.create(due())
    token = site.token("organizer", "*")
    for path, title in (
        ("/report/w", "Нужна личная ссылка"),
        (f"/report/w#token={site.token('organizer', ttl=-60)}", "Срок ссылки истёк"),
        (f"/report/nowhere#token={token}", "Такой комнаты нет"),
    ):
        page = await visitors.open(path)
        await expect(page.locator("#trouble-title")).to_have_text(title)


async def test_the_console_ends_with_the_headline(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    for lead in (1, 2, 3):
        await site.entered(lead)
    page = await visitors.speaker()
    await expect(page.locator("#outcome")).to_be_hidden()
    await site.status("stop")
    await site.completed(1)
    await expect(page.locator("#outcome")).to_have_text("Пришли: 3 · засчитаны: 1 · нажали кнопку: 0")
    await expect(page.locator("#hint")).to_have_text("Итоги ещё подводятся: 1 из 3")
