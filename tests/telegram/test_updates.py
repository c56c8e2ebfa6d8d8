"""Updates from their JSON to what is stored: whom a link names, in which language, and what cannot stop the others."""

import asyncio
from typing import Any

import msgspec
import pytest

from room_server.config import Settings
from room_server.core.bindings import Person, lead, partner
from room_server.core.room import RosterEntry
from room_server.state import bindings
from room_server.state.replies import Replies
from room_server.state.roster import import_roster
from room_server.state.store import Store
from room_server.telegram.deep_links import DeepLinks
from room_server.telegram.updates import NEAREST, Updates, by_chat, decode
from tests.support import AT, TOKEN_SECRET, room, transactions
from tests.telegram.bot_api import Inbox

LINKS = DeepLinks((TOKEN_SECRET.encode(), b"the secret before it, which still verifies"))


@pytest.fixture
def updates(store: Store) -> Updates:
    async def links() -> DeepLinks:
        return LINKS

    return Updates(store, links)


async def take(updates: Updates, *happened: dict[str, Any]) -> None:
    """Take them one after the other."""
    for update in happened:
        await updates.take_raw(msgspec.json.encode(update))


def start(chat_id: int, person: Person, links: DeepLinks = LINKS, **more: Any) -> dict[str, Any]:
    """The update of a person who presses a link; each has a number of its own."""
    inbox = Inbox()
    inbox.number += 100 * chat_id
    inbox.says(chat_id, f"/start {links.payload(person)}", **more)
    return inbox.waiting[0]


async def test_a_link_of_any_secret_in_use_binds(updates: Updates, store: Store) -> None:
    before = DeepLinks((b"the secret before it, which still verifies",))
    foreign = DeepLinks((b"another installation's secret, or one that has expired",))
    await take(updates, start(11, lead(1)), start(12, partner(1), before), start(13, lead(2), foreign))

    assert await bindings.chats_of(store, [lead(1), partner(1), lead(2)]) == {lead(1): 11, partner(1): 12}
    assert {one.reply.chat_id: one.reply.text for one in await Replies(store).take(10)} == {
        11: "connected",
        12: "connected",
        13: "unusable",
    }


async def test_a_lead_is_answered_in_the_rosters_language_else_in_telegrams(updates: Updates, store: Store) -> None:
    await transactions(store).create(room())
    leads = [RosterEntry(lead_id=1, locale="en"), RosterEntry(lead_id=2, locale="ru"), RosterEntry(lead_id=4)]
    await import_roster(store, "w", leads, replace=False)
    await take(
        updates,
        start(11, lead(1), language="ru"),
        start(12, lead(2), language="en"),
        start(15, lead(4), language="en"),
        start(13, lead(3), language="en"),
        start(14, partner(1), language="en"),
    )

    assert {one.reply.chat_id: one.reply.locale for one in await Replies(store).take(10)} == {
        11: "en",
        12: "ru",
        13: "en",
        14: "en",
        15: "en",
    }


async def test_of_many_webinars_the_nearest_decides_the_language(updates: Updates, store: Store) -> None:
    """A year of them may be planned ahead, and lie behind."""
    for number in range(2 * NEAREST):
        await transactions(store).create(room(f"w{number}", scheduled_at=AT.replace(year=AT.year + 1 + number)))
    await transactions(store).create(room())
    await import_roster(store, "w0", [RosterEntry(lead_id=1)], replace=False)
    await import_roster(store, "w", [RosterEntry(lead_id=1, locale="en")], replace=False)
    await take(updates, start(11, lead(1)))

    (waiting,) = await Replies(store).take(10)
    assert waiting.reply.locale == "en"


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b"7",
        b'{"update_id": "x"}',
        b'{"update_id": 1, "message": 5}',
        b'{"update_id": 1, "message": {"chat": {"id": "x"}}}',
        b'{"update_id": 1, "message": {"chat": {"id": 11, "type": "private"}, "text": null}}',
        b'{"update_id": 1, "message": {"chat": {"id": 11, "type": "private"}, "text": "\\ud83c"}}',
        b'{"update_id": 1, "message": {"chat": {"id": 11, "type": "private"}, "text": "\xff"}}',
        b'{"update_id": 1, "message": {"chat": {"id": 1234567890123456789, "type": "private"}, "text": "/start"}}',
        b'{"update_id": 1, "message": ' + b"[" * 5000,
        b"{",
    ],
)
async def test_what_is_no_update_of_telegrams_has_no_effect(updates: Updates, raw: bytes) -> None:
    assert decode(raw) is None
    await updates.take_raw(raw)


async def test_a_link_that_is_pressed_in_many_chats_at_once_binds_one(updates: Updates, store: Store) -> None:
    happened = [start(chat_id, lead(1)) for chat_id in range(11, 19)]
    await asyncio.gather(*(take(updates, update) for update in happened))

    told = {one.reply.text: one.reply.chat_id for one in await Replies(store).take(100)}
    bound = (await bindings.chats_of(store, [lead(1)]))[lead(1)]
    assert told["connected"] == bound == told["question"]
    assert len(told) == 3


async def test_updates_of_one_chat_keep_their_order_and_those_that_ask_for_nothing_are_left_out() -> None:
    inbox = Inbox()
    for chat_id, text in ((11, "/start"), (12, "/start"), (11, "hello"), (11, "/stop")):
        inbox.says(chat_id, text)
    known = [decode(msgspec.json.encode(update)) for update in inbox.waiting]

    found = by_chat([update for update in known if update is not None])

    assert [[update.update_id for update in chat] for chat in found] == [[1001, 1004], [1002]]


def test_updates_are_asked_for_unless_it_is_said_otherwise() -> None:
    assert Settings().telegram_updates == "poll"
