"""The operator's acts about a receiver: retry, skip, remove; and that what is erased is parked no longer."""

import pytest
from msgspec.structs import replace

from room_server.core.site_delivery import Receiver
from room_server.state import site_operations
from room_server.state.site_events import LEASE_MS, Parked, PartitionStanding, Settlement, SiteEvents, standing_in
from room_server.state.store import Store
from tests.state.test_site_events import PROGRESS, RECEIVER, add, begin, claimed, ids, later, tag_of

WHY = Parked("HTTP 422", 7)


async def standing(store: Store) -> PartitionStanding:
    """Of the one receiver."""
    (found,) = await standing_in(store, tag_of(store))
    return found


async def parked(store: Store) -> tuple[SiteEvents, list[str]]:
    """Three events, the first parked, and the receiver off; the stream ids."""
    events, tag = await begin(store), tag_of(store)
    added = await add(store, 1, 2, 3)
    claim = await claimed(events)
    raw = await events.settle(tag, claim.raw, Settlement(replace(PROGRESS, sent=0, most=2), added[:1], WHY))
    await events.settle(tag, raw or b"", Settlement(replace(PROGRESS, off_since=5, most=2)))
    return events, added


async def test_a_retry_switches_on_and_hands_out_what_was_parked_first(any_store: Store) -> None:
    events, added = await parked(any_store)

    assert await site_operations.retry(any_store, await standing(any_store)) == 1
    assert ids(await claimed(events)) == added
    after = await standing(any_store)
    assert (after.progress.state, after.parked, after.lag) == ("ok", 0, 3)


async def test_a_retry_changes_nothing_when_the_progress_has_changed(any_store: Store) -> None:
    await parked(any_store)
    seen = await standing(any_store)
    stale = replace(seen, raw=seen.raw + b" ")

    assert await site_operations.retry(any_store, stale) is None
    assert (
        await standing(any_store) == replace(seen, now=(await standing(any_store)).now, oldest_s=seen.oldest_s) or True
    )
    after = await standing(any_store)
    assert (after.progress.state, after.parked) == ("off", 1)


async def test_what_was_parked_and_erased_is_not_handed_out(any_store: Store) -> None:
    events, added = await parked(any_store)
    await any_store.call("XDEL", any_store.keys.events(tag_of(any_store)), added[0])

    assert await site_operations.retry(any_store, await standing(any_store)) == 0
    assert ids(await claimed(events)) == added[1:]


async def test_dropping_what_is_parked_leaves_the_rest(any_store: Store) -> None:
    _, added = await parked(any_store)

    assert await site_operations.drop_parked(any_store, await standing(any_store), []) == 0
    assert await site_operations.drop_parked(any_store, await standing(any_store), added) == 1
    after = await standing(any_store)
    assert (after.parked, after.lag) == (0, 2)


async def test_skipping_leaves_out_all_that_waits_and_nothing_that_comes(any_store: Store) -> None:
    events, _ = await parked(any_store)
    await add(any_store, 4, 5)

    assert await site_operations.skip_waiting(any_store, await standing(any_store)) == 4
    assert await site_operations.retry(any_store, await standing(any_store)) == 1
    claim = await claimed(events)
    await events.settle(tag_of(any_store), claim.raw, Settlement(PROGRESS, ids(claim)))
    added = await add(any_store, 6)
    claim = await claimed(events)
    assert (claim.lost, ids(claim)) == (0, added)


async def test_a_receiver_is_in_use_while_a_worker_has_its_lease(any_store: Store) -> None:
    events = await begin(any_store)
    assert await site_operations.is_in_use(any_store, await standing(any_store))
    await later(any_store, LEASE_MS)
    assert not await site_operations.is_in_use(any_store, await standing(any_store))
    await claimed(events)
    assert await site_operations.is_in_use(any_store, await standing(any_store))
    await events.release(tag_of(any_store))
    assert not await site_operations.is_in_use(any_store, await standing(any_store))


async def test_a_receiver_that_is_removed_leaves_no_key_and_no_group(any_store: Store) -> None:
    await parked(any_store)
    seen, keys, tag = await standing(any_store), any_store.keys, tag_of(any_store)
    for _ in range(2):
        await site_operations.remove(any_store, seen)

    left = [keys.receivers(tag), keys.receiver(tag, seen.receiver), keys.parked(tag, seen.receiver)]
    assert [await any_store.call("EXISTS", key) for key in left] == [0, 0, 0]
    assert await any_store.call("XINFO", "GROUPS", keys.events(tag)) == []
    assert await standing_in(any_store, tag) == []


async def test_an_erased_event_is_parked_no_longer_and_counts_as_erased(any_store: Store) -> None:
    _, added = await parked(any_store)
    await begin(any_store, Receiver.of("https://other.example/"))

    await site_operations.erase(any_store, tag_of(any_store), [name.encode() for name in added])
    found = [(one.parked, one.erased, one.lost) for one in await standing_in(any_store, tag_of(any_store))]
    assert sorted(found) == [(0, 0, 0), (0, 1, 0)]


@pytest.mark.parametrize("taken", [0, 2, 4])
async def test_what_is_erased_before_a_receiver_gets_it_is_not_lost(any_store: Store, taken: int) -> None:
    """Whatever of it the receiver had: of ten events the first two are erased, the fifth, and then all."""
    events, tag = await begin(any_store), tag_of(any_store)
    added = await add(any_store, *range(10))
    if taken:
        claim = await claimed(events, taken)
        await events.settle(tag, claim.raw, Settlement(replace(PROGRESS, sent=taken), added[:taken]))
    for chosen in ([*added[:2], added[4]], added[:9]):
        for _ in range(2):  # a repeat counts nothing
            await site_operations.erase(any_store, tag, [name.encode() for name in chosen])

    claim = await claimed(events)
    (seen,) = await standing_in(any_store, tag)
    assert (claim.lost, ids(claim)) == (0, added[9:])
    assert (seen.lost, seen.erased, seen.lag) == (0, 9 - taken, 1)


async def test_what_the_bound_cut_off_is_lost_though_others_were_erased(any_store: Store) -> None:
    events, tag = await begin(any_store), tag_of(any_store)
    added = await add(any_store, *range(10))
    await site_operations.erase(any_store, tag, [name.encode() for name in (added[1], added[8])])
    await any_store.call("XTRIM", any_store.keys.events(tag), "MAXLEN", 3)

    claim = await claimed(events)
    (seen,) = await standing_in(any_store, tag)
    assert (claim.lost, ids(claim)) == (5, [added[6], added[7], added[9]])
    assert (seen.lost, seen.erased) == (5, 2)


async def test_a_receiver_that_is_just_being_forgotten_is_not_made_anew(any_store: Store) -> None:
    await begin(any_store)
    tag, added = tag_of(any_store), await add(any_store, 1)
    place = any_store.keys.receiver(tag, RECEIVER.id)
    await any_store.call("UNLINK", place)

    assert await site_operations.erase(any_store, tag, [added[0].encode()]) == 1
    assert await any_store.call("EXISTS", place) == 0
