"""The delivery loops: which entries are read, left, claimed from another worker, discarded or parked."""

import logging
import re
from collections import Counter

import pytest
from starlette.responses import Response

from room_server.clock import utc_now
from room_server.core.decision_types import Facts
from room_server.core.delivery import restart
from room_server.core.room import RosterEntry
from room_server.state import webinars
from room_server.state.outbox import GROUP
from room_server.state.redis.pipeline import pairs
from room_server.telegram.sender import IN_FLIGHT
from tests.support import eventually, wait_until
from tests.telegram.bot_api import TOKEN, BotApi, take_and_cut
from tests.telegram.outgoing import Outgoing
from tests.telegram.socks import proxy_named


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
        await wait_until(lambda: "refuses" in caplog.text, "the error is logged")
    kept = await outgoing.statuses(*leads)
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


async def test_a_wrong_token_is_noticed_at_the_start_without_any_message(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with outgoing.delivering(telegram_token="123:wrong"):
        await wait_until(lambda: "refuses ROOM_SERVER_TELEGRAM_TOKEN" in caplog.text, "the error is logged")

    assert api.tries == []


async def test_telegram_is_asked_for_the_token_again_until_it_answers(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.token = "123:wrong"
    api.introductions.append(Response("<html>", 502))

    async with outgoing.delivering(telegram_token="123:wrong"):
        await wait_until(lambda: not api.introductions, "it was asked")
        api.token = TOKEN
        await wait_until(lambda: "refuses ROOM_SERVER_TELEGRAM_TOKEN" in caplog.text, "it was asked again")


async def test_messages_wait_while_a_variable_names_no_proxy(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outgoing.put(*range(11, 16))

    async with proxy_named(monkeypatch, "socks://p:1080"), outgoing.delivering():
        await wait_until(lambda: "ALL_PROXY names no proxy" in caplog.text, "the warning is logged")
        kept = await outgoing.statuses(*range(11, 16))
    async with outgoing.delivering():
        for lead in range(11, 16):
            await outgoing.until(lead, "sent")

    assert kept == ["queued"] * 5
    assert len(api.tries) == 5


async def test_a_worker_with_a_wrong_token_leaves_the_messages_to_one_with_the_right_one(
    outgoing: Outgoing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await outgoing.put(*range(11, 51))

    async with outgoing.delivering(telegram_token="123:wrong"):
        await wait_until(lambda: "refuses" in caplog.text, "the error is logged")
        async with outgoing.delivering():
            for lead in range(11, 51):
                await outgoing.until(lead, "sent")

    assert caplog.text.count("attendance of w: halted") <= 2 * IN_FLIGHT  # what was in hand when it was refused


async def test_entries_that_lead_to_no_message_are_discarded_and_stop_no_other(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    await outgoing.put(11)
    keys, call = outgoing.store.keys, outgoing.store.call
    stream = keys.outbox(keys.tags[0])
    for fields in (("field", "1:attendance"), ("webinar", "w"), ("a", b"\xff"), ("webinar", "none", "field", "1:x")):
        await call("XADD", stream, "*", *fields)
    await call("XADD", stream, "*", "webinar", "w", "field", "no such")
    await call("HSET", keys.deliveries("w"), "1:broken", b"{")
    await call("XADD", stream, "*", "webinar", "w", "field", "1:broken")
    await call("ZADD", keys.due(keys.tags[0]), 0, "nonsense")
    await outgoing.put(12)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        await outgoing.until(12, "sent")
        await eventually(lambda: is_empty(outgoing, stream), "every entry is acknowledged")

    reasons = Counter(
        re.findall(r"is discarded: (it names no webinar|its record|there is no such message)", caplog.text)
    )
    assert reasons == {"it names no webinar": 4, "there is no such message": 2, "its record": 1}
    assert len(api.tries) == 2


async def is_empty(outgoing: Outgoing, stream: str) -> bool:
    return int(await outgoing.store.call("XLEN", stream)) == 0


@pytest.mark.parametrize("record", [b"{", b'"\xff"', b'{"status":"queued"}', b"[" * 2000])
async def test_a_message_whose_record_cannot_be_read_is_parked_and_can_be_retried(
    outgoing: Outgoing, record: bytes
) -> None:
    await outgoing.put(11)
    await outgoing.store.call("HSET", outgoing.store.keys.deliveries("w"), "11:attendance", record)

    async with outgoing.delivering():
        parked = await outgoing.until_readable(11)

    assert (parked.status, parked.attended, parked.chat_id) == ("parked", False, 11)
    assert str(parked.error).startswith("its record cannot be read: ")
    assert restart(parked, Facts(entry=RosterEntry(lead_id=11, partner_chat_id=11)), utc_now()).status == "queued"
    counts = await webinars.delivery_counts(outgoing.store)
    assert counts["parked"] == 1
    assert counts.get("queued", 0) == (0 if b"queued" in record else 1)  # a count without a record that says so stays


async def test_messages_that_wait_for_one_chat_delay_no_other_and_have_places_in_its_queue(
    outgoing: Outgoing, api: BotApi
) -> None:
    """Without places all of them would go through the stream each second: 10,000 would keep a worker busy."""
    await outgoing.put_leads(*(RosterEntry(lead_id=lead, partner_chat_id=11) for lead in range(1, 201)))
    await outgoing.put(*range(301, 321))

    async with outgoing.delivering():
        await wait_until(lambda: len({sent.chat_id for sent in api.sent}) == 21, "every other chat has its message")
        before = len(api.texts(11))
        await wait_until(lambda: len(api.texts(11)) >= before + 2, "the chat gets its next ones")
        tag = outgoing.store.keys.tags[0]
        stream = dict(pairs(await outgoing.store.call("XINFO", "STREAM", outgoing.store.keys.urgent(tag))))

    known = {name.decode() if isinstance(name, bytes) else name: value for name, value in stream.items()}
    assert before < 20
    assert int(known["entries-added"]) < 500  # 220 at first; about 580 without places


async def test_a_group_that_was_lost_is_made_again(outgoing: Outgoing) -> None:
    stream = outgoing.store.keys.urgent(outgoing.store.keys.tags[0])
    await outgoing.put(11)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        await outgoing.store.call("XGROUP", "DESTROY", stream, GROUP)
        await outgoing.put(12)
        await outgoing.until(12, "sent")


async def test_a_worker_that_ends_removes_its_consumer(outgoing: Outgoing) -> None:
    stream = outgoing.store.keys.urgent(outgoing.store.keys.tags[0])
    await outgoing.put(11)

    async with outgoing.delivering():
        await outgoing.until(11, "sent")
        during = await outgoing.store.call("XINFO", "CONSUMERS", stream, GROUP)
    after = await outgoing.store.call("XINFO", "CONSUMERS", stream, GROUP)

    assert (len(during), len(after)) == (1, 0)


async def test_a_stopping_worker_finishes_the_entries_it_has(outgoing: Outgoing, api: BotApi) -> None:
    api.next[11].append(take_and_cut)
    await outgoing.put(*range(11, 31))

    async with outgoing.delivering():
        await wait_until(lambda: api.tries, "it has begun")

    statuses = await outgoing.statuses(*range(11, 31))
    assert set(statuses) <= {"queued", "sent", "doubtful"}
    assert statuses.count("sent") == len(api.tries) - statuses.count("doubtful")
