"""commit.lua: compare, write, append and publish in one step, once."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from room_server.core.decision_types import Change, Facts
from room_server.core.messages import NAMES
from room_server.core.room import public_text
from room_server.state import commits
from room_server.state.records import Loaded, Target
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import LEAD, WEBINAR
from tests.state.acts import events, everything, prepare
from tests.support import PATIENCE

SCRIPT = Script.read("commit")
Commit = tuple[list[str], list[Any]]


async def stored(store: Store, kind: str, lead: int = LEAD) -> bytes:
    """A lead's stored record; empty if there is none."""
    return await store.call("HGET", getattr(store.keys, kind)(WEBINAR), str(lead)) or b""


async def planned(store: Store, change: Change, **given: Any) -> Commit:
    """The commit of a change that was decided on the stored records, or on those given here."""
    loaded = Loaded(
        target=Target(WEBINAR, str(LEAD)),
        facts=given.get("before") or await store.load(WEBINAR, LEAD),
        participation=given.get("participation", await stored(store, "participations")),
        entry=given.get("entry", await stored(store, "roster")),
    )
    evaluation_in = timedelta(hours=1) if change.arm_evaluation else None
    return commits.arguments(store.keys, loaded, commits.commit_of(loaded, change, evaluation_in))


def send(store: Store, commit: Commit) -> Awaitable[list[Any]]:
    """The script's reply."""
    return store.run(SCRIPT, *commit)


async def ended(store: Store) -> tuple[Facts, Change]:
    """The completion of a lead who is on the roster of a finished webinar and has entered it."""
    await prepare(store, "finished")
    keys = store.keys
    await store.call("HSET", keys.participations(WEBINAR), LEAD, msgspec.json.encode(builders.entered()))
    await store.call("HSET", keys.roster(WEBINAR), LEAD, msgspec.json.encode(builders.entry()))
    known = await store.load(WEBINAR, LEAD)
    return known, builders.decided(builders.complete(), known)


async def test_one_step_writes_the_record_the_events_the_messages_and_the_counters(any_state: State) -> None:
    store, keys = any_state.store, any_state.store.keys
    tag = keys.tag(WEBINAR)
    _, change = await ended(store)

    assert await send(store, await planned(store, change)) == [b"committed"]
    assert await stored(store, "participations") == msgspec.json.encode(change.participation)
    assert await events(any_state) == [NAMES[type(event)] for event in change.events]
    assert dict(pairs(await store.call("HGETALL", keys.deliveries(WEBINAR)))) == {
        commits.field(message).encode(): msgspec.json.encode(message) for message in change.messages
    }
    assert dict(pairs(await store.call("HGETALL", keys.tally(WEBINAR)))) == {
        b"classified": b"1",
        b"attended": b"1",
    }
    queued = [message.name for message in change.messages if message.status == "queued"]
    lengths = [await store.call("XLEN", key) for key in (keys.urgent(tag), keys.outbox(tag))]
    assert lengths == [queued.count("attendance"), len(queued) - queued.count("attendance")]


async def test_one_step_writes_the_room_its_public_text_and_the_schedules(any_state: State) -> None:
    store, keys = any_state.store, any_state.store.keys
    tag = keys.tag(WEBINAR)
    await prepare(store, "live")
    change = builders.decided(builders.stop(), await store.load(WEBINAR), "speaker")

    assert await send(store, await planned(store, change)) == [b"committed"]
    assert dict(pairs(await store.call("HGETALL", keys.room(WEBINAR)))) == {
        b"stamp": b"k3v9:8",
        b"record": msgspec.json.encode(change.room),
        b"public": public_text(change.room),
    }
    assert await store.call("ZSCORE", keys.webinars(tag), WEBINAR) == commits.unix_ms(change.room.scheduled_at)
    due = await store.call("ZSCORE", keys.evaluations(tag), WEBINAR)
    assert due == pytest.approx(time.time() * 1000 + 3_600_000, abs=60_000)  # by the clock of the server


async def published_during(client: Any, channel: str, work: Awaitable[Any]) -> list[bytes]:
    """The messages that are published while `work` runs; a message of our own marks the end."""
    pubsub = client.pubsub()
    await pubsub.ssubscribe(channel)
    assert (await pubsub.get_message(timeout=PATIENCE))["type"] == "ssubscribe"
    await work
    await client.execute_command("SPUBLISH", channel, "end")
    published: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while not published or published[-1] != b"end":
            message = await pubsub.get_message(timeout=PATIENCE)
            published += [message["data"]] if message else []
    await pubsub.aclose()
    return published[:-1]


