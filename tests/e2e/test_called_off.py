"""A webinar that was cancelled, or whose time passed without a start, as the pages show it."""

from datetime import timedelta

import pytest
from playwright.async_api import expect

from room_server.clock import utc_now
from room_server.core.decision_types import Cancel
from room_server.core.planning import Plan
from tests.e2e.visitors import PHONE, Visitors, due, fits, shows
from tests.state.acts import done
from tests.support import Site, amend

WORDS = {
    "ru-RU": ("Отменён", "Вебинар отменён.", "Вебинар отменён.", "Не состоялся", "В это время вебинар не начался."),
    "en-GB": (
        "Cancelled",
        "This webinar was",
        "The webinar was",
        "Not held",
        "The webinar did not begin at this time.",
    ),
}
"""Chip, room and console of a cancelled webinar; chip and room of one that was missed."""


@pytest.mark.parametrize("locale", WORDS)
async def test_every_page_says_that_a_webinar_is_cancelled_until_it_has_a_new_time(
    site: Site, visitors: Visitors, locale: str
) -> None:
    chip, in_the_room, on_the_console, *_ = WORDS[locale]
    await site.transactions.create(due())
    room, console = await visitors.attendee(locale=locale), await visitors.speaker(locale=locale)
    await expect(room.locator("#any-moment")).to_be_visible()
    await expect(console.locator("button[data-hook=start]")).to_be_enabled()

    await done(site.store, Cancel("w"))

    await expect(room.locator("#cancelled")).to_contain_text(in_the_room)
    await expect(room.locator("#status")).to_have_text(chip)
    for hidden in ("#any-moment", "#countdown", "#expect", "#missed"):
        await expect(room.locator(hidden)).to_be_hidden()
    await shows(room, status="scheduled")
    await expect(console.locator("#hint")).to_contain_text(on_the_console)
    await expect(console.locator("button[data-hook=start]")).to_be_disabled()
    schedule = await visitors.open("/", locale=locale, **PHONE)
    await expect(schedule.locator("#upcoming [data-webinar=w] .chip")).to_have_text(chip)
    assert await fits(room)

    await amend(site.store, "w", Plan(scheduled_at=utc_now() + timedelta(hours=1)))

    await expect(room.locator("#countdown")).to_be_visible()
    await expect(room.locator("#cancelled")).to_be_hidden()
    await expect(console.locator("button[data-hook=start]")).to_be_enabled()


@pytest.mark.parametrize("locale", WORDS)
async def test_a_webinar_that_did_not_start_for_a_day_is_not_about_to_begin(
    site: Site, visitors: Visitors, locale: str
) -> None:
    *_, chip, in_the_room = WORDS[locale]
    await site.transactions.create(due("late", scheduled_at=utc_now() - timedelta(hours=23)))
    await site.transactions.create(due("missed", scheduled_at=utc_now() - timedelta(hours=25)))
    late = await visitors.attendee(webinar_id="late", locale=locale)
    await expect(late.locator("#any-moment")).to_be_visible()

    missed = await visitors.attendee(webinar_id="missed", locale=locale)

    await expect(missed.locator("#missed")).to_contain_text(in_the_room)
    for hidden in ("#any-moment", "#countdown", "#expect", "#cancelled"):
        await expect(missed.locator(hidden)).to_be_hidden()
    schedule = await visitors.open("/", locale=locale)
    await expect(schedule.locator("#past [data-webinar=missed] .chip")).to_have_text(chip)
    await expect(schedule.locator("#upcoming [data-webinar]")).to_have_count(1)
    await site.status("start", "missed")
    await shows(missed, status="live")
