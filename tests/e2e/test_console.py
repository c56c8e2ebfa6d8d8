"""The speaker's console: what can be pressed when, and what is said when it did not work."""

import asyncio
import re
from datetime import timedelta

import pytest
from playwright.async_api import Page, Route, expect

from room_server.api.pages import folder
from room_server.clock import utc_now
from room_server.errors import PROBLEMS
from tests.e2e.visitors import PHONE, Visitors, due, shows
from tests.e2e.wire import Wire
from tests.support import Site


async def enabled(page: Page) -> set[str]:
    """The buttons that can be pressed."""
    names: list[str] = await page.eval_on_selector_all(
        "button[data-hook]:not(:disabled)", "buttons => buttons.map((button) => button.dataset.hook)"
    )
    return set(names)


async def test_only_what_can_be_done_now_can_be_pressed(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="draft"))
    page = await visitors.speaker()
    for trigger, status, buttons in [
        (None, "draft", set()),
        ("schedule", "scheduled", {"start", "cta"}),
        ("start", "live", {"stop", "cta"}),
        ("pause", "paused", {"stop", "cta"}),
        ("resume", "live", {"stop", "cta"}),
        ("stop", "finished", set()),
        ("archive", "archived", set()),
    ]:
        if trigger in {"start", "stop"}:
            await site.status(trigger)
        elif trigger:
            await site.act(trigger)
        await shows(page, status=status)
        assert await enabled(page) == buttons, status


