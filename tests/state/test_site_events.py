"""The queue of a receiver: leases, places, what is pending, what was cut off, how far it is; on every kind of Redis."""

import pytest
from msgspec.structs import replace

from room_server.core.site_delivery import MOST, Progress, Receiver
from room_server.state.site_events import (
    LEASE_MS,
    Claim,
    Parked,
    Settlement,
    SiteEvents,
    parked_events,
    standing_in,
    standings,
)
from room_server.state.store import Store

RECEIVER = Receiver.of("https://site.example/events")
PROGRESS = Progress(url=RECEIVER.url, label=RECEIVER.label, seen_at=0)


def worker(store: Store, name: str = "a", receiver: Receiver = RECEIVER) -> SiteEvents:
    """The events as a worker of this name sees them."""
    return SiteEvents(store, receiver, name)


def tag_of(store: Store) -> str:
    return store.keys.tags[0]


async def add(store: Store, *numbers: int) -> list[str]:
    """Entries with these numbers; their stream ids."""
    key = store.keys.events(tag_of(store))
    fields = ("hook", "h", "payload", "{}", "actor", "")
    return [(await store.call("XADD", key, "*", *fields, "id", f"h::{number}")).decode() for number in numbers]


async def begin(store: Store, receiver: Receiver = RECEIVER) -> SiteEvents:
    """The receiver has its place, and worker `a` the lease."""
    events = worker(store, "a", receiver)
    claim = await events.claim(tag_of(store))
    assert claim is not None
    assert claim.progress is None
    await events.settle(tag_of(store), b"", Settlement(replace(PROGRESS, url=receiver.url, label=receiver.label)))
    return events


async def claimed(events: SiteEvents, most: int = MOST) -> Claim:
    """What the worker gets."""
    claim = await events.claim(tag_of(events.store), most)
    assert claim is not None
    return claim


async def later(store: Store, milliseconds: int) -> None:
    await store.call("HINCRBY", store.keys.clock(tag_of(store)), "back", milliseconds)


def ids(claim: Claim) -> list[str]:
    return [entry.id for entry in claim.entries]


async def test_a_new_receiver_begins_at_the_end(any_store: Store) -> None:
    await add(any_store, 1, 2)
    events = await begin(any_store)
    added = await add(any_store, 3, 4)

    assert ids(await claimed(events)) == added


async def test_what_is_not_acknowledged_comes_again_before_anything_new(any_store: Store) -> None:
    events = await begin(any_store)
    first = await add(any_store, 1, 2)
    claim = await claimed(events)
    second = await add(any_store, 3)

    assert ids(await claimed(events)) == first
    await events.settle(tag_of(any_store), claim.raw, Settlement(replace(PROGRESS, sent=2), first))
    assert ids(await claimed(events)) == second


async def test_one_worker_at_a_time_has_the_lease_until_it_runs_out_or_is_given_back(any_store: Store) -> None:
    events, other = await begin(any_store), worker(any_store, "b")

    assert await other.claim(tag_of(any_store)) is None
    await later(any_store, LEASE_MS + 1)
    assert await other.claim(tag_of(any_store)) is not None
    assert await events.claim(tag_of(any_store)) is None
    await other.release(tag_of(any_store))
    assert await events.claim(tag_of(any_store)) is not None


async def test_a_worker_without_the_lease_gives_nobody_elses_back(any_store: Store) -> None:
    events, other = await begin(any_store), worker(any_store, "b")
    await other.release(tag_of(any_store))

    assert await other.claim(tag_of(any_store)) is None
    assert await events.claim(tag_of(any_store)) is not None


async def test_a_dead_workers_batch_goes_to_the_next_one(any_store: Store) -> None:
    events = await begin(any_store)
    added = await add(any_store, 1, 2, 3)
    await claimed(events)
    await later(any_store, LEASE_MS + 1)

    assert ids(await claimed(worker(any_store, "b"))) == added


