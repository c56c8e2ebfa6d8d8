"""How updates come: one worker at a time asks for them or has them sent, through what goes wrong, and says so once."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from starlette.responses import Response

from room_server.core.bindings import lead
from room_server.core.incoming import ALLOWED
from room_server.state import bindings, bot
from room_server.telegram.calls import open_calls
from room_server.telegram.deep_links import open_links
from room_server.telegram.receiver import Receiver, Waits
from room_server.telegram.sender import open_sender
from tests.support import eventually, wait_until
from tests.telegram.bot_api import BotApi, problem
from tests.telegram.outgoing import Outgoing

QUICK = Waits(after_failure=0.1, between_checks=0.1)
PUBLIC = "https://rooms.example.org/"


class Workers(NamedTuple):
    """Workers that receive, and the task of each."""

    receivers: list[Receiver]
    tasks: list[asyncio.Task[None]]

    async def stop(self, number: int) -> None:
        """End one of them."""
        self.tasks[number].cancel()
        await wait_until(self.tasks[number].done, "it has ended")


@asynccontextmanager
async def receiving(outgoing: Outgoing, workers: int = 1, **changed: Any) -> AsyncIterator[Workers]:
    """So many workers receive, until the block ends."""
    settings = replace(outgoing.settings, **changed)
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(open_sender(settings))
        await sender.check()
        calls = await stack.enter_async_context(open_calls(settings))
        receivers = [Receiver(settings, outgoing.store, sender, f"w{number}") for number in range(workers)]
        tasks = [asyncio.create_task(receiver.run(calls, QUICK)) for receiver in receivers]
        try:
            yield Workers(receivers, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def press(outgoing: Outgoing, lead_id: int) -> None:
    """The lead presses its link, in the chat with its number."""
    links = await open_links(outgoing.settings, outgoing.store)
    outgoing.api.inbox.says(lead_id, f"/start {links.payload(lead(lead_id))}")


async def bound(outgoing: Outgoing, *leads: int) -> None:
    """Wait until these leads are bound to the chats with their numbers."""
    people = [lead(one) for one in leads]

    async def all_are() -> bool:
        return await bindings.chats_of(outgoing.store, people) == {person: person.id for person in people}

    await eventually(all_are, f"{leads} are bound")


async def test_updates_are_asked_for_and_confirmed(outgoing: Outgoing, api: BotApi) -> None:
    for one in range(1, 251):
        await press(outgoing, one)
    async with receiving(outgoing):
        await bound(outgoing, *range(1, 251))
        await wait_until(lambda: not api.inbox.waiting, "all are confirmed")

    assert all(tuple(question["allowed_updates"]) == ALLOWED for question in api.inbox.asked)


async def test_the_bots_name_is_known_once_a_worker_receives(outgoing: Outgoing) -> None:
    async with receiving(outgoing):
        assert await eventually(lambda: bot.name(outgoing.store), "the name is known") == "x"


async def test_one_worker_asks_at_a_time_and_the_next_one_goes_on(outgoing: Outgoing, api: BotApi) -> None:
    await press(outgoing, 1)
    async with receiving(outgoing, workers=3) as running:
        tasks = running.tasks
        await bound(outgoing, 1)
        while len([task for task in tasks if not task.done()]) > 1:
            holder = await outgoing.store.call("GET", outgoing.store.keys.bot("receiver"))
            number = int(holder.decode()[1:])
            await running.stop(number)
            await press(outgoing, 10 + number)
            await bound(outgoing, 10 + number)

    assert await outgoing.store.call("EXISTS", outgoing.store.keys.bot("receiver")) == 0


async def test_an_answer_with_something_strange_in_it_costs_nothing_else(outgoing: Outgoing, api: BotApi) -> None:
    api.inbox.put(message={"chat": {"id": "x"}})
    api.inbox.put(something_new={})
    await press(outgoing, 1)
    async with receiving(outgoing):
        await bound(outgoing, 1)
        await wait_until(lambda: not api.inbox.waiting, "all are confirmed")


async def test_a_damaged_record_holds_up_no_other_person(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.store.call("HSET", outgoing.store.keys.bot("bindings"), "lead:1", b"{")
    for one in (1, 2):
        await press(outgoing, one)
    async with receiving(outgoing):
        await bound(outgoing, 2)
        await wait_until(lambda: not api.inbox.waiting, "all are confirmed")


async def test_another_program_with_the_same_token_is_told_of_once_and_waited_out(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    conflict = "Conflict: terminated by other getUpdates request"
    api.inbox.refusals.extend(problem(409, conflict) for _ in range(2))
    await press(outgoing, 1)
    async with receiving(outgoing):
        await bound(outgoing, 1)
        await wait_until(lambda: "come from Telegram again" in caplog.text, "it is over")

    told = [record.getMessage() for record in caplog.records if "another program" in record.getMessage()]
    assert told == [
        "no updates of the bot come from Telegram: another program with the same ROOM_SERVER_TELEGRAM_TOKEN receives "
        f"them (409: {conflict}); it is tried again"
    ]


@pytest.mark.parametrize("answer", [Response("<html>", 502), problem(429, "Too Many Requests", retry_after=1)])
async def test_after_a_failure_it_is_asked_again(outgoing: Outgoing, api: BotApi, answer: Response) -> None:
    api.inbox.refusals.append(answer)
    await press(outgoing, 1)
    async with receiving(outgoing):
        await bound(outgoing, 1)


async def test_a_webhook_is_set_with_its_secret_and_taken_back_by_polling(outgoing: Outgoing, api: BotApi) -> None:
    links = await open_links(outgoing.settings, outgoing.store)
    async with receiving(outgoing, telegram_updates="webhook", public_url=PUBLIC):
        await wait_until(lambda: api.inbox.webhook, "it is set")
    set_up = dict(api.inbox.webhook or {})
    await press(outgoing, 1)
    async with receiving(outgoing):
        await bound(outgoing, 1)

    assert set_up == {
        "url": "https://rooms.example.org/hooks/telegram_update",
        "secret_token": links.webhook_secrets[0],
        "allowed_updates": list(ALLOWED),
    }
    assert api.inbox.webhook is None


WEBHOOK = "https://rooms.example.org/hooks/telegram_update"
SINCE_AN_HOUR = {"last_error_message": "Wrong response from the webhook: 404 Not Found"}


@pytest.mark.parametrize(
    ("url", "age", "reason"),
    [
        ("", None, "nobody has told it where to send them"),
        ("https://other.example/", None, "another program with the same ROOM_SERVER_TELEGRAM_TOKEN has them sent els"),
        (WEBHOOK, 60, f"it cannot send them to {WEBHOOK} (Wrong response from the webhook: 404 Not Found)"),
    ],
)
async def test_updates_that_do_not_reach_the_webhook_are_told_of_once_until_they_do(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture, url: str, age: int | None, reason: str
) -> None:
    api.inbox.says(1, "/start")
    async with receiving(outgoing, telegram_updates="webhook", public_url=PUBLIC) as running:
        await wait_until(lambda: api.inbox.webhook, "it is set")
        api.inbox.webhook = {"url": url} if url else None
        api.inbox.trouble = SINCE_AN_HOUR | {"last_error_date": int(time.time()) - age} if age else {}
        await wait_until(lambda: running.receivers[0].is_failing, "it is noticed")
        asked = api.inbox.looked
        await wait_until(lambda: api.inbox.looked > asked + 1, "it is looked again")
        api.inbox.webhook, api.inbox.trouble = {"url": WEBHOOK}, {}
        await wait_until(lambda: not running.receivers[0].is_failing, "it is over")

    told = [record.getMessage() for record in caplog.records if record.name == "room_server.telegram.receiver"]
    assert told[0].startswith(f"no updates of the bot come from Telegram: {reason}")
    assert told[1:] == ["updates of the bot come from Telegram again"]


async def test_an_error_of_long_ago_and_an_error_without_updates_that_wait_are_none(
    outgoing: Outgoing, api: BotApi
) -> None:
    for waiting, age in ((True, 4000), (False, 10)):
        api.inbox.trouble = SINCE_AN_HOUR | {"last_error_date": int(time.time()) - age}
        api.inbox.waiting = [{"update_id": 1}] if waiting else []
        async with receiving(outgoing, telegram_updates="webhook", public_url=PUBLIC) as running:
            api.inbox.looked = 0
            await wait_until(lambda: api.inbox.looked > 1, "it was looked")
            assert not running.receivers[0].is_failing


async def test_a_webhook_that_somebody_took_away_is_set_again(outgoing: Outgoing, api: BotApi) -> None:
    async with receiving(outgoing, telegram_updates="webhook", public_url=PUBLIC) as running:
        await wait_until(lambda: api.inbox.webhook, "it is set")
        api.inbox.webhook = None
        await wait_until(lambda: api.inbox.webhook, "it is set again")
        await wait_until(lambda: not running.receivers[0].is_failing, "and all is well")


async def test_only_the_worker_that_receives_fails(outgoing: Outgoing, api: BotApi) -> None:
    async with receiving(outgoing, workers=2) as running:
        await wait_until(lambda: api.inbox.asked, "one asks")
        api.token = "123456:another"  # revoked: Telegram refuses the one that it took at the start
        api.inbox.says(1, "a question that waits is answered")
        await wait_until(lambda: any(one.is_failing for one in running.receivers), "one fails")
        failing = [one.is_failing for one in running.receivers]
        await running.stop(failing.index(True))
        await wait_until(lambda: running.receivers[failing.index(False)].is_failing, "the next one does")

    assert failing.count(True) == 1


async def test_a_worker_with_a_wrong_token_leaves_it_to_one_with_the_right_one(outgoing: Outgoing, api: BotApi) -> None:
    await press(outgoing, 1)
    async with receiving(outgoing, telegram_token="123:wrong"), receiving(outgoing):
        await bound(outgoing, 1)

    assert api.strangers == 0
