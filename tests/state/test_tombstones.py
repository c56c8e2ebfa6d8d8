"""For a day nobody brings back a lead that was forgotten: no import, whenever it began, and no late message."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from room_server.clock import utc_now
from room_server.core.room import RosterEntry
from room_server.errors import Unknown
from room_server.ids import new_id
from room_server.jobs.erasure import StillRunning, forget
from room_server.state import roster
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.roster import ImportResult
from room_server.state.store import Store
from tests.core.builders import WEBINAR, enter
from tests.state.acts import done, prepare
from tests.support import room, transactions

LEAD, OTHER = 42, 43
BOTH = [RosterEntry(lead_id=LEAD, name="Anna"), RosterEntry(lead_id=OTHER)]
DAY = timedelta(days=1)
ROUNDS = 30
"""Rounds of an import and an erasure at once; the order differs from round to round."""


async def leads(store: Store, webinar_id: str = WEBINAR) -> list[int]:
    """The leads of the roster."""
    return sorted({entry.lead_id async for entry in roster.entries(store, webinar_id)})


async def tombstones(store: Store, webinar_id: str = WEBINAR) -> dict[str, float]:
    """The tombstones in a webinar's partition, each with its end (Unix ms)."""
    key = store.keys.forgotten(store.keys.tag(webinar_id))
    found = await store.call("ZRANGE", key, 0, -1, "WITHSCORES")
    return {member.decode(): float(until) for member, until in pairs(found)}


async def stage(store: Store, token: str, *people: RosterEntry) -> None:
    """A part of an import comes in."""
    fields = [part for one in people for part in (one.lead_id, msgspec.json.encode(one))]
    await store.run(Script.read("stage_roster"), [store.keys.staged(WEBINAR, token)], [60, *fields])


def left_out(imported: ImportResult) -> list[int]:
    return [one.lead_id for one in imported.left_out]


@pytest.mark.parametrize("replace", ["0", "1"])
async def test_an_import_that_began_before_leaves_the_lead_out(any_store: Store, replace: str) -> None:
    await prepare(any_store, "scheduled")
    token = new_id()
    await stage(any_store, token, *BOTH)

    await forget(any_store, LEAD)
    await stage(any_store, token, BOTH[0], RosterEntry(lead_id=44))  # the next part names the lead again
    imported = await roster.take_effect(any_store, WEBINAR, token, [replace, 60, 3, 3, "0"])

    assert (imported.now, left_out(imported)) == (2, [LEAD])
    assert await leads(any_store) == [OTHER, 44]


@pytest.mark.parametrize("replace", [False, True])
async def test_an_import_that_begins_afterwards_leaves_the_lead_out_and_says_until_when(
    any_store: Store, replace: bool
) -> None:
    await prepare(any_store, "scheduled")
    await roster.import_roster(any_store, WEBINAR, BOTH, replace=False)
    before = utc_now()
    await forget(any_store, LEAD)

    imported = await roster.import_roster(any_store, WEBINAR, BOTH, replace)

    assert (imported.before, imported.now, imported.removed) == (1, 1, 0)
    (out,) = imported.left_out
    assert out.lead_id == LEAD
    assert timedelta() <= out.until - before - DAY < timedelta(minutes=1)
    assert await leads(any_store) == [OTHER]


async def test_a_roster_that_is_replaced_by_forgotten_leads_only_is_empty(any_store: Store) -> None:
    await prepare(any_store, "scheduled")
    await roster.import_roster(any_store, WEBINAR, BOTH, replace=False)
    await forget(any_store, LEAD)

    imported = await roster.import_roster(any_store, WEBINAR, BOTH[:1], replace=True)

    assert (imported.now, imported.removed, left_out(imported)) == (0, 1, [LEAD])
    assert await leads(any_store) == []


async def test_after_a_day_the_lead_may_be_imported_again(any_store: Store) -> None:
    await prepare(any_store, "scheduled")
    await forget(any_store, LEAD)
    key = any_store.keys.forgotten(any_store.keys.tag(WEBINAR))
    await any_store.call("ZINCRBY", key, -DAY / timedelta(milliseconds=1), LEAD)  # a day passes

    assert (await roster.import_roster(any_store, WEBINAR, BOTH, replace=False)).left_out == ()
    assert await leads(any_store) == [LEAD, OTHER]


async def test_a_webinar_that_forgot_alone_leaves_out_alone(any_store: Store) -> None:
    for name in (WEBINAR, "w", "another"):
        await transactions(any_store).create(room(name))
    await forget(any_store, LEAD, "w")

    outs = {
        name: left_out(await roster.import_roster(any_store, name, BOTH, replace=False))
        for name in (WEBINAR, "w", "another")
    }

    assert outs == {WEBINAR: [], "w": [LEAD], "another": []}


async def test_the_same_answer_is_given_again_when_its_reply_was_lost(any_store: Store) -> None:
    await prepare(any_store, "scheduled")
    await forget(any_store, LEAD)
    await stage(any_store, "token", *BOTH)

    replies = [await roster.take_effect(any_store, WEBINAR, "token", ["0", 60, 2, 2, "0"]) for _ in range(2)]

    assert replies[0] == replies[1]
    assert left_out(replies[0]) == [LEAD]


async def test_an_import_during_an_erasure_never_restores_the_lead(any_store: Store) -> None:
    """Whichever comes first, in the end the lead is not there."""
    await prepare(any_store, "scheduled")
    chance = random.Random(7)

    async def later(work: Any, steps: int) -> Any:
        for _ in range(steps):
            await any_store.call("PING")
        return await work

    found = []
    for _ in range(ROUNDS):
        await any_store.call("DEL", any_store.keys.forgotten(any_store.keys.tag(WEBINAR)))
        await asyncio.gather(
            later(roster.import_roster(any_store, WEBINAR, BOTH, replace=False), chance.randrange(12)),
            later(forget(any_store, LEAD), chance.randrange(12)),
        )
        found.append(await leads(any_store))

    assert found == [[OTHER]] * ROUNDS


async def test_an_erasure_that_is_refused_leaves_no_tombstone(any_store: Store) -> None:
    await prepare(any_store, "live")
    await roster.import_roster(any_store, WEBINAR, BOTH, replace=False)
    await done(any_store, enter(LEAD))

    with pytest.raises(StillRunning):
        await forget(any_store, LEAD)
    with pytest.raises(Unknown):
        await forget(any_store, LEAD, "nowhere")

    assert await tombstones(any_store) == {}


async def test_tombstones_go_with_their_time(any_store: Store) -> None:
    await prepare(any_store, "scheduled")
    key = any_store.keys.forgotten(any_store.keys.tag(WEBINAR))
    await any_store.call("ZADD", key, 1, "7")

    await forget(any_store, LEAD)

    assert set(await tombstones(any_store)) == {str(LEAD)}
    assert 0 < await any_store.call("TTL", key) <= DAY.total_seconds()