async def test_a_worker_that_lost_its_lease_changes_nothing(any_store: Store) -> None:
    events, other, tag = await begin(any_store), worker(any_store, "b"), tag_of(any_store)
    added = await add(any_store, 1)
    claim = await claimed(events)
    await later(any_store, LEASE_MS + 1)
    taken_over = await claimed(other)
    await other.settle(tag, taken_over.raw, Settlement(replace(PROGRESS, failures=1, due=1)))

    assert await events.settle(tag, claim.raw, Settlement(replace(PROGRESS, sent=1), added)) is None
    assert ids(await claimed(other)) == added


async def test_an_outcome_whose_reply_was_lost_may_be_stored_again(any_store: Store) -> None:
    events, tag = await begin(any_store), tag_of(any_store)
    added = await add(any_store, 1)
    claim = await claimed(events)
    outcome = Settlement(replace(PROGRESS, sent=1), added)

    first = await events.settle(tag, claim.raw, outcome)
    assert await events.settle(tag, claim.raw, outcome) == first
    assert ids(await claimed(events)) == []


async def test_nothing_is_handed_out_before_it_is_due_or_while_it_is_off(any_store: Store) -> None:
    events, tag = await begin(any_store), tag_of(any_store)
    added = await add(any_store, 1)
    claim = await claimed(events, 0)
    waiting = replace(PROGRESS, due=claim.now + 60_000)
    raw = await events.settle(tag, claim.raw, Settlement(waiting))

    assert ids(await claimed(events)) == []
    await later(any_store, 60_001)
    assert ids(await claimed(events)) == added
    await events.settle(tag, raw or b"", Settlement(replace(PROGRESS, off_since=1)))
    assert ids(await claimed(events)) == []


async def test_a_look_costs_no_write_while_nothing_is_new(store: Store) -> None:
    events, tag = await begin(store), tag_of(store)
    before = await written(store)

    for _ in range(5):
        assert await events.claim(tag, peek=True) is None
    assert await written(store) == before
    added = await add(store, 1)
    claim = await events.claim(tag, peek=True)
    assert claim is not None
    assert ids(claim) == added


async def written(store: Store) -> int:
    """Changes that the server has made since it started."""
    return int((await store.pipeline.call("INFO", "persistence"))["rdb_changes_since_last_save"])


async def test_receivers_do_not_hold_each_other_up(any_store: Store) -> None:
    other = Receiver.of("https://other.example/")
    first, second = await begin(any_store), await begin(any_store, other)
    added = await add(any_store, 1, 2)
    claim = await claimed(first)
    await first.settle(tag_of(any_store), claim.raw, Settlement(replace(PROGRESS, failures=1, due=2**50)))

    assert ids(await claimed(second)) == added


async def test_what_the_bound_of_the_stream_cut_off_is_counted(any_store: Store) -> None:
    events, key = await begin(any_store), any_store.keys.events(tag_of(any_store))
    added = await add(any_store, *range(1, 11))
    await any_store.call("XTRIM", key, "MAXLEN", 3)

    claim = await claimed(events)
    assert (claim.lost, ids(claim)) == (7, added[7:])
    (standing,) = await standing_in(any_store, tag_of(any_store))
    assert standing.lost == 7


async def test_what_was_cut_off_after_it_was_handed_out_is_counted_too(any_store: Store) -> None:
    """A receiver was away for so long: the batch in flight is the first to be cut off."""
    events, key = await begin(any_store), any_store.keys.events(tag_of(any_store))
    added = await add(any_store, *range(1, 11))
    assert ids(await claimed(events, 5)) == added[:5]
    await any_store.call("XTRIM", key, "MAXLEN", 7)
    claim = await claimed(events, 5)
    assert (claim.lost, ids(claim)) == (3, added[3:5])
    await any_store.call("XTRIM", key, "MAXLEN", 2)

    claim = await claimed(events, 5)
    assert (claim.lost, ids(claim)) == (5, added[8:])
    (standing,) = await standing_in(any_store, tag_of(any_store))
    assert (standing.lost, standing.lag) == (8, 2)