async def test_stop_wants_a_confirmation(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    await site.status("start")
    page = await visitors.speaker(**PHONE)
    await page.click("button[data-hook=stop]")
    await expect(page.locator("dialog[open] [data-confirm]")).to_be_visible()
    await expect(page.locator("[data-cancel]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    assert (await site.state()).json()["status"] == "live"


async def test_the_keyboard_alone_runs_a_webinar(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    await page.keyboard.press("Tab")
    await expect(page.locator("button[data-hook=start]")).to_be_focused()
    await page.keyboard.press("Enter")
    await shows(page, status="live")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.locator("button[data-hook=cta]")).to_be_focused()
    await page.keyboard.press("Space")
    await expect(page.locator("#cta")).to_have_attribute("data-visibility", "visible")
    await expect(page.locator("button[data-hook=cta]")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("button[data-hook=stop]")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await shows(page, status="finished")


async def test_a_button_is_disabled_while_its_hook_is_under_way(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    page = await visitors.speaker()
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/hooks/*", hold)
    await page.click("button[data-hook=start]")
    await expect(page.locator("button[data-hook=start]")).to_be_disabled()
    await expect(page.locator("button[data-hook=start]")).to_have_attribute("aria-busy", "true")
    await expect(page.locator("button[data-hook=cta]")).to_be_enabled()
    held.set()
    await shows(page, status="live")


async def test_two_speakers_who_press_at_once_are_both_content(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due())
    one, other = await visitors.speaker(), await visitors.speaker()
    for page in (one, other):
        await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    click = "document.querySelector('button[data-hook=start]').click()"
    await asyncio.gather(one.evaluate(click), other.evaluate(click))
    for page in (one, other):
        await shows(page, status="live")
        await expect(page.locator("#refusal")).to_be_hidden()


async def test_two_speakers_who_show_the_button_at_once_show_it(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    one, other = await visitors.speaker(), await visitors.speaker()
    for page in (one, other):
        await expect(page.locator("button[data-hook=cta]")).to_be_enabled()
    click = "at => void setTimeout(() => document.querySelector('button[data-hook=cta]').click(), at - Date.now())"
    moment = await one.evaluate("Date.now() + 500")  # so neither hears of the other's click first
    for page in (one, other):
        await page.evaluate(click, moment)
    for page in (one, other):
        await expect(page.locator("#cta")).to_have_attribute("data-visibility", "visible")
        await expect(page.locator("button[data-hook=cta]")).to_be_enabled()
        await expect(page.locator("#refusal")).to_be_hidden()


async def test_a_question_goes_when_another_speaker_has_answered_it(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="live"))
    page = await visitors.speaker()
    await page.click("button[data-hook=stop]")
    await expect(page.locator("dialog[open]")).to_be_visible()
    await site.status("stop")
    await shows(page, status="finished")
    await expect(page.locator("dialog[open]")).to_have_count(0)


async def test_a_start_more_than_an_hour_early_is_asked_about(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(scheduled_at=utc_now() + timedelta(minutes=125, seconds=30)))
    page = await visitors.speaker()
    await page.click("button[data-hook=start]")
    await expect(page.locator("#question-title")).to_have_text("Начать раньше времени?")
    await expect(page.locator("#question-text")).to_contain_text("До начала ещё 2 ч 5 мин")
    await expect(page.locator("[data-cancel]")).to_be_focused()
    await page.click("[data-cancel]")
    assert (await site.state()).json()["status"] == "scheduled"
    await page.click("button[data-hook=start]")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await shows(page, status="live")
    await page.click("button[data-hook=stop]")
    await expect(page.locator("#question-title")).to_have_text("Завершить эфир?")


async def test_a_start_less_than_an_hour_early_is_not(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(scheduled_at=utc_now() + timedelta(minutes=59)))
    page = await visitors.speaker()
    await page.click("button[data-hook=start]")
    await shows(page, status="live")


@pytest.mark.parametrize(
    ("hours", "status", "is_long"), [(5.99, "live", False), (6, "live", True), (7, "paused", True)]
)
async def test_six_hours_on_air_are_said_loudly(
    site: Site, visitors: Visitors, hours: float, status: str, is_long: bool
) -> None:
    began = utc_now() - timedelta(hours=hours)
    clock = {"on_air_since": began} if status == "live" else {"on_air_ms": int(hours * 3_600_000)}
    await site.transactions.create(due(status=status, started_at=began, **clock))
    page = await visitors.speaker()
    await shows(page, status=status)
    await expect(page.get_by_role("alert").filter(has_text="больше шести часов")).to_have_count(int(is_long))
    assert ("⚠" in await page.title()) is is_long


def test_every_refusal_that_a_speaker_can_meet_has_words() -> None:
    """The server's own words are English, for developers."""
    worded = set(re.findall(r"^  'problem\.(\w+)':", (folder() / "strings.staff.ru.js").read_text(), re.MULTILINE))
    states = {code for code in PROBLEMS if code.startswith("webinar_state_invalid_")} - {
        f"webinar_state_invalid_{trigger}" for trigger in ("pause", "resume", "archive", "rewind", "cancel")
    }
    others = {"unauthenticated", "forbidden_role", "forbidden_webinar", "webinar_unknown", "webinar_state_locked"}
    assert states | others | {"too_many_requests", "state_unavailable", "internal_error", "draining"} <= worded


async def test_a_refused_hook_says_why_in_words(site: Site, visitors: Visitors, wire: Wire) -> None:
    """The console holds an old state, since its socket is silent: its press comes too late."""
    await site.transactions.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    wire.freeze_sockets()
    await site.status("start")
    await site.status("stop")
    await page.click("button[data-hook=start]")
    await expect(page.locator("#refusal")).to_contain_text("Вебинар уже завершён, начать его снова нельзя.")
    await shows(page, status="finished")


async def test_a_server_that_does_not_answer_is_told_from_a_refusal(site: Site, visitors: Visitors, wire: Wire) -> None:
    await site.transactions.create(due())
    page = await visitors.speaker()
    await expect(page.locator("button[data-hook=start]")).to_be_enabled()
    wire.is_down = True
    wire.cut()
    await page.click("button[data-hook=start]")
    await expect(page.locator("#refusal")).to_contain_text("Сервер не ответил.")
    wire.is_down = False
    await shows(page, connection="open")
    await page.click("button[data-hook=start]")
    await shows(page, status="live")


@pytest.mark.parametrize("role", ["moderator", "system"])
async def test_who_may_only_watch_sees_no_button_enabled(site: Site, visitors: Visitors, role: str) -> None:
    await site.transactions.create(due())
    page = await visitors.speaker(role=role)
    await shows(page, status="scheduled")
    await expect(page.locator("#read-only")).to_be_visible()
    assert await enabled(page) == set()


async def test_time_on_air_leaves_pauses_out(site: Site, visitors: Visitors) -> None:
    await site.transactions.create(due(status="paused", on_air_ms=754_000))
    page = await visitors.speaker()
    await expect(page.locator("#on-air")).to_have_text("0:12:34")
    await site.act("resume")
    await expect(page.locator("#on-air")).to_have_text(re.compile(r"0:12:(3[6-9]|[45]\d)"))