async def test_the_public_text_is_published_when_the_room_changes(state: State) -> None:
    store, keys = state.store, state.store.keys
    await prepare(store, "live")
    channel = keys.channel(keys.tag(WEBINAR))
    known = await store.load(WEBINAR, LEAD)
    entered = await planned(store, builders.decided(builders.enter(), known), before=known)
    after_entering = await published_during(state.client, channel, send(store, entered))
    known = await store.load(WEBINAR)
    change = builders.decided(builders.cta(), known, "speaker")
    shown, late = [await planned(store, change, before=known) for _ in range(2)]
    published = await published_during(state.client, channel, send(store, shown))
    conflict = await published_during(state.client, channel, send(store, late))

    assert (after_entering, published, conflict) == ([], [public_text(change.room)], [])


@pytest.mark.parametrize("stale", ["room", "participation", "entry"])
async def test_a_conflict_writes_nothing_and_returns_the_stored_records(any_state: State, stale: str) -> None:
    store = any_state.store
    known, change = await ended(store)
    if stale == "room":
        older = msgspec.structs.replace(known, room=builders.room("finished", version=6))
        commit = await planned(store, change, before=older)
    else:
        commit = await planned(store, change, **{stale: b"something else"})
    before = await everything(any_state)

    assert await send(store, commit) == [
        b"conflict",
        msgspec.json.encode(known.room),
        msgspec.json.encode(known.participation),
        msgspec.json.encode(known.entry),
        None,
        None,
    ]
    assert await everything(any_state) == before


async def test_an_entry_on_which_nothing_rests_is_not_compared(any_store: Store) -> None:
    await prepare(any_store, "live")
    change = builders.decided(builders.enter(), await any_store.load(WEBINAR, LEAD))

    assert await send(any_store, await planned(any_store, change, entry=b"something else")) == [b"committed"]


async def test_a_deleted_room_is_a_conflict(any_store: Store) -> None:
    change = builders.decided(builders.enter(), builders.facts("live"))

    assert await send(any_store, await planned(any_store, change, before=builders.facts("live"))) == [
        *(b"conflict", None, None, None, None, None)
    ]


async def test_a_room_that_was_made_meanwhile_is_a_conflict(any_store: Store) -> None:
    await prepare(any_store, "live")
    change = Change(room=builders.room("draft"), participation=None)

    reply = await send(any_store, await planned(any_store, change, before=Facts()))
    assert reply[:2] == [b"conflict", msgspec.json.encode(builders.room("live"))]


async def test_the_same_commit_is_applied_once_whatever_came_between(any_state: State) -> None:
    store = any_state.store
    await prepare(store, "live")
    first = await planned(store, builders.decided(builders.cta(), await store.load(WEBINAR), "speaker"))
    assert await send(store, first) == [b"committed"]
    second = await planned(store, builders.decided(builders.cta(False), await store.load(WEBINAR), "speaker"))
    assert await send(store, second) == [b"committed"]
    before = await everything(any_state)

    assert await send(store, first) == [b"committed"]
    assert await everything(any_state) == before
    assert len(await events(any_state)) == 2


async def test_the_ids_of_commits_are_kept_for_a_minute(any_store: Store) -> None:
    await prepare(any_store, "live")
    change = builders.decided(builders.cta(), await any_store.load(WEBINAR), "speaker")
    commit = await planned(any_store, change)
    await send(any_store, commit)
    (done,) = (key for key in commit[0] if ":done:" in key)

    assert commits.DONE_SECONDS - 5 < await any_store.call("TTL", done) <= commits.DONE_SECONDS == 60


async def test_an_evaluation_is_never_scheduled_earlier_nor_for_the_same_time(any_store: Store) -> None:
    await prepare(any_store, "live")
    schedule = any_store.keys.evaluations(any_store.keys.tag(WEBINAR))
    scheduled = 9_000_000_000_000
    await any_store.call("ZADD", schedule, scheduled, WEBINAR)
    change = builders.decided(builders.stop(), await any_store.load(WEBINAR), "speaker")
    await send(any_store, await planned(any_store, change))

    assert await any_store.call("ZSCORE", schedule, WEBINAR) == scheduled + 1
