"""The sockets of a process by room: one frame per change, the newest state for everyone."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from room_server.channels.frames import RoomState, counts
from room_server.channels.hub import SLICE, Hub
from room_server.channels.reader import Reader
from room_server.channels.subscribers import SubscriberGroup, counts_group
from room_server.core.messages import Actor, Role
from room_server.core.room import Room, Status, public_text
from room_server.errors import CloseCode, Refusal
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.support import PATIENCE, room, settings_for, transactions, wait_until

MANY = 2 * SLICE + 3
"""Sockets that are written to in three slices."""


class Peer:
    """A socket without a network: it keeps what the hub did with it."""

    def __init__(self, hub: Hub, role: Role = Role.ATTENDEE) -> None:
        self.actor = Actor(role=role, subject="1")
        self.descriptor, self.heard_at = -1, 0.0
        self.sent: RoomState | None = None
        self.requested: RoomState | None = None
        self.pushed: list[RoomState] = []
        self.when_pushed: Callable[[], object] = lambda: None
        self.refused: list[str] = []
        self.closed: list[CloseCode] = []
        self._hub = hub

    def enter(self, webinar_id: str = "w") -> SubscriberGroup:
        """Join as a socket does: wait, unless the room's state is known."""
        group = self._hub.group(webinar_id)
        if group.state is None:
            group.waiting.add(self)
        else:
            self.admit(group)
        return group

    def push(self, state: RoomState) -> None:
        self.sent = state
        self.pushed.append(state)
        self.when_pushed()

    def write_rest(self, data: bytes, written: int) -> None:
        raise AssertionError("nothing is written to this peer's descriptor")

    def abort(self) -> None:
        raise AssertionError("nothing is written to this peer's descriptor")

    def admit(self, group: SubscriberGroup) -> None:
        self._hub.join(group, self)
        self.sent = group.state

    def close(self, code: CloseCode) -> None:
        self.closed.append(code)

    def refuse(self, refusal: Refusal) -> None:
        self.refused.append(refusal.code)

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        raise AssertionError("no drain is running")

    @property
    def version(self) -> int:
        """Of the state that this peer has; 0: none."""
        return self.sent.head.version if self.sent else 0


def text(version: int, epoch: str = "e", webinar_id: str = "w", **more: Any) -> bytes:
    return public_text(room(webinar_id, epoch=epoch, version=version, **more))


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Hub]:
    """A hub whose reader and broadcast loop run."""
    hub = Hub(store)
    async with asyncio.TaskGroup() as tasks:
        owned = [
            tasks.create_task(Reader(store, hub, transactions(store).renew).run()),
            tasks.create_task(hub.broadcast_loop()),
        ]
        yield hub
        for task in owned:
            task.cancel()


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Store]:
    """A store; its Redis holds no room yet."""
    async with open_state(settings_for(valkey_url)) as state:
        yield state.store


@pytest.fixture
async def raw(valkey_url: str) -> AsyncIterator[Redis]:
    """A client beside the store."""
    async with Redis.from_url(valkey_url) as client:
        yield client


def everyone(peers: list[Peer], version: int) -> Callable[[], bool]:
    return lambda: {peer.version for peer in peers} == {version}


async def peers_in_room(hub: Hub, number: int) -> list[Peer]:
    """So many peers in the room `w`, whose version is 1."""
    peers = [Peer(hub) for _ in range(number)]
    for peer in peers:
        peer.enter()
    await wait_until(everyone(peers, 1), "everyone is in")
    return peers


async def reread(store: Store, hub: Hub) -> None:
    """Read all rooms that have sockets here, as after a gap."""
    reader = Reader(store, hub, transactions(store).renew)
    for tag in store.keys.tags:
        await reader.reread(tag)


async def test_every_socket_of_a_room_gets_a_change_once(store: Store) -> None:
    await transactions(store).create(room("w", epoch="e"))
    await transactions(store).create(room("other", epoch="e"))
    async with running(store) as hub:
        peers, elsewhere = [Peer(hub) for _ in range(2 * SLICE + 1)], Peer(hub)
        for peer in peers:
            peer.enter()
        elsewhere.enter("other")
        await wait_until(everyone([*peers, elsewhere], 1), "everyone is in")
        hub.publish(text(2))
        hub.publish(text(2))
        await wait_until(everyone(peers, 2), "everyone has the change")
        assert {tuple(state.head.version for state in peer.pushed) for peer in peers} == {(2,)}
        assert len({id(peer.sent) for peer in peers}) == 1
        assert elsewhere.pushed == []


