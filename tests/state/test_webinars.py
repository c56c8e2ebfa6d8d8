"""The list of webinars, the progress of an evaluation, and counts of messages."""

from datetime import timedelta

from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.planning import Plan
from room_server.core.room import Room, public
from room_server.state.store import Store
from room_server.state.webinars import LISTED, delivery_counts, evaluation_progress, latest
from tests.core import builders
from tests.core.builders import NOW, WEBINAR
from tests.state.acts import another, done, prepare
from tests.support import amend, few_at_once, transactions


async def made(store: Store, count: int) -> list[Room]:
    """Create so many webinars in all partitions; each is scheduled a minute before the one created before it."""
    rooms = [
        builders.room("scheduled", webinar_id=f"w-{number}", scheduled_at=NOW - timedelta(minutes=number))
        for number in range(count)
    ]
    return await few_at_once(transactions(store).create(room) for room in rooms)


async def test_the_latest_come_first(any_store: Store) -> None:
    rooms = await made(any_store, 30)

    assert await latest(any_store) == [public(room) for room in rooms]


async def test_without_webinars_the_list_is_empty(any_store: Store) -> None:
    assert await latest(any_store) == []


async def test_every_status_is_listed(any_store: Store) -> None:
    rooms = [
        await transactions(any_store).create(builders.room(status, webinar_id=status)) for status in builders.STATUSES
    ]

    assert sorted(await latest(any_store), key=str) == sorted((public(room) for room in rooms), key=str)


async def test_the_public_list_leaves_out_what_is_unlisted_until_it_is_listed_again(any_store: Store) -> None:
    rooms = await made(any_store, 3)
    await amend(any_store, "w-1", Plan(unlisted=True))

    assert await latest(any_store, listed_only=True) == [public(rooms[0]), public(rooms[2])]
    assert len(await latest(any_store)) == 3
    await amend(any_store, "w-1", Plan(unlisted=False))
    assert len(await latest(any_store, listed_only=True)) == 3


async def test_a_webinar_moves_with_its_time(any_store: Store) -> None:
    rooms = await made(any_store, 3)
    moved = await transactions(any_store).edit("w-2", lambda room: replace(room, scheduled_at=NOW, version=8))

    assert {room.webinar_id for room in await latest(any_store)} == {room.webinar_id for room in rooms}
    assert [room.webinar_id for room in await latest(any_store)][-1] == "w-1"
    assert public(moved) in await latest(any_store)


async def test_a_deleted_webinar_is_not_listed(any_store: Store) -> None:
    rooms = await made(any_store, 3)
    await any_store.delete("w-1")

    assert await latest(any_store) == [public(rooms[0]), public(rooms[2])]


async def test_an_index_that_leads_nowhere_is_skipped(any_store: Store) -> None:
    rooms = await made(any_store, 2)
    await any_store.call("ZADD", any_store.keys.webinars(any_store.keys.tag("gone")), 1, "gone")

    assert await latest(any_store) == [public(room) for room in rooms]


async def test_a_listing_is_bounded_over_all_partitions(cluster_url: str) -> None:
    async with another(cluster_url, 8) as store:
        listed = [public(room) for room in await made(store, LISTED + 50)]

        assert await latest(store, now=NOW + timedelta(days=1)) == listed[:LISTED]
        assert await latest(store, now=NOW - timedelta(days=1)) == listed[50:]
        assert await latest(store, now=listed[520].scheduled_at + timedelta(seconds=1)) == listed[20:-30]


async def test_what_is_on_air_is_listed_whatever_is_planned_for_later(store: Store) -> None:
    """A site that plans a year ahead: the list feeds the schedule, the monitor and the limit of `LIVE_HOURS`."""
    later = [
        builders.room("scheduled", webinar_id=f"later-{number}", scheduled_at=utc_now() + timedelta(days=9 + number))
        for number in range(LISTED)
    ]
    await few_at_once(transactions(store).create(room) for room in later)
    on_air = await transactions(store).create(builders.room("live", webinar_id="on-air", scheduled_at=utc_now()))

    found = await latest(store)

    assert len(found) == LISTED
    assert found[-1] == public(on_air)


async def test_how_many_are_classified_of_how_many(any_store: Store) -> None:
    await prepare(any_store)
    for lead in (1, 2, 3):
        await done(any_store, builders.enter(lead))
    await done(any_store, builders.stop())
    await done(any_store, builders.complete(1))

    assert await evaluation_progress(any_store, WEBINAR) == (1, 3)


async def test_without_leads_none_is_classified(any_store: Store) -> None:
    assert await evaluation_progress(any_store, WEBINAR) == (0, 0)


async def test_messages_are_counted_by_status(any_store: Store) -> None:
    tags = any_store.keys.tags
    for tag in (tags[0], tags[-1]):
        await any_store.call("HINCRBY", any_store.keys.fates(tag), "sent", 2)
        await any_store.call("HINCRBY", any_store.keys.fates(tag), "queued", 0)

    assert await delivery_counts(any_store) == {"sent": 4}
