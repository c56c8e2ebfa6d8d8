"""The way of one message, against a Bot API that fails in every way that Telegram's does."""

import asyncio
import logging
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import Response

from room_server.clock import utc_now
from room_server.core import delivery as deliveries
from room_server.core.delivery import Delivery, Outcome, apply_outcome, claim
from room_server.core.messages import AFTER_THE_END, DeliveryStatus
from room_server.core.room import RosterEntry
from room_server.protocols.bounded_http import bind
from room_server.state.commits import unix_ms
from room_server.state.outbox import FollowOn
from room_server.state.redis.retry import DEADLINE
from room_server.telegram.dispatch import Dispatch
from room_server.telegram.pacing import BOT_GAP_MS, CHAT_GAP_MS
from room_server.telegram.sender import Sender
from tests.proxy import proxy_to
from tests.support import PATIENCE, eventually, wait_until
from tests.telegram.bot_api import (
    BotApi,
    address_of,
    bot_api,
    flood,
    plain,
    refuse,
    take,
    take_and_cut,
    take_and_hang,
)
from tests.telegram.outgoing import Outgoing, telegram_of

HOUR = timedelta(hours=1)
BLOCKED = refuse(403, "Forbidden: bot was blocked by the user")
NOT_FOUND = refuse(400, "Bad Request: chat not found")


