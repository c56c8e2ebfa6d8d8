"""The outbox: the record decides; the stream and the due set only say which record to look at."""

import asyncio

import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.delivery import claim, doubt, finish
from room_server.core.messages import DeliveryStatus
from room_server.core.room import RosterEntry
from room_server.errors import StateUnavailable
from room_server.state import roster
from room_server.state.commits import unix_ms
from room_server.state.outbox import (
    ABANDONED_MS,
    GROUP,
    IDLE_CONSUMER_MS,
    FollowOn,
    Outbox,
    OutboxEntry,
    StoredDelivery,
)
from room_server.state.redis.pipeline import Script
from room_server.state.store import Store
from tests.core.builders import WEBINAR, at, evaluate
from tests.proxy import proxy_to
from tests.state.acts import another, done, prepare

OWNER = "w1"
LEADS = range(1, 6)


@pytest.fixture
async def outbox(any_store: Store) -> Outbox:
    """One message to the partner for each of five leads, on its way."""
    await prepare(any_store, "finished")
    await roster.import_roster(
        any_store, WEBINAR, [RosterEntry(lead_id=lead, partner_chat_id=lead) for lead in LEADS], False
    )
    for lead in LEADS:
        await done(any_store, evaluate(lead))
    made = Outbox(any_store)
    await made.open(tag(made))
    return made


def tag(outbox: Outbox) -> str:
    return outbox.store.keys.tag(WEBINAR)


def stream(outbox: Outbox) -> str:
    return outbox.store.keys.urgent(tag(outbox))


async def taken(outbox: Outbox, most: int = 100) -> list[OutboxEntry]:
    return await outbox.read_new(tag(outbox), OWNER, most)


async def record_of(outbox: Outbox, entry: OutboxEntry) -> StoredDelivery:
    stored = await outbox.load(entry.webinar_id, entry.field)
    assert stored is not None
    return stored


async def length(outbox: Outbox) -> int:
    return int(await outbox.store.call("XLEN", stream(outbox)))


async def pending(outbox: Outbox) -> int:
    """Entries that consumers have not acknowledged."""
    consumers = await outbox.store.call("XPENDING", stream(outbox), GROUP)
    return int(consumers[0] if isinstance(consumers, list) else consumers["pending"])


async def counts(outbox: Outbox) -> dict[str, int]:
    counted = await outbox.store.call("HGETALL", outbox.store.keys.fates(tag(outbox)))
    flat = counted if isinstance(counted, dict) else dict(zip(counted[::2], counted[1::2], strict=True))
    return {name.decode(): int(count) for name, count in flat.items()}


async def test_each_message_wakes_once_in_the_order_of_its_commit(outbox: Outbox) -> None:
    entries = await taken(outbox)

    assert [(entry.webinar_id, entry.field) for entry in entries] == [(WEBINAR, f"{lead}:attendance") for lead in LEADS]
    assert await taken(outbox) == []


