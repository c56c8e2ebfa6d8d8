"""Chats that want no messages: none is sent to them, however far it had come, and each says why it ended."""

import msgspec
import pytest

from room_server.core.bindings import Chat
from room_server.core.room import RosterEntry
from room_server.state.store import Store
from tests.support import eventually, wait_until
from tests.telegram.bot_api import BotApi
from tests.telegram.outgoing import Outgoing

LEADS = range(1, 7)


async def know(store: Store, chat_id: int, **fields: bool) -> None:
    """What is known of a chat."""
    await store.call("HSET", store.keys.bot("chats"), chat_id, msgspec.json.encode(Chat(**fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"opted_out": True}, "opted_out", None),
        ({"blocked": True}, "undeliverable", "the chat has blocked the bot"),
        ({"opted_out": True, "blocked": True}, "opted_out", None),
    ],
)
async def test_a_chat_that_wants_no_messages_gets_none(
    outgoing: Outgoing, api: BotApi, fields: dict[str, bool], status: str, error: str | None
) -> None:
    await know(outgoing.store, 11, **fields)
    await outgoing.put(11, 12)
    async with outgoing.delivering():
        await outgoing.until(12, "sent")
        ended = await outgoing.until(11, status)

    assert [sent.chat_id for sent in api.tries] == [12]
    assert (ended.error, ended.attempts, ended.at is not None) == (error, 0, True)


async def test_what_was_known_before_and_is_over_holds_nothing_back(outgoing: Outgoing, api: BotApi) -> None:
    await know(outgoing.store, 11)
    await outgoing.put(11)
    async with outgoing.delivering():
        await outgoing.until(11, "sent")


async def test_a_stop_counts_for_messages_that_wait_for_their_slot(outgoing: Outgoing, api: BotApi) -> None:
    """Six messages to one chat take six seconds: those behind the word do not arrive."""
    entries = [RosterEntry(lead_id=lead, partner_chat_id=11) for lead in LEADS]
    await outgoing.put_leads(*entries)
    async with outgoing.delivering():
        await wait_until(lambda: len(api.tried(11)) >= 2, "two have arrived")
        await know(outgoing.store, 11, opted_out=True)
        known = len(api.tried(11))
        statuses = await _all_ended(outgoing)

    assert len(api.tried(11)) <= known + 1
    assert statuses.count("opted_out") >= len(LEADS) - known - 1


async def _all_ended(outgoing: Outgoing) -> list[str]:
    async def statuses() -> list[str]:
        found = await outgoing.statuses(*LEADS)
        return found if set(found) <= {"sent", "opted_out"} else []

    found: list[str] = await eventually(statuses, "all have ended")
    return found


async def test_a_damaged_record_of_a_chat_holds_nothing_back(outgoing: Outgoing) -> None:
    await outgoing.store.call("HSET", outgoing.store.keys.bot("chats"), 11, b"{")
    await outgoing.put(11)
    async with outgoing.delivering():
        await outgoing.until(11, "sent")
