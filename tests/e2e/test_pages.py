"""All pages: their words, their weight, and that they fit a small screen."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from room_server.api.documents.operations import HOOKS, INTERNAL
from room_server.api.pages import folder
from room_server.clock import utc_now
from room_server.core.room import Room, Status
from tests.e2e.visitors import PHONE, Visitors, due, fits, shows
from tests.support import Site, room

NARROW: dict[str, Any] = {"viewport": {"width": 320, "height": 640}}
MIN_ROOM_BYTES, MAX_ROOM_BYTES = 10_000, 45_000
LONG = "Оченьдлинноеназваниевебинарабезпробеловкоторое" * 3


def keys(language: str) -> set[str]:
    """Of all files of words in this language; none stands in two of them."""
    files = sorted(folder().glob(f"strings.*{language}.js"))
    found = [key for file in files for key in re.findall(r"^  '([\w.]+)':", file.read_text(), re.MULTILINE)]
    assert len(set(found)) == len(found)
    return set(found)


def sources() -> list[Path]:
    return [path for path in sorted(folder().iterdir()) if path.suffix in {".html", ".js", ".css", ".svg"}]


def test_both_languages_say_the_same_things() -> None:
    assert keys("ru") == keys("en")


def test_every_text_of_the_markup_has_words() -> None:
    used = {key for path in sources() for key in re.findall(r'data-t(?:-label)?="([\w.]+)"', path.read_text())}
    assert used - keys("ru") == set()


def test_the_room_and_the_schedule_find_all_their_words_in_the_first_file() -> None:
    """The words of staff are not sent to attendees."""
    words = (folder() / "strings.ru.js").read_text()
    files = [
        folder() / name for name in ("room.html", "schedule.html", "room.js", "schedule.js", "shell.js", "device.js")
    ]
    used = {
        key for file in files for key in re.findall(r"""(?:data-t(?:-label)?="|\bt\(')([\w.]+)["']""", file.read_text())
    }
    assert "after.counted" in used
    assert [key for key in sorted(used) if f"'{key}':" not in words] == []


def test_the_monitor_has_words_for_every_code_that_a_hook_may_be_answered_with() -> None:
    codes = {code for row in [*HOOKS.values(), INTERNAL] for code in row.codes}
    assert {f"hook.{code}" for code in {*codes, "ok", "request_timeout", "internal_error"}} - keys("ru") == set()


def test_no_page_has_script_or_style_of_its_own() -> None:
    inline = re.compile(r"<style|<script(?! (?:type=\"module\" )?src=)|\sstyle=|\son\w+=")
    assert [path.name for path in sources() if path.suffix == ".html" and inline.search(path.read_text())] == []


async def test_nothing_scrolls_sideways_on_the_smallest_phone(site: Site, visitors: Visitors) -> None:
    page = await visitors.blank(**NARROW)
    for status in Status:
        await site.transactions.create(full(site, status))
        for path in (f"/room/{status}", f"/speaker/{status}"):
            await page.goto(f"http://{site.address}{path}#token={site.token('organizer', '*')}")
            await shows(page, status=status)
            assert await fits(page), path
    await page.goto(f"http://{site.address}/")
    await expect(page.locator("[data-webinar]")).to_have_count(len(Status) - 1)
    assert await fits(page)


def full(site: Site, status: Status) -> Room:
    """A webinar with as much of everything as there may be."""
    return room(
        status,
        status=status,
        title=LONG[:200],
        description=LONG,
        cta_visibility="visible",
        cta_label=LONG[:80],
        cta_url="https://example.org/" + LONG,
        player_url=f"http://{site.address}/demo/player",
        recording_url="https://example.org/",
    )


async def test_pages_without_a_link_fit_too(visitors: Visitors) -> None:
    page = await visitors.blank(**NARROW)
    for path in ("/room/w", "/speaker/w", "/monitor", "/demo/cta", "/demo/player", "/demo/recording"):
        await page.goto(f"http://{visitors.address}{path}")
        await expect(page.locator("h1:visible").first).not_to_be_empty()
        assert await fits(page), path


@pytest.mark.parametrize(
    ("query", "locale", "language"),
    [
        ("", "ru-RU", "ru"),
        ("", "en-GB", "en"),
        ("", "de-DE", "ru"),
        ("?lang=en", "ru-RU", "en"),
        ("?lang=xx", "en", "en"),
    ],
)
async def test_the_language_is_asked_for_or_the_browsers_or_russian(
    visitors: Visitors, query: str, locale: str, language: str
) -> None:
    page = await visitors.open(f"/{query}", locale=locale)
    await expect(page.locator("html")).to_have_attribute("lang", language)
    await expect(page.locator("h1")).to_have_text({"ru": "Расписание вебинаров", "en": "Webinar schedule"}[language])


async def test_every_date_has_its_year(site: Site, visitors: Visitors) -> None:
    """A rehearsal of last year is not taken for this year's webinar."""
    planned = due()
    await site.transactions.create(planned)
    year = str(planned.scheduled_at.astimezone().year)

    schedule, attendee, console = await visitors.open("/"), await visitors.attendee(), await visitors.speaker()
    await expect(schedule.locator("#upcoming [data-webinar=w] time")).to_contain_text(year)
    await expect(attendee.locator("#when")).to_contain_text(year)
    await expect(console.locator("body")).to_contain_text(year)


async def test_the_schedule_sorts_now_before_soon_before_past(site: Site, visitors: Visitors) -> None:
    now = utc_now()
    plan = {"past": ("archived", -3), "late": ("scheduled", 9), "soon": ("scheduled", 1), "on": ("live", 0)}
    for webinar_id, (status, days) in {**plan, "last": ("finished", -1)}.items():
        await site.transactions.create(due(webinar_id, status=status, scheduled_at=now + timedelta(days=days)))
    await site.transactions.create(due("hidden", status="draft"))
    page = await visitors.open("/")
    await expect(page.locator("[data-webinar]")).to_have_count(5)
    order = await page.eval_on_selector_all("[data-webinar]", "lines => lines.map((line) => line.dataset.webinar)")
    assert order == ["on", "soon", "late", "last", "past"]


async def test_the_room_weighs_little(site: Site, visitors: Visitors) -> None:
    """All that comes over the wire, heads included, until the call to action stands on a live page without a player."""
    await site.transactions.create(due(cta_label="Да", cta_url="https://example.org/"))
    page = await visitors.blank(**PHONE)
    wire = await page.context.new_cdp_session(page)
    await wire.send("Network.enable")
    received: list[float] = []
    wire.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    await page.goto(f"http://{site.address}/room/w#token={site.token('attendee')}")
    await shows(page, connection="open")
    await site.status("start")
    await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
    await expect(page.locator("a[data-cta]")).to_be_visible()
    await shows(page, attendance="entered")
    assert MIN_ROOM_BYTES < sum(received) < MAX_ROOM_BYTES


async def test_data_never_becomes_markup_or_another_kind_of_link(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live", title="<img src=x onerror=alert(1)>", description="<b>bold</b>"))
    page = await visitors.attendee()
    await shows(page, status="live")
    await expect(page.locator("[data-view=stage] h1")).to_have_text("<img src=x onerror=alert(1)>")
    hostile = ["javascript:alert(1)", "data:text/html,x", "file:///etc", ""]
    check = "async (addresses) => addresses.map((await import('/static/dom.js')).safeUrl)"
    assert await page.evaluate(check, hostile) == [None] * 4