async def test_a_change_during_a_broadcast_is_the_one_that_is_written(store: Store) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, 3 * SLICE)
        for version in range(2, 30):
            hub.publish(text(version))
            await asyncio.sleep(0)
        await wait_until(everyone(peers, 29), "everyone has the newest state")
    for peer in peers:
        versions = [state.head.version for state in peer.pushed]
        assert versions == sorted(set(versions))


@pytest.fixture
def nowhere() -> Iterator[int]:
    """A descriptor that takes whatever is written."""
    with Path(os.devnull).open("wb") as file:
        yield file.fileno()


async def test_a_change_asks_for_the_receipts_of_those_who_owe_none(store: Store, nowhere: int) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        free, owes = peers = await peers_in_room(hub, 2)
        former = owes.requested = owes.sent
        for peer in peers:
            peer.descriptor = nowhere
        hub.publish(text(2))
        await wait_until(everyone(peers, 2), "both have the change")

        assert (free.requested, owes.requested) == (free.sent, former)
        assert (free.pushed, owes.pushed) == ([], [])


async def test_a_change_in_the_midst_of_a_broadcast_loses_no_rooms_receipts(store: Store, nowhere: int) -> None:
    """Neither a change of another room nor one of its own."""
    await transactions(store).create(room("w", epoch="e"))
    await transactions(store).create(room("other", epoch="e"))
    async with running(store) as hub:
        peers, elsewhere = await peers_in_room(hub, MANY), Peer(hub)
        elsewhere.enter("other")
        await wait_until(everyone([*peers, elsewhere], 1), "everyone is in")
        for peer in (*peers, elsewhere):
            peer.descriptor = nowhere
        hub.publish(text(2))
        async with asyncio.timeout(PATIENCE):
            while {peer.version for peer in peers} != {1, 2}:
                await asyncio.sleep(0)  # a slice takes a few turns of the loop
        hub.publish(text(2, webinar_id="other"))
        hub.publish(text(3))
        await wait_until(everyone(peers, 3), "everyone has the newest")
        await wait_until(everyone([elsewhere], 2), "the other room has its own")

        asked = Counter(peer.requested.head.version for peer in (*peers, elsewhere) if peer.requested)
        assert sum(asked.values()) == MANY + 1
        assert (asked[2] > SLICE, asked[3] > 0) == (True, True)


async def test_what_peers_send_is_read_when_the_last_of_a_room_is_written_to(store: Store) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, MANY)
        held: list[bool] = []
        for peer in peers:
            peer.when_pushed = lambda: held.append(hub.poller.is_held)
        hub.publish(text(2))
        await wait_until(everyone(peers, 2), "everyone has the change")

        assert held == [False] * SLICE + [True] * (MANY - SLICE)
        hub.publish(text(3))
        async with asyncio.timeout(PATIENCE):
            while not hub.poller.is_held:
                await asyncio.sleep(0)
    assert not hub.poller.is_held  # the broadcast was ended in the middle


async def test_an_older_state_is_dropped_and_another_epoch_is_not(store: Store) -> None:
    await transactions(store).create(room("w", epoch="e", version=5))
    async with running(store) as hub:
        peer, held = Peer(hub), []
        group = peer.enter()
        await wait_until(lambda: peer.version == 5, "the peer is in")
        for published in (text(4), text(5), text(5, title="another"), text(1, "f"), text(9, "f"), text(8, "f")):
            hub.publish(published)
            assert group.state is not None
            held.append((group.state.head.epoch, group.state.head.version))
            await asyncio.sleep(0)
        await wait_until(lambda: peer.sent is group.state, "the newest is written")
    assert held == [("e", 5), ("e", 5), ("e", 5), ("f", 1), ("f", 9), ("f", 9)]
    assert peer.version == 9


async def test_a_text_that_cannot_be_read_changes_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        peer = Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.version == 1, "the peer is in")
        for rubbish in (b"", b"rubbish", b"{}", b"\xff\xfe", b'{"webinar_id":"w","epoch":"e","version":"9"}'):
            hub.publish(rubbish)
        hub.publish(text(2))
        await wait_until(lambda: peer.version == 2, "the next text is written")
    complaints = [record.levelno for record in caplog.records if record.levelno > logging.INFO]
    assert complaints == [logging.ERROR]  # once a minute


