"""What the hub counts: sockets by room and role, frames and answers of each change, rooms that were healed."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
from redis.asyncio import Redis

from room_server.channels.frames import counts
from room_server.channels.hub import SLICE, Hub
from room_server.channels.subscribers import counts_group
from room_server.core.messages import Role
from room_server.state.store import Store
from tests.channels.test_hub import Peer, everyone, put, raw, running, store, text
from tests.channels.test_reader import reread
from tests.support import room, wait_until

__all__ = ["raw", "store"]

MANY = 2 * SLICE + 3


async def peers_in_room(hub: Hub, number: int) -> list[Peer]:
    """So many peers in the room `w`, whose version is 1."""
    peers = [Peer(hub) for _ in range(number)]
    for peer in peers:
        peer.enter()
    await wait_until(everyone(peers, 1), "everyone is in")
    return peers


def all_asked(peers: list[Peer], version: int) -> Callable[[], bool]:
    return lambda: {tuple(peer.asked) for peer in peers} == {tuple(range(2, version + 1))}


@pytest.fixture
def info_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, from `info` on."""
    with caplog.at_level(logging.INFO):
        yield caplog


async def test_a_socket_is_counted_until_it_leaves(store: Store) -> None:
    await store.create(room())
    async with running(store) as hub:
        peers = [Peer(hub, role) for role in (Role.ATTENDEE, Role.ATTENDEE, Role.ATTENDEE, Role.SPEAKER, Role.SPEAKER)]
        groups = [peer.enter() for peer in peers]
        await wait_until(everyone(peers, 1), "everyone is in")
        for left in (0, 4):
            hub.leave(groups[left], peers[left])
        assert hub.counts() == {"total": 3, "rooms": {"w": {"attendee": 2, "speaker": 1}}, "reach": {}}


def known(hub: Hub) -> list[str]:
    """The rooms that a re-read of all partitions would read."""
    return sorted(name for tag in hub.read_queues for name in hub.known_rooms(tag))


async def test_a_room_without_sockets_and_a_deleted_one_are_dropped(store: Store) -> None:
    for name in ("left", "deleted"):
        await store.create(room(name))
    async with running(store) as hub:
        peers = {name: Peer(hub) for name in ("left", "deleted", "nowhere")}
        groups = {name: peer.enter(name) for name, peer in peers.items()}
        assert known(hub) == []
        await wait_until(lambda: peers["nowhere"].refused, "a room that is not there is refused")
        await wait_until(everyone([peers["left"], peers["deleted"]], 1), "the others are in")
        assert known(hub) == ["deleted", "left"]
        hub.leave(groups["left"], peers["left"])
        hub.close_room("deleted")
        hub.close_room("never here")
        assert (known(hub), hub.groups) == ([], {})


async def test_each_change_counts_its_frames_and_receipts(store: Store, info_log: pytest.LogCaptureFixture) -> None:
    await store.create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, MANY)
        group = hub.groups["w"]
        for version in (2, 3):
            hub.publish(text(version))
            await wait_until(all_asked(peers, version), "everyone was asked for this one too")
            assert group.state is not None
            now = asyncio.get_running_loop().time()
            group.count_receipt(group.state, now)
            group.count_receipt(group.state, now + 5)
            reach = hub.counts()["reach"]["w"]
            assert (reach.epoch, reach.version, reach.of, sum(reach.buckets)) == ("e", version, MANY, 2)
            assert hub.tally.frames == MANY * (version - 1)
        assert (sum(hub.tally.answers([])), sum(hub.tally.answers([group.receipts]))) == (2, 4)
        for peer in peers:
            hub.leave(group, peer)
        assert sum(hub.tally.answers([])) == 4
    lines = [vars(record)["facts"] for record in info_log.records if record.getMessage() == "room told"]
    assert [(line["webinar"], line["version"], line["sockets"]) for line in lines] == [("w", 2, MANY), ("w", 3, MANY)]


async def test_a_monitor_gets_the_counts_and_is_asked_for_no_receipt(store: Store) -> None:
    async with running(store) as hub:
        monitor = Peer(hub)
        monitor.enter(counts_group("*"))
        for number in (1, 2):
            hub.deliver(counts_group("*"), counts("*", number, b"{}"))
            for group in hub.groups.values():
                hub.join(group, monitor)
        await wait_until(lambda: monitor.version == 2, "the monitor has them")
        await wait_until(lambda: hub.tally.frames == 1, "it is counted")
        assert (hub.scopes(), hub.rooms(), hub.counts()["reach"], monitor.asked) == (["*"], {}, {}, [])


async def test_a_socket_that_has_the_newest_state_from_its_handshake_does_not_get_it_again(store: Store) -> None:
    await store.create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, 2)
        hub.publish(text(2))
        late = Peer(hub)
        late.enter()
        await wait_until(everyone([*peers, late], 2), "everyone has the newest")
        assert [[state.head.version for state in peer.pushed] for peer in (*peers, late)] == [[2], [2], []]


async def test_every_room_whose_change_was_lost_is_healed_and_counted(store: Store, raw: Redis) -> None:
    """Rooms that have not changed come first, last and in between."""
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        await store.create(room(name, epoch="e"))
    async with running(store) as hub:
        peers = {name: Peer(hub) for name in names}
        for name, peer in peers.items():
            peer.enter(name)
        await wait_until(everyone([*peers.values()], 1), "everyone is in")
        for version, lost, healed in ((2, ["b", "d"], 2), (3, ["d"], 3)):
            for name in lost:
                await put(raw, store, room(name, epoch="e", version=version))
            await reread(store, hub)
            assert hub.tally.healed == healed
        newest = {"a": 1, "b": 2, "c": 1, "d": 3, "e": 1}
        await wait_until(lambda: {name: peer.version for name, peer in peers.items()} == newest, "all are healed")
