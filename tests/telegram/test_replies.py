"""How the bot replies: once, at the pace of all messages, through floods and refusals, and never for ever."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace

from room_server.core.bindings import lead
from room_server.core.connecting import Effect, Reply
from room_server.core.incoming import button
from room_server.state.connections import Asked
from room_server.state.replies import LEASE_SECONDS, Replies
from room_server.telegram import replies as sending
from room_server.telegram import texts
from room_server.telegram.calls import open_calls
from room_server.telegram.replies import ReplySender
from room_server.telegram.sender import open_sender
from tests.state.test_connections import take
from tests.state.test_replies import make_due
from tests.support import eventually, wait_until
from tests.telegram.bot_api import BotApi, flood, plain, refuse, take_and_cut
from tests.telegram.outgoing import Outgoing

STARTED = texts.words("ru")["started"].strip()


async def queue(outgoing: Outgoing, *replies: Reply) -> None:
    """These replies wait, in this order."""
    for number, reply in enumerate(replies, 1):
        await take(outgoing.store, Asked(number, reply.chat_id, None), Effect(replies=(reply,)))


def started(chat_id: int) -> Reply:
    return Reply(chat_id=chat_id, text="started")


@asynccontextmanager
async def replying(outgoing: Outgoing, workers: int = 1, **changed: object) -> AsyncIterator[None]:
    """So many workers reply, until the block ends."""
    await outgoing.is_busy()
    settings, stopping = replace(outgoing.settings, **changed), asyncio.Event()
    async with AsyncExitStack() as stack:
        senders = []
        for _ in range(workers):
            sender = await stack.enter_async_context(open_sender(settings))
            senders.append(ReplySender(outgoing.store, sender, await stack.enter_async_context(open_calls(settings))))
        async with asyncio.TaskGroup() as tasks:
            for one in senders:
                tasks.create_task(one.run(stopping))
            try:
                yield
            finally:
                stopping.set()


async def none_waits(outgoing: Outgoing) -> None:
    """Wait until every reply is over."""

    async def is_empty() -> bool:
        return not await outgoing.store.call("EXISTS", outgoing.store.keys.bot("replies"))

    await eventually(is_empty, "every reply is over")


async def test_each_reply_is_sent_once_by_however_many_workers(outgoing: Outgoing, api: BotApi) -> None:
    await queue(outgoing, *(started(chat) for chat in range(11, 41)))
    async with replying(outgoing, workers=3):
        await none_waits(outgoing)

    assert Counter(sent.chat_id for sent in api.tries) == dict.fromkeys(range(11, 41), 1)
    assert {sent.text for sent in api.sent} == {STARTED}


async def test_replies_keep_the_pace_of_the_bot_and_of_a_chat(outgoing: Outgoing, api: BotApi) -> None:
    await queue(outgoing, *(started(chat) for chat in (11, 11, *range(12, 42))))
    async with replying(outgoing, workers=2):
        await none_waits(outgoing)

    times = sorted(sent.at for sent in api.tries)
    first, second = api.tried(11)
    assert second - first > 1.0
    assert times[-1] - times[0] > 30 / 30


async def test_a_question_has_two_buttons_in_its_language(outgoing: Outgoing, api: BotApi) -> None:
    ask = Reply(chat_id=11, text="question", locale="en", person="lead:42", question="1001")
    await queue(outgoing, ask)
    async with replying(outgoing):
        await none_waits(outgoing)

    (sent,) = api.sent
    assert sent.text == texts.words("en")["question"]
    assert sent.buttons == (button(lead(42), "1001", True), button(lead(42), "1001", False))


async def test_a_button_is_answered_with_and_without_a_text(outgoing: Outgoing, api: BotApi) -> None:
    await queue(outgoing, Reply(chat_id=11, query="q1"), Reply(chat_id=12, text="kept", query="q2"))
    async with replying(outgoing):
        await none_waits(outgoing)

    assert sorted(api.inbox.clicked) == ["q1", "q2"]
    assert [sent.chat_id for sent in api.tries] == [12]


@pytest.mark.parametrize("answer", [flood(1), plain("<html>", 403)], ids=["flood", "a firewall"])
async def test_what_was_not_taken_is_sent_again(outgoing: Outgoing, api: BotApi, answer: object) -> None:
    api.next[11].append(answer)  # type: ignore[arg-type]
    await queue(outgoing, started(11))
    async with replying(outgoing):
        await none_waits(outgoing)

    assert api.texts(11) == [STARTED]


@pytest.mark.parametrize(
    "answer", [refuse(403, "Forbidden: bot was blocked by the user"), take_and_cut], ids=["blocked", "unknown"]
)
async def test_what_was_refused_for_good_or_may_have_arrived_is_not_sent_again(
    outgoing: Outgoing, api: BotApi, answer: object
) -> None:
    api.next[11].append(answer)  # type: ignore[arg-type]
    await queue(outgoing, started(11))
    async with replying(outgoing):
        await none_waits(outgoing)

    assert len(api.tried(11)) == 1


async def test_a_reply_that_is_refused_again_and_again_is_dropped(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.always[11] = plain("<html>", 403)
    await queue(outgoing, started(11))
    async with replying(outgoing):

        async def dropped() -> bool:
            await make_due(outgoing.store)
            return bool(caplog.records)

        await eventually(dropped, "it is dropped")
        await none_waits(outgoing)

    assert "a reply of the bot is dropped after 5 tries" in caplog.text
    assert len(api.tried(11)) == sending.TRIES


async def test_a_reply_whose_sender_died_is_sent_by_another_one(outgoing: Outgoing, api: BotApi) -> None:
    await queue(outgoing, started(11))
    await Replies(outgoing.store).take(1)
    async with replying(outgoing):
        await make_due(outgoing.store)
        await wait_until(lambda: api.sent, "it is sent")

    assert sending.SEND_SECONDS + sending.SLOT_SECONDS < LEASE_SECONDS


async def test_with_a_wrong_token_replies_wait(outgoing: Outgoing, api: BotApi) -> None:
    await queue(outgoing, started(11), started(12))
    async with replying(outgoing, telegram_token="123:wrong"):
        await eventually(
            lambda: outgoing.store.call("HEXISTS", outgoing.store.keys.bot("replies"), "1:0 tries"), "it is tried"
        )
    await make_due(outgoing.store)
    async with replying(outgoing):
        await none_waits(outgoing)

    assert sorted(sent.chat_id for sent in api.sent) == [11, 12]
