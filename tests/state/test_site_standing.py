"""What is told of the receivers: sums over the partitions, the worst state, and no secret."""

from room_server.core.site_delivery import Receiver
from room_server.state.site_standing import receivers
from room_server.state.store import Store
from tests.site.sending import known

URL = "https://me:hunter2@site.example/events?key=hunter3"


async def test_without_a_receiver_there_is_none(any_store: Store) -> None:
    assert await receivers(any_store) == []


async def test_numbers_are_summed_and_ages_are_the_highest(any_store: Store) -> None:
    await known(any_store, URL, sent=3, gone=2, answers={"taken": 2, "failed": 1})
    for tag in any_store.keys.tags:
        for _ in range(2):
            await any_store.call("XADD", any_store.keys.events(tag), "*", "hook", "h")
        await any_store.call("HSET", any_store.keys.parked(tag, Receiver.of(URL).id), "1-1", "{}")

    (found,) = await receivers(any_store)

    partitions = len(any_store.keys.tags)
    assert (found.lag, found.parked, found.sent, found.erased) == tuple(number * partitions for number in (2, 1, 3, 2))
    assert found.answers == {"taken": 2 * partitions, "failed": partitions}
    assert (found.state, found.lost) == ("ok", 0)
    assert 0 <= found.oldest_s < 60
    assert (found.url, found.label) == ("https://site.example/events?…", Receiver.of(URL).label)
    assert "hunter" not in repr(found)


async def test_the_worst_partition_counts(any_store: Store) -> None:
    """`failures` alone is a wait; a partition that is off is worse than one that waits."""
    await known(any_store, "https://a.example/", failures=1)
    await known(any_store, "https://b.example/", refusals=1)
    await known(any_store, "https://c.example/", off_since=1, failures=1)
    await known(any_store, "https://d.example/")

    assert [one.state for one in await receivers(any_store)] == ["waiting", "waiting", "off", "ok"]