async def test_what_was_taken_before_it_was_cut_off_is_not_lost(any_store: Store) -> None:
    """Also after the stream was emptied, as by the retention of all its webinars."""
    events, tag, key = await begin(any_store), tag_of(any_store), any_store.keys.events(tag_of(any_store))
    for _ in range(3):
        added = await add(any_store, 1, 2, 3)
        claim = await claimed(events)
        assert (claim.lost, ids(claim)) == (0, added)
        await events.settle(
            tag, claim.raw, Settlement(replace(PROGRESS, sent=(claim.progress or PROGRESS).sent + 3), added)
        )
        await any_store.call("XDEL", key, *added[:2])
        await any_store.call("XTRIM", key, "MAXLEN", 0)


async def test_a_long_queue_is_handed_out_in_batches_and_none_is_counted_as_lost(any_store: Store) -> None:
    events, tag = await begin(any_store), tag_of(any_store)
    added, got, lost = await add(any_store, *range(25)), list[str](), 0
    while (claim := await claimed(events, 10)).entries:
        got += ids(claim)
        lost += claim.lost
        await any_store.call("XTRIM", any_store.keys.events(tag), "MINID", claim.entries[-1].id)
        progress = replace(PROGRESS, sent=len(got))
        await events.settle(tag, claim.raw, Settlement(progress, ids(claim)))

    assert (got, lost) == (added, 0)


async def test_an_erased_event_that_was_handed_out_comes_without_its_fields(any_store: Store) -> None:
    events, key = await begin(any_store), any_store.keys.events(tag_of(any_store))
    added = await add(any_store, 1, 2)
    await claimed(events)
    await any_store.call("XDEL", key, added[0])

    claim = await claimed(events)
    assert [(entry.id, entry.fields is None) for entry in claim.entries] == [(added[0], True), (added[1], False)]


async def test_a_group_that_was_lost_begins_again_at_the_receivers_place(any_store: Store) -> None:
    """As after a fail-over, or when somebody destroyed it."""
    events, tag, key = await begin(any_store), tag_of(any_store), any_store.keys.events(tag_of(any_store))
    added = await add(any_store, 1, 2, 3)
    claim = await claimed(events, 2)
    await events.settle(tag, claim.raw, Settlement(replace(PROGRESS, sent=2), added[:2]))
    await any_store.call("XGROUP", "DESTROY", key, f"site:{RECEIVER.id}")

    assert ids(await claimed(events)) == added[2:]


async def test_the_standing_says_how_many_wait_and_for_how_long(any_store: Store) -> None:
    events, tag = await begin(any_store), tag_of(any_store)
    added = await add(any_store, 1, 2, 3)
    claim = await claimed(events, 2)
    (during,) = await standing_in(any_store, tag)
    progress = replace(PROGRESS, sent=1)
    await events.settle(tag, claim.raw, Settlement(progress, added[:1], Parked("HTTP 422", 7)))
    (after,) = await standing_in(any_store, tag)

    assert (during.lag, during.parked, after.lag, after.parked) == (3, 0, 2, 1)
    assert 0.0 <= during.oldest_s < 60
    assert 0.0 <= after.oldest_s < 60
    assert (after.receiver, after.place, after.progress) == (RECEIVER.id, added[0], progress)
    assert [(entry.id, why) for entry, why in await parked_events(any_store, tag, RECEIVER.id)] == [
        (added[0], Parked("HTTP 422", 7))
    ]


async def test_the_age_is_that_of_the_oldest_event(store: Store) -> None:
    await begin(store)
    seconds, _ = await store.pipeline.call("TIME")
    await store.call("XADD", store.keys.events(tag_of(store)), f"{(seconds - 3600) * 1000}-1", "hook", "h")
    (standing,) = await standing_in(store, tag_of(store))

    assert 3600 <= standing.oldest_s < 3700


@pytest.mark.parametrize("count", [1000, 1001, 2500])
async def test_a_long_queue_is_counted_by_the_streams_own_counter(store: Store, count: int) -> None:
    await begin(store)
    await add(store, *range(count))

    assert [one.lag for one in await standings(store)] == [count]