async def test_a_socket_that_left_is_forgotten(store: Store) -> None:
    await transactions(store).create(room())
    async with running(store) as hub:
        peers = [Peer(hub, role) for role in (Role.ATTENDEE, Role.ATTENDEE, Role.SPEAKER)]
        groups = [peer.enter() for peer in peers]
        await wait_until(everyone(peers, 1), "everyone is in")
        assert (hub.counts()["total"], hub.counts()["rooms"]) == (3, {"w": {"attendee": 2, "speaker": 1}})
        for group, peer in zip(groups, peers, strict=True):
            hub.leave(group, peer)
            hub.leave(group, peer)
        assert hub.groups == {}
        assert (hub.counts()["total"], hub.counts()["rooms"]) == (0, {})


async def test_a_room_that_is_a_draft_again_is_closed_for_attendees_and_shown_to_the_staff(store: Store) -> None:
    await transactions(store).create(room())
    async with running(store) as hub:
        attendee, speaker = Peer(hub), Peer(hub, Role.SPEAKER)
        for peer in (attendee, speaker):
            peer.enter()
        await wait_until(everyone([attendee, speaker], 1), "both are in")

        hub.publish(text(1, "another", status=Status.DRAFT))

        await wait_until(lambda: speaker.sent and speaker.sent.head.status is Status.DRAFT, "the speaker has the draft")
        assert (attendee.closed, speaker.closed) == ([CloseCode.WEBINAR_GONE], [])


def fields(stored: Room) -> Mapping[Any, Any]:
    """The hash that Redis holds for a room."""
    return {
        "stamp": f"{stored.epoch}:{stored.version}",
        "record": msgspec.json.encode(stored),
        "public": public_text(stored),
    }


async def put(raw: Redis, store: Store, stored: Room) -> None:
    """Store a room without the store, as if its publish had been lost."""
    await raw.hset(store.keys.room(stored.webinar_id), mapping=fields(stored))


@asynccontextmanager
async def with_peer(store: Store, **more: Any) -> AsyncIterator[tuple[Hub, Peer]]:
    """A hub with one peer in a room of version 5."""
    await transactions(store).create(room("w", epoch="e", version=5, **more))
    async with running(store) as hub:
        peer = Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.version == 5, "the peer is in")
        yield hub, peer


@pytest.fixture
def info_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, from `info` on."""
    with caplog.at_level(logging.INFO):
        yield caplog


async def test_a_socket_is_counted_until_it_leaves(store: Store) -> None:
    await transactions(store).create(room())
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
        await transactions(store).create(room(name))
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
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, MANY)
        group = hub.groups["w"]
        for version in (2, 3):
            hub.publish(text(version))
            await wait_until(everyone(peers, version), "everyone has this one too")
            await wait_until(lambda: hub.tally.frames == MANY * (version - 1), "all frames are counted")  # noqa: B023
            assert group.state is not None
            now = asyncio.get_running_loop().time()
            group.count_receipt(group.state, now)
            group.count_receipt(group.state, now + 5)
            reach = hub.counts()["reach"]["w"]
            assert (reach.epoch, reach.version, reach.of, sum(reach.buckets)) == ("e", version, MANY, 2)
        assert (sum(hub.tally.answers([])), sum(hub.tally.answers([group.receipts]))) == (2, 4)
        for peer in peers:
            hub.leave(group, peer)
        assert sum(hub.tally.answers([])) == 4
    lines = [vars(record)["facts"] for record in info_log.records if record.getMessage() == "room told"]
    assert [(line["webinar"], line["version"], line["sockets"]) for line in lines] == [
        ("w", 2, MANY),
        ("w", 3, MANY),
    ]


async def test_a_monitor_gets_the_counts_and_is_asked_for_no_receipt(store: Store, nowhere: int) -> None:
    async with running(store) as hub:
        monitor = Peer(hub)
        monitor.descriptor = nowhere
        monitor.enter(counts_group("*"))
        for number in (1, 2):
            hub.deliver(counts_group("*"), counts("*", number, b"{}"))
            for group in hub.groups.values():
                hub.join(group, monitor)
        await wait_until(lambda: monitor.version == 2, "the monitor has them")
        await wait_until(lambda: hub.tally.frames == 1, "it is counted")
        assert (hub.scopes(), hub.rooms(), hub.counts()["reach"], monitor.requested) == (["*"], {}, {}, None)


async def test_a_socket_that_has_the_newest_state_from_its_handshake_does_not_get_it_again(store: Store) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = await peers_in_room(hub, 2)
        hub.publish(text(2))
        late = Peer(hub)
        late.enter()
        await wait_until(everyone([*peers, late], 2), "everyone has the newest")
        assert [[state.head.version for state in peer.pushed] for peer in (*peers, late)] == [[2], [2], []]
