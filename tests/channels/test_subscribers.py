"""Groups of sockets, their receipts, and what is counted of them."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from room_server.channels.frames import RoomState, room_state
from room_server.channels.hub import SLICE
from room_server.channels.subscribers import (
    PAST_EPOCHS,
    BroadcastStats,
    ReadQueue,
    Receipts,
    SubscriberGroup,
    counts_group,
    counts_scope,
)
from room_server.core.receipt_stats import Reach, bucket, merge
from room_server.core.room import public_text
from tests.api.test_counts import counts
from tests.crowds import Audience
from tests.support import Site, eventually, next_state, room, serving, settings_for, state_where, wait_until


def state(version: int) -> RoomState:
    """A state of the room `w` under the epoch `e`."""
    return room_state(public_text(room("w", epoch="e", version=version)))


@pytest.mark.parametrize("scope", ["*", "w", "counts"])
def test_a_group_for_counts_has_no_webinar_id_for_a_name(scope: str) -> None:
    assert counts_scope(counts_group(scope)) == scope
    assert counts_scope(scope) is None


def test_receipts_count_by_their_time_and_for_the_newest_change_only() -> None:
    old, new = state(1), state(2)
    group = SubscriberGroup("w")
    group.count_receipt(new, 1.0)
    group.state, group.receipts = new, Receipts(new, 4, 10.0)
    for received, now in ((old, 10.1), (new, 10.001), (new, 10.001), (new, 10.1)):
        group.count_receipt(received, now)

    assert merge([group.receipts.counts()]) == Reach(version=2, of=4, reached=3, p50_ms=1, p99_ms=100)


def test_a_group_remembers_the_epochs_that_were_replaced_last() -> None:
    group = SubscriberGroup("w")
    for number in range(PAST_EPOCHS + 3):
        for version in (1, 2):
            group.set_state(room_state(public_text(room("w", epoch=f"e{number}", version=version))))

    assert group.state is not None
    assert (group.state.head.epoch, group.state.head.version) == (f"e{PAST_EPOCHS + 2}", 2)
    assert group.past_epochs == tuple(f"e{number}" for number in range(2, PAST_EPOCHS + 2))


async def test_a_room_that_is_requested_twice_is_read_once() -> None:
    queue = ReadQueue()
    for name in ("a", "b", "a"):
        queue.request(name)

    assert await queue.take_all() == ["a", "b"]
    queue.request("a")
    assert await queue.take_all() == ["a"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await queue.take_all()


async def reach(site: Site) -> dict[str, int] | None:
    rooms = (await counts(site))["rooms"]
    found: dict[str, int] | None = next((one["reach"] for one in rooms), None)
    return found


async def test_every_browser_that_answers_is_counted_across_processes(site: Site) -> None:
    await site.transactions.create(room())
    async with serving(site.settings) as other, site.socket() as one, other.socket(claims={"sub": "43"}) as two:
        await next_state(one)
        await next_state(two)
        await site.status("start")
        await state_where(one, status="live")
        await state_where(two, status="live")

        async def reached() -> bool:
            found = await reach(site)
            return found is not None and (found["version"], found["of"], found["reached"]) == (2, 2, 2)

        await eventually(reached, "both browsers have answered for version 2")


async def test_a_snapshot_is_no_change_to_be_confirmed(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)

        async def counted() -> bool:
            return bool((await counts(site))["total"] == 1)

        await eventually(counted, "the socket is counted")
        assert await reach(site) is None


async def test_rooms_that_change_all_at_once_get_all_their_receipts(valkey_url: str) -> None:
    """A large one is in the midst of its broadcasts when the others, and it itself, change again."""
    sizes = {"large": 2 * SLICE + 10, "b": 5, "c": 1, "d": 5}
    async with serving(settings_for(valkey_url, max_sockets_per_person=0)) as site, AsyncExitStack() as stack:
        for name, size in sizes.items():
            await site.transactions.create(room(name))
            port = int(site.address.rpartition(":")[2])
            audience = Audience(f"/rooms/{name}/socket", site.token("attendee", name), [port])
            stack.push_async_callback(audience.leave)
            await audience.join(size)

        async def change_often(name: str, times: int) -> None:
            for _ in range(times):
                await site.transactions.edit(name, lambda known: replace(known, version=known.version + 1))

        times = {"large": 5, "b": 20, "c": 20, "d": 20}
        await asyncio.gather(*(change_often(*each) for each in times.items()))

        def reached() -> dict[str, tuple[int, int, int]]:
            reach = site.inside.hub.counts()["reach"]
            return {name: (one.version, one.of, sum(one.buckets)) for name, one in reach.items()}

        complete = {name: (1 + times[name], size, size) for name, size in sizes.items()}
        await wait_until(lambda: reached() == complete, "every browser has answered for its room's last change")


def test_the_receipts_of_a_change_are_kept_when_another_replaces_it() -> None:
    stats, first, second = BroadcastStats(), Receipts(state(1), 2, 0.0), Receipts(state(2), 2, 0.0)
    for receipts, seconds in ((first, 0.001), (first, 0.5), (second, 0.001)):
        receipts.buckets[bucket(seconds)] += 1
    stats.add_past(None)
    stats.add_past(first)
    answers = stats.answers([second, None])

    assert answers == [one + other for one, other in zip(first.buckets, second.buckets, strict=True)]
    assert (sum(answers), sum(stats.answers([]))) == (3, 2)

    stats.add_past(second)
    assert stats.answers([]) == answers


def test_stats_begin_at_zero() -> None:
    stats = BroadcastStats()
    assert (stats.frames, stats.healed, sum(stats.answers([])), sum(stats.writing.counts)) == (0, 0, 0, 0)


def test_a_broadcast_is_logged_once_with_what_joins_it_to_its_commit(caplog: pytest.LogCaptureFixture) -> None:
    stats = BroadcastStats()
    receipts = Receipts(state(7), 3, 0.0)
    receipts.received_at -= 2
    with caplog.at_level(logging.INFO):
        stats.record_broadcast("w", receipts)
        stats.record_broadcast("w", receipts)
    ((line,), facts) = caplog.records, vars(caplog.records[0])["facts"]

    assert line.getMessage() == "room told"
    assert facts.pop("ms") >= 2000
    assert facts == {"webinar": "w", "epoch": "e", "version": 7, "sockets": 3}
    assert (sum(stats.writing.counts), stats.writing.seconds >= 2) == (1, True)


async def test_that_a_peer_was_heard_is_kept_in_an_object_that_the_socket_has_anyway(site: Site) -> None:
    """Or each socket would take the memory of another number."""
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        hub = site.inside.hub
        ((peer, since),) = hub.groups["w"].subscribers.items()
        assert since is peer.heard_at
        await (await socket.ping())
        assert since is not peer.heard_at
        hub.see(hub.groups["w"], peer)
        assert hub.groups["w"].subscribers[peer] is peer.heard_at
