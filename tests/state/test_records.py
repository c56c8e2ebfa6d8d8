"""Stored records as values: an unreadable one is an error, logged once a minute, and left out of lists."""

import json
import logging
from typing import Any

import msgspec
import pytest

from room_server.core.decision_types import Facts
from room_server.core.room import Recording, RosterEntry
from room_server.errors import StateUnavailable, UnreadableRecord
from room_server.state import roster, webinars
from room_server.state.records import ENTRY, PARTICIPATION, ROOM, Records
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.state.acts import answer, everything, prepare
from tests.support import transactions

BROKEN = [
    *(b"{", b"[]", b"\xff", b'"\xff"', b"null", b'{"webinar_id":"w"}', b'{"x":' + b"[" * 5000),
    msgspec.json.encode(builders.room()).replace(b'"live"', b'"cancelled"'),
]
"""No JSON, a wrong type, and the status of a newer version."""


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
def test_an_unreadable_record_is_an_error_that_names_it(raw: bytes) -> None:
    with pytest.raises(UnreadableRecord, match="the room of w cannot be read by this version") as refused:
        Records().read(ROOM, raw, "the room of w")

    assert (refused.value.code, refused.value.status) == ("state_unavailable", 503)
    assert isinstance(refused.value, StateUnavailable)


def test_a_readable_record_is_returned() -> None:
    named = Recording(url="https://example.org/recording")
    raw = [msgspec.json.encode(one) for one in (builders.room(), builders.entered(), builders.entry(), named)]
    facts = Facts(room=builders.room(), participation=builders.entered(), entry=builders.entry(), named_recording=named)

    assert Records().facts(WEBINAR, [*raw, b"\x05"]) == msgspec.structs.replace(facts, slots=0b101)
    assert Records().facts(WEBINAR, [None, None, None, None, None]) == Facts()
    assert Records().readable(ENTRY, raw[2], "an entry") == builders.entry()


def test_each_record_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    records = Records()
    found = [records.readable(PARTICIPATION, b"{", f"a lead of {name}") for name in "aababa"]

    assert found == [None] * 6
    assert [(record.levelno, record.getMessage()[:16]) for record in caplog.records] == [
        (logging.ERROR, "a lead of a cann"),
        (logging.ERROR, "a lead of b cann"),
    ]


def of_another_version(record: Any) -> bytes:
    """The record with a status that this version does not know, as a newer one may store it."""
    return msgspec.json.encode(msgspec.to_builtins(record) | {"status": "cancelled"})


async def downgrade(store: Store, webinar_id: str) -> None:
    """The webinar as a newer version stored it."""
    (text,) = await store.public_texts([webinar_id])
    room = (await store.load(webinar_id)).room
    public = of_another_version(msgspec.json.decode(text or b""))
    await store.call("HSET", store.keys.room(webinar_id), "record", of_another_version(room), "public", public)


async def test_a_webinar_that_cannot_be_read_is_missing_from_the_list_and_no_other_is(any_store: Store) -> None:
    for number in range(4):
        await transactions(any_store).create(builders.room("live", webinar_id=f"w-{number}"))
    await downgrade(any_store, "w-2")

    assert sorted(room.webinar_id for room in await webinars.latest(any_store)) == ["w-0", "w-1", "w-3"]


@pytest.mark.parametrize(
    "hook", [builders.start(), builders.stop(), builders.cta(), builders.enter()], ids=lambda hook: type(hook).__name__
)
async def test_a_room_that_cannot_be_read_is_neither_decided_on_nor_written_over(any_state: State, hook: Any) -> None:
    await prepare(any_state.store)
    await downgrade(any_state.store, WEBINAR)
    any_state.store.copies.drop_all(any_state.store.keys.tag(WEBINAR))
    before = await everything(any_state)

    assert await answer(any_state.store, hook) == "state_unavailable"
    with pytest.raises(UnreadableRecord):
        await transactions(any_state.store).create(builders.room())
    assert await everything(any_state) == before


async def test_an_entry_that_cannot_be_read_is_missing_from_the_roster(any_store: Store) -> None:
    await prepare(any_store)
    await roster.import_roster(any_store, WEBINAR, [builders.entry(), RosterEntry(lead_id=9)], replace=False)
    await any_store.call("HSET", any_store.keys.roster(WEBINAR), 9, json.dumps({"lead_id": 9, "locale": "xx"}))

    assert [entry async for entry in roster.entries(any_store, WEBINAR)] == [builders.entry()]