async def test_no_more_is_taken_than_asked_for(outbox: Outbox) -> None:
    assert [len(await taken(outbox, 2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_an_update_writes_the_record_and_takes_the_entry_off_the_stream(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)
    stored = await record_of(outbox, entry)
    wanted = finish(stored.delivery, DeliveryStatus.UNDELIVERABLE, "discarded", utc_now())

    current = await outbox.update(WEBINAR, stored, wanted, FollowOn(entry=entry))

    assert current is not None
    assert (current, current.delivery) == (await record_of(outbox, entry), wanted)
    assert (await length(outbox), await pending(outbox)) == (4, 4)
    assert await counts(outbox) == {"queued": 4, "undeliverable": 1, "no_chat": 10}


async def test_an_update_of_a_record_that_changed_does_nothing(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)
    stored = await record_of(outbox, entry)
    first = claim(stored.delivery, "first", utc_now())
    second = claim(stored.delivery, "second", utc_now())

    assert await outbox.update(WEBINAR, stored, first, FollowOn()) is not None
    assert await outbox.update(WEBINAR, stored, second, FollowOn(1.0, wakes=True, entry=entry)) is None
    assert await outbox.update(WEBINAR, stored, None, FollowOn(1.0, entry=entry)) is None
    assert (await record_of(outbox, entry)).delivery == first
    assert (await length(outbox), await pending(outbox)) == (5, 5)
    assert await outbox.store.call("ZCARD", outbox.store.keys.due(tag(outbox))) == 0


async def test_of_many_claims_at_once_one_succeeds(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)
    stored = await record_of(outbox, entry)

    tries = [claim(stored.delivery, f"w{number}", utc_now()) for number in range(20)]
    claims = await asyncio.gather(*(outbox.update(WEBINAR, stored, wanted, FollowOn()) for wanted in tries))

    assert len([one for one in claims if one]) == 1


async def test_an_update_that_is_repeated_is_made_once(outbox: Outbox) -> None:
    """Its first reply may have been lost."""
    entry, *_ = await taken(outbox)
    stored = await record_of(outbox, entry)
    wanted = replace(stored.delivery, at=at(1))

    for _ in range(3):
        assert await outbox.update(WEBINAR, stored, wanted, FollowOn(wakes=True, entry=entry)) == await record_of(
            outbox, entry
        )

    assert await length(outbox) == 5
    assert (await counts(outbox))["queued"] == 5


async def test_a_message_that_waits_comes_back_when_it_is_due(outbox: Outbox) -> None:
    first, second, *_ = await taken(outbox)
    await outbox.update(WEBINAR, await record_of(outbox, first), None, FollowOn(0.0, entry=first))
    await outbox.update(WEBINAR, await record_of(outbox, second), None, FollowOn(60.0, entry=second))

    came = [await outbox.enqueue_due(tag(outbox)) for _ in range(2)]

    again = await taken(outbox)
    assert came == [1, 0]
    assert [entry.field for entry in again] == [first.field]
    assert again[0].id != first.id


async def test_a_message_in_doubt_is_due_again(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)
    stored = await record_of(outbox, entry)
    step = doubt(stored.delivery, "its sender died", utc_now())
    before = unix_ms(utc_now())

    await outbox.update(WEBINAR, stored, step.delivery, FollowOn(step.again_in, entry=entry))

    due = float(await outbox.store.call("ZSCORE", outbox.store.keys.due(tag(outbox)), f"{WEBINAR} {entry.field}"))
    assert before < due <= unix_ms(utc_now()) + 2000


async def test_a_due_member_that_names_no_message_is_discarded(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    await taken(outbox)
    await outbox.store.call("ZADD", outbox.store.keys.due(tag(outbox)), 0, "nonsense")

    assert await outbox.enqueue_due(tag(outbox)) == 1
    assert await taken(outbox) == []
    assert "is discarded: it names no webinar or no message" in caplog.text


async def test_only_abandoned_entries_go_to_another_consumer(outbox: Outbox) -> None:
    dead, living, *_ = await taken(outbox)
    await outbox.store.call("XCLAIM", stream(outbox), GROUP, "dead", 0, dead.id, "IDLE", ABANDONED_MS + 1)

    assert [entry.id for entry in await outbox.claim_abandoned(tag(outbox), "another", 10)] == [dead.id]
    assert await outbox.claim_abandoned(tag(outbox), "another", 10) == []
    assert living.id != dead.id


async def test_a_pending_entry_that_was_deleted_is_dropped(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)
    await outbox.store.call("XCLAIM", stream(outbox), GROUP, "dead", 0, entry.id, "IDLE", ABANDONED_MS + 1)
    await outbox.store.call("XDEL", stream(outbox), entry.id)

    assert await outbox.claim_abandoned(tag(outbox), "another", 10) == []
    assert await pending(outbox) == 4


async def test_an_acknowledged_entry_is_gone(outbox: Outbox) -> None:
    entry, *_ = await taken(outbox)

    for _ in range(2):
        await outbox.acknowledge(entry)

    assert (await length(outbox), await pending(outbox)) == (4, 4)


async def test_a_group_is_made_once_and_again_when_it_was_lost(outbox: Outbox) -> None:
    await taken(outbox)
    await outbox.open(tag(outbox))
    assert await taken(outbox) == []

    await outbox.store.call("XGROUP", "DESTROY", stream(outbox), GROUP)
    with pytest.raises(StateUnavailable):
        await taken(outbox)
    await outbox.open(tag(outbox))

    assert len(await taken(outbox)) == 5


async def test_a_consumer_is_removed_unless_it_has_pending_entries(outbox: Outbox) -> None:
    await taken(outbox, 1)
    await outbox.read_new(tag(outbox), "idle", 1)
    await outbox.store.call("XGROUP", "CREATECONSUMER", stream(outbox), GROUP, "empty")
    for other in outbox.store.keys.tags:
        await outbox.open(other)

    for reader in (OWNER, "empty"):
        await outbox.remove_consumers(reader)

    known = await outbox.store.call("XINFO", "CONSUMERS", stream(outbox), GROUP)
    assert len(known) == 2


async def test_a_consumer_that_reads_while_others_are_removed_keeps_its_entry(valkey_url: str) -> None:
    """Its pending entry would be lost with it."""
    script = Script.read("remove_consumers").sha.encode()
    async with another(valkey_url) as store, proxy_to(valkey_url) as proxy, another(proxy.url) as far:
        await prepare(store, "finished")
        await roster.import_roster(store, WEBINAR, [RosterEntry(lead_id=1, partner_chat_id=1)], False)
        await done(store, evaluate(1))
        outbox = Outbox(store)
        await outbox.open(tag(outbox))
        await store.call("XGROUP", "CREATECONSUMER", stream(outbox), GROUP, OWNER)
        leaving = proxy.hold(script)
        forgetting = asyncio.create_task(Outbox(far).remove_consumers("", -1))
        await leaving.arrived.wait()
        entries = await taken(outbox)
        leaving.released.set()
        await forgetting

        assert (len(entries), await pending(outbox)) == (1, 1)


@pytest.mark.parametrize("fields", [("webinar", WEBINAR), ("field", "1:attendance"), ("nonsense", b"\xff\xfe")])
async def test_an_entry_that_names_no_message_is_discarded(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, fields: tuple[str | bytes, ...]
) -> None:
    await outbox.store.call("XADD", stream(outbox), "*", *fields)

    assert len(await taken(outbox)) == 5
    assert (await length(outbox), await pending(outbox)) == (5, 5)
    assert "is discarded: it names no webinar or no message" in caplog.text


async def test_an_entry_of_another_partition_is_discarded(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    others = [f"w{number}" for number in range(40) if outbox.store.keys.tag(f"w{number}") != tag(outbox)]
    for name in others:
        await outbox.store.call("XADD", stream(outbox), "*", "webinar", name, "field", "1:attendance")

    assert len(await taken(outbox)) == 5
    assert caplog.text.count("its webinar belongs to another partition") == len(others)
    assert bool(others) == (len(outbox.store.keys.tags) > 1)


async def test_a_record_that_cannot_be_read_is_left_out_and_logged(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    await outbox.store.call("HSET", outbox.store.keys.deliveries(WEBINAR), "9:attendance", b"{")

    found = [stored.delivery.lead_id async for stored in outbox.deliveries(WEBINAR)]

    assert len(found) == 15
    assert "a message of demo cannot be read" in caplog.text


async def test_there_is_no_record_of_a_message_that_was_never_made(outbox: Outbox) -> None:
    assert await outbox.load(WEBINAR, "99:attendance") is None


async def test_consumers_that_died_are_removed_once_they_have_no_pending_entries(outbox: Outbox) -> None:
    await taken(outbox)
    await outbox.store.call("XGROUP", "CREATECONSUMER", stream(outbox), GROUP, "idle")
    left = []
    for idle_ms in (IDLE_CONSUMER_MS, -1):
        await outbox.tidy(idle_ms)
        left.append(len(await outbox.store.call("XINFO", "CONSUMERS", stream(outbox), GROUP)))

    assert left == [2, 1]
    assert await pending(outbox) == 5
