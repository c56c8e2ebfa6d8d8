"""The loops around the messages: what is taken, what is left, what is taken over, what is put aside."""

import logging

import pytest

from room_server.core.room import RosterEntry
from room_server.state.outbox import GROUP, Outbox, Poison
from room_server.state.redis.pipeline import pairs
from room_server.telegram.sender import IN_FLIGHT
from tests.support import eventually, wait_until
from tests.telegram.bot_api import BotApi, take_and_cut
from tests.telegram.outgoing import Outgoing


async def test_two_workers_send_each_message_once(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put(*range(11, 31))

    async with outgoing.delivering(workers=2):
        for lead in range(11, 31):
            await outgoing.until(lead, "sent")

    assert sorted(sent.chat_id for sent in api.tries) == list(range(11, 31))


async def test_a_token_that_is_refused_stops_delivery_with_one_error_and_keeps_every_message(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    leads = range(11, 31)
    await outgoing.put(*leads)

    async with outgoing.delivering(telegram_token="123:wrong"):
        await wait_until(lambda: "refuses" in caplog.text, "the error was told")
    kept = await outgoing.fates(*leads)
    async with outgoing.delivering():
        for lead in leads:
            await outgoing.until(lead, "sent")

    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert errors == [
        "Telegram refuses ROOM_SERVER_TELEGRAM_TOKEN (or ROOM_SERVER_TELEGRAM_BASE_URL is no Bot API): "
        "nothing is sent and every message is kept; set it right and start the worker again"
    ]
    assert kept == ["queued"] * 20
    assert len(api.tries) == 20
    assert {(await outgoing.record(lead)).attempts for lead in leads} == {1}


async def test_a_worker_with_a_wrong_token_leaves_the_messages_to_one_with_the_right_one(
    outgoing: Outgoing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await outgoing.put(*range(11, 51))

    async with outgoing.delivering(telegram_token="123:wrong"):
        await wait_until(lambda: "refuses" in caplog.text, "the error was told")
        async with outgoing.delivering():
            for lead in range(11, 51):
                await outgoing.until(lead, "sent")

    assert caplog.text.count("attendance of w: halted") <= 2 * IN_FLIGHT  # what was in hand when it was refused


async def test_entries_that_cannot_be_read_are_parked_and_stop_no_message(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put(11)
    keys, ask = outgoing.store.keys, outgoing.store.call
    stream = keys.outbox(keys.tags[0])
    for fields in (("field", "1:attendance"), ("webinar", "w"), ("a", b"\xff"), ("webinar", "none", "field", "1:x")):
        await ask("XADD", stream, "*", *fields)
    await ask("XADD", stream, "*", "webinar", "w", "field", "no such")
    for number, record in enumerate((b"{", b'"\xff"', b'{"lead_id":1}', b"[" * 2000)):
        await ask("HSET", keys.deliveries("w"), f"{number}:broken", record)
        await ask("XADD", stream, "*", "webinar", "w", "field", f"{number}:broken")
    await ask("ZADD", keys.due(keys.tags[0]), 0, "nonsense")
    await outgoing.put(12)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        await outgoing.until(12, "sent")
        await eventually(lambda: _parked(outgoing, 10), "ten entries were parked")

    parked = await poison(outgoing.outbox)
    assert sorted({entry.error.partition(":")[0] for entry in parked}) == [
        "it names no webinar or no message",
        "its record cannot be read",
        "there is no such message",
    ]
    assert await ask("XLEN", stream) == 0
    assert len(api.tries) == 2


async def poison(outbox: Outbox) -> list[Poison]:
    return [entry async for entry in outbox.poison()]


async def _parked(outgoing: Outgoing, many: int) -> bool:
    return len(await poison(outgoing.outbox)) == many


async def test_a_crowd_that_waits_for_one_chat_holds_nobody_and_stands_in_line(outgoing: Outgoing, api: BotApi) -> None:
    """Without the line all of them would go through the stream each second: 10,000 would keep a worker busy."""
    await outgoing.put_leads(*(RosterEntry(lead_id=lead, partner_chat_id=11) for lead in range(1, 201)))
    await outgoing.put(*range(301, 321))

    async with outgoing.delivering():
        await wait_until(lambda: len({sent.chat_id for sent in api.sent}) == 21, "everyone else has theirs")
        before = len(api.texts(11))
        await wait_until(lambda: len(api.texts(11)) >= before + 2, "the crowd goes on")
        tag = outgoing.store.keys.tags[0]
        stream = dict(pairs(await outgoing.store.call("XINFO", "STREAM", outgoing.store.keys.outbox(tag))))

    known = {name.decode() if isinstance(name, bytes) else name: value for name, value in stream.items()}
    assert before < 20
    assert int(known["entries-added"]) < 500  # 220 at first; about 580 without the line


async def test_a_group_that_was_lost_is_made_again(outgoing: Outgoing) -> None:
    stream = outgoing.store.keys.outbox(outgoing.store.keys.tags[0])
    await outgoing.put(11)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        await outgoing.store.call("XGROUP", "DESTROY", stream, GROUP)
        await outgoing.put(12)
        await outgoing.until(12, "sent")


async def test_a_worker_that_ends_leaves_no_reader_behind(outgoing: Outgoing) -> None:
    stream = outgoing.store.keys.outbox(outgoing.store.keys.tags[0])
    await outgoing.put(11)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        during = await outgoing.store.call("XINFO", "CONSUMERS", stream, GROUP)
    after = await outgoing.store.call("XINFO", "CONSUMERS", stream, GROUP)

    assert (len(during), len(after)) == (1, 0)


async def test_what_is_in_hand_is_finished_when_a_worker_is_to_stop(outgoing: Outgoing, api: BotApi) -> None:
    api.next[11].append(take_and_cut)
    await outgoing.put(*range(11, 31))

    async with outgoing.delivering():
        await wait_until(lambda: api.tries, "it has begun")

    fates = await outgoing.fates(*range(11, 31))
    assert set(fates) <= {"queued", "sent", "doubtful"}
    assert fates.count("sent") == len(api.tries) - fates.count("doubtful")