async def test_a_message_arrives_once_and_its_number_is_kept(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put(11)

    async with outgoing.delivering():
        sent = await outgoing.until(11, "sent")

    assert api.texts(11) == ["❌ <b>Участник</b> не был(а) на вебинаре «Webinar» или был(а) слишком мало."]
    assert (sent.message_id, sent.attempts, sent.doubts, sent.error) == (1, 1, 0, None)


async def test_a_message_without_a_chat_ends_as_no_chat_and_is_not_sent(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put_leads(RosterEntry(lead_id=11))
    await outgoing.put(12)

    async with outgoing.delivering():
        await outgoing.until(12, "sent")

    assert [await outgoing.status(11, kind) for kind in AFTER_THE_END] == ["no_chat", "no_chat", "no_chat"]
    assert [sent.chat_id for sent in api.tries] == [12]


async def test_a_chat_that_cannot_be_written_to_is_final(outgoing: Outgoing, api: BotApi) -> None:
    api.always.update({11: BLOCKED, 12: NOT_FOUND})
    await outgoing.put(11, 12)

    async with outgoing.delivering():
        blocked = await outgoing.until(11, "undeliverable")
        unknown = await outgoing.until(12, "undeliverable")

    assert (blocked.error, unknown.error) == ("Forbidden: bot was blocked by the user", "Chat not found")
    assert sorted(sent.chat_id for sent in api.tries) == [11, 12]


async def test_a_migrated_chat_is_followed(outgoing: Outgoing, api: BotApi) -> None:
    moved = refuse(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100777)
    api.always[-11] = moved
    await outgoing.put(-11)

    async with outgoing.delivering():
        sent = await outgoing.until(11, "sent")

    assert sent.chat_id == -100777
    assert [tried.chat_id for tried in api.tries] == [-11, -100777]


async def test_a_flood_stops_only_its_chat(outgoing: Outgoing, api: BotApi) -> None:
    api.next[11].append(flood(3600))
    await outgoing.put(11)

    async with outgoing.delivering():
        await wait_until(lambda: api.tried(11), "the chat was tried")
        await outgoing.put_leads(*(RosterEntry(lead_id=10 + chat, partner_chat_id=chat) for chat in (11, 12)))
        await outgoing.until(22, "sent")

    assert await outgoing.statuses(11, 21) == ["queued", "queued"]
    assert len(api.tried(11)) == 1


async def test_three_chats_in_flood_stop_the_bot(outgoing: Outgoing, api: BotApi) -> None:
    for chat in (11, 12, 13):
        api.next[chat].append(flood(1))
    await outgoing.put(11, 12, 13)

    async with outgoing.delivering():
        await wait_until(lambda: len(api.tries) >= 3, "three chats were tried")
        third = api.tries[2].at
        await outgoing.put(14)
        await outgoing.until(14, "sent")

    assert api.tried(14)[0] - third >= 0.95  # counted from a moment after Telegram said so


async def test_what_telegram_cannot_take_now_is_sent_later(outgoing: Outgoing, api: BotApi) -> None:
    api.next[11].append(refuse(429, "Too Many Requests"))
    api.next[12].append(plain("<html><h1>The firewall</h1></html>", 403))
    api.next[13].append(plain("<html><h1>Too large</h1></html>", 413))
    api.next[14].append(flood(1))
    await outgoing.put(*range(11, 15))

    async with outgoing.delivering():
        sent = [await outgoing.until(chat, "sent") for chat in range(11, 15)]

    gaps = [later - first for first, later in map(api.tried, range(11, 15))]
    assert min(gaps) >= 1
    assert [(record.attempts, record.doubts) for record in sent] == [(2, 0)] * 3 + [(1, 0)]


async def test_a_telegram_that_is_not_there_is_tried_again(outgoing: Outgoing) -> None:
    taken = bind("127.0.0.1", 0)  # bound and not listening: refused
    await outgoing.put(11)

    async def refused() -> Delivery | None:
        record = await outgoing.record(11)
        return record if record.error else None

    async with outgoing.delivering(telegram_base_url=address_of(taken)):
        record = await eventually(refused, "a try was refused")
        port = taken.getsockname()[1]
        taken.close()
        async with bot_api(port) as late:
            sent = await outgoing.until(11, "sent")

    assert (record.status, record.doubts, record.attempts) == ("queued", 0, 1)
    assert record.error == "NetworkError: httpx.ConnectError: All connection attempts failed"
    assert (sent.attempts, len(late.sent)) == (2, 1)


async def test_a_message_in_doubt_is_tried_once_more_and_then_parked(outgoing: Outgoing, api: BotApi) -> None:
    api.next[11].append(take_and_hang)
    api.always[12] = take_and_cut
    await outgoing.put(11, 12)

    async with outgoing.delivering():
        parked = await outgoing.until(12, "parked")
        doubted = await outgoing.until(11, "doubtful")
        sent = await outgoing.until(11, "sent")

    assert (parked.doubts, parked.attempts, len(api.texts(12))) == (2, 2, 2)
    assert (doubted.doubts, doubted.error) == (1, "TimedOut: Timed out")
    assert (sent.doubts, sent.error, len(api.texts(11))) == (1, None, 2)


@pytest.mark.parametrize(
    "answer", ["<html>Welcome to the hotel</html>", '{"ok":false}', "[]", '{"ok":true,"result":true}']
)
async def test_an_answer_without_a_message_id_is_doubtful(outgoing: Outgoing, api: BotApi, answer: str) -> None:
    api.next[11].append(plain(answer))
    await outgoing.put(11)

    async with outgoing.delivering():
        doubted = await outgoing.until(11, "doubtful")

    assert doubted.doubts == 1


async def test_the_log_holds_no_name_chat_or_text(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.next[70011].append(plain('{"ok":true,"result":{"chat":{"id":70011,"first_name":"Zachary"}'))
    api.always.update({70012: BLOCKED, 70013: refuse(400, "Bad Request", migrate_to_chat_id=70014), 70015: flood(9)})
    people = [RosterEntry(lead_id=lead, name="Zachary", partner_chat_id=70010 + lead) for lead in (1, 2, 3, 5)]
    await outgoing.put_leads(*people)

    async with outgoing.delivering():
        await outgoing.until(1, "doubtful")
        await outgoing.until(2, "undeliverable")
        await outgoing.until(3, "sent")
        await wait_until(lambda: api.tried(70015), "the flooded chat was tried")

    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the Bot API's own
    log = "\n".join(record.getMessage() for record in ours)
    assert [word for word in ("7001", "Zachary", api.token, "123456") if word in log] == []
    assert "telegram: attendance of w: sent" in log


async def test_without_a_token_nothing_is_sent_and_the_log_names_kind_and_webinar(
    outgoing: Outgoing, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await outgoing.put_leads(*(RosterEntry(lead_id=lead, name="Zachary", partner_chat_id=11) for lead in range(1, 41)))

    async with outgoing.delivering(telegram_token=None):
        for lead in range(1, 41):
            await outgoing.until(lead, "dry_run")

    assert await outgoing.store.call("EXISTS", outgoing.store.keys.pace("11")) == 0, "a rehearsal keeps no pace"
    assert api.tries == []
    assert {record.getMessage() for record in caplog.records} == {"telegram: attendance of w: dry_run"}


async def test_an_entry_that_is_handled_twice_at_once_is_tried_once(
    outgoing: Outgoing, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in one process and in one millisecond: the right to send is one, whoever asks."""
    caplog.set_level(logging.INFO)
    await outgoing.put(*range(11, 41))
    tag = outgoing.store.keys.tags[0]
    await outgoing.outbox.open(tag)
    entries = await outgoing.outbox.read_new(tag, "w0", 100)
    dispatch = Dispatch(outgoing.outbox, telegram_of(outgoing.store, Sender(None)), "w0")

    await asyncio.gather(*(dispatch.handle(entry) for entry in entries for _ in range(3)))

    assert len([record for record in caplog.records if "dry_run" in record.getMessage()]) == 30


async def test_an_outcome_after_the_lease_counts_when_no_other_worker_tried_since(
    outgoing: Outgoing, api: BotApi
) -> None:
    """A Redis that was away until after the lease must not cost the chat a second message."""

    async def take_slowly(api: BotApi, chat_id: int, text: str) -> Response:
        current = await outgoing.outbox.load("w", "11:attendance")
        assert current is not None
        doubted = deliveries.doubt(current.delivery, "its sender died", utc_now())
        assert await outgoing.outbox.update("w", current, doubted.delivery, FollowOn(1.0))
        return await take(api, chat_id, text)

    api.next[11].append(take_slowly)
    await outgoing.put(11)

    async with outgoing.delivering():
        sent = await outgoing.until(11, "sent")
        await outgoing.put(12)
        await outgoing.until(12, "sent")

    assert (sent.doubts, sent.message_id, len(api.texts(11))) == (0, 1, 1)


async def test_an_outcome_that_comes_after_another_try_began_changes_nothing(outgoing: Outgoing, api: BotApi) -> None:
    async def take_for_another(api: BotApi, chat_id: int, text: str) -> Response:
        current = await outgoing.outbox.load("w", "11:attendance")
        assert current is not None
        doubted = deliveries.doubt(current.delivery, "its sender died", utc_now()).delivery
        other = claim(doubted, "another", utc_now())
        assert other is not None
        ended = apply_outcome(other, Outcome(kind="final", error="Forbidden"), utc_now())
        assert await outgoing.outbox.update("w", current, ended.delivery, FollowOn())
        return await take(api, chat_id, text)

    api.next[11].append(take_for_another)
    await outgoing.put(11, 12)

    async with outgoing.delivering():
        await outgoing.until(12, "sent")
        await wait_until(lambda: api.texts(11), "the message was taken")

    assert (await outgoing.record(11)).error == "Forbidden"


async def test_a_message_that_cannot_be_made_is_parked_and_stops_no_other(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put_leads(RosterEntry(lead_id=11, partner_chat_id=11), texts={"ru": {"someone": ""}})
    stored = await outgoing.outbox.load("w", "11:attendance")
    assert stored is not None
    broken = replace(stored.delivery, locale="xx")
    await outgoing.outbox.update("w", stored, broken, FollowOn())
    await outgoing.put(12)

    async with outgoing.delivering():
        parked = await outgoing.until(11, "parked")
        await outgoing.until(12, "sent")

    assert str(parked.error).startswith("its text cannot be made: FileNotFoundError")
    assert api.texts(11) == []


async def test_a_message_whose_webinar_is_gone_is_parked(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put(11)
    await outgoing.store.call("DEL", outgoing.store.keys.room("w"))

    async with outgoing.delivering():
        parked = await outgoing.until(11, "parked")

    assert (parked.error, api.tries) == ("there is no such webinar", [])


CLAIM, SENT = b'"status":"sending"', b'"status":"sent"'


async def test_messages_whose_claims_took_long_do_not_all_go_at_once(
    outgoing: Outgoing, api: BotApi, valkey_url: str
) -> None:
    """Each waits for a send slot after its claim."""
    ask, key = outgoing.store.call, outgoing.store.keys.pace
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(2, redis_url=proxy.url):
        held = [proxy.hold(CLAIM) for _ in range(4)]  # two lines of two workers
        await outgoing.put(*range(11, 19))
        async with asyncio.timeout(PATIENCE):
            for request in held:
                await request.arrived.wait()
        released_at = unix_ms(utc_now())
        for request in held:
            request.released.set()
        await wait_until(lambda: len(api.sent) == 8, "all have arrived")

    moments = sorted([int(await ask("GET", key(str(chat)))) - CHAT_GAP_MS for chat in range(11, 19)])
    assert moments[0] >= released_at - 1
    assert min(later - earlier for earlier, later in pairwise(moments)) >= BOT_GAP_MS


@pytest.mark.parametrize("step", [CLAIM, SENT])
async def test_a_step_whose_reply_is_lost_is_taken_once(
    outgoing: Outgoing, api: BotApi, valkey_url: str, step: bytes
) -> None:
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(redis_url=proxy.url):
        proxy.lose_reply_to(step)
        await outgoing.put(11)
        sent = await outgoing.until(11, "sent")
        lost = proxy.lost

    assert (lost, len(api.tries), sent.attempts, sent.doubts) == (1, 1, 1, 0)


async def test_a_message_that_cannot_go_after_its_claim_is_given_back(
    outgoing: Outgoing, api: BotApi, valkey_url: str
) -> None:
    """As when three chats are in flood meanwhile. It was not tried, so it is no try."""
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(redis_url=proxy.url):
        claim = proxy.hold(CLAIM)
        await outgoing.put(11)
        async with asyncio.timeout(PATIENCE):
            await claim.arrived.wait()
        await outgoing.store.call("SET", outgoing.store.keys.pace("bot"), unix_ms(utc_now()) + 1500, "PX", 60_000)
        claim.released.set()
        given_back = await outgoing.until(11, "queued")
        sent = await outgoing.until(11, "sent")

    assert (given_back.attempts, given_back.owner, len(api.tries)) == (0, None, 1)
    assert (sent.attempts, sent.doubts) == (1, 0)


async def test_an_outcome_waits_for_redis_to_be_back(outgoing: Outgoing, api: BotApi, valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(redis_url=proxy.url):

        async def take_and_lose_redis(api: BotApi, chat_id: int, text: str) -> Response:
            proxy.freeze()
            return await take(api, chat_id, text)

        api.next[11].append(take_and_lose_redis)
        await outgoing.put(11)
        await wait_until(lambda: api.sent, "it has arrived")
        await asyncio.sleep(DEADLINE + 0.3)  # longer than anyone waits for Redis
        proxy.thaw()
        sent = await outgoing.until(11, "sent")

    assert (sent.doubts, len(api.tries)) == (0, 1)


@pytest.mark.parametrize(
    ("standing", "after", "due"),
    [
        ({"status": DeliveryStatus.SENDING, "lease_until": HOUR}, "sending", 1),
        ({"status": DeliveryStatus.SENDING, "lease_until": -HOUR}, "doubtful", 1),
        ({"status": DeliveryStatus.SENDING, "lease_until": -HOUR, "doubts": 1}, "parked", 0),
        ({"status": DeliveryStatus.SENT}, "sent", 0),
        ({"status": DeliveryStatus.HELD}, "held", 0),
        ({"chat_id": None}, "no_chat", 0),
        ({}, "dry_run", 0),
    ],
)
async def test_an_entry_is_done_with_as_asked(outgoing: Outgoing, standing: Any, after: str, due: int) -> None:
    """A lease is given by what is left of it."""
    ask, keys, tag = outgoing.store.call, outgoing.store.keys, outgoing.store.keys.tags[0]
    await outgoing.put(11)
    stored = await outgoing.outbox.load("w", "11:attendance")
    assert stored is not None
    now = utc_now()
    fields = {name: now + value if name == "lease_until" else value for name, value in standing.items()}
    await outgoing.outbox.update("w", stored, replace(stored.delivery, at=now, **fields), FollowOn())
    await outgoing.outbox.open(tag)
    (entry,) = await outgoing.outbox.read_new(tag, "w0", 10)
    await Dispatch(outgoing.outbox, telegram_of(outgoing.store, Sender(None)), "w0").handle(entry)

    assert await outgoing.status(11) == after
    assert (await ask("XLEN", keys.urgent(tag)), await ask("ZCARD", keys.due(tag))) == (0, due)
