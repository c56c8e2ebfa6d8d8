"""The sockets of a process by room: one read for a crowd, one frame per change, the newest state for everyone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from room_server.channels.crowd import Crowd
from room_server.channels.frames import RoomState, room_state, went_back
from room_server.channels.hub import SLICE, Hub
from room_server.core.messages import Actor, Role
from room_server.core.room import Room, Status, public_text
from room_server.errors import CloseCode, Refusal
from room_server.state.opening import open_state
from room_server.state.store import Store
from tests.conftest import settings_for
from tests.outage import own_redis
from tests.proxy import proxy_to
from tests.support import room, wait_until


class Peer:
    """A socket without a network: it remembers what the hub did with it."""

    def __init__(self, hub: Hub, role: Role = Role.ATTENDEE) -> None:
        self.actor = Actor(role=role, subject="1")
        self.has: RoomState | None = None
        self.pushed: list[RoomState] = []
        self.refused: list[str] = []
        self.closed: list[CloseCode] = []
        self._hub = hub

    def enter(self, webinar_id: str = "w") -> Crowd:
        """As a socket does: wait in the crowd, unless the room is known."""
        crowd = self._hub.crowd(webinar_id)
        if crowd.state is None:
            crowd.waiting.add(self)
        else:
            self.admit(crowd)
        return crowd

    def push(self, state: RoomState) -> None:
        self.has = state
        self.pushed.append(state)

    def ask(self) -> None:
        """A peer of these tests sends no receipts."""

    def admit(self, crowd: Crowd) -> None:
        self._hub.join(crowd, self)
        self.has = crowd.state

    def close(self, code: CloseCode) -> None:
        self.closed.append(code)

    def refuse(self, refusal: Refusal) -> None:
        self.refused.append(refusal.code)

    def farewell(self, seconds: float, closed_after: float) -> None:
        raise AssertionError("nobody said goodbye")

    @property
    def version(self) -> int:
        """Of the state that this peer has; 0: none."""
        return self.has.head.version if self.has else 0


def text(version: int, epoch: str = "e", webinar_id: str = "w", **more: Any) -> bytes:
    return public_text(room(webinar_id, epoch=epoch, version=version, **more))


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Hub]:
    """A hub whose loader and teller run."""
    hub = Hub(store)
    async with asyncio.TaskGroup() as tasks:
        owned = [tasks.create_task(hub.loader()), tasks.create_task(hub.teller())]
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


async def reads(raw: Redis) -> int:
    """HGETs since the server began to count."""
    stats: dict[str, Any] = await raw.info("commandstats")
    return int(stats.get("cmdstat_hget", {"calls": 0})["calls"])


def everyone(peers: list[Peer], version: int) -> Callable[[], bool]:
    return lambda: {peer.version for peer in peers} == {version}


async def test_a_crowd_makes_one_read(store: Store, raw: Redis) -> None:
    await store.create(room(version=3))
    before = await reads(raw)
    async with running(store) as hub:
        peers = [Peer(hub) for _ in range(500)]
        for peer in peers:
            peer.enter()
            if len(hub.crowds["w"].waiting) % 100 == 0:
                await asyncio.sleep(0)  # the read is on its way, and more come
        await wait_until(everyone(peers, 3), "everyone is in")
        late = Peer(hub)
        late.enter()
        assert late.version == 3
    assert await reads(raw) - before == 1


async def test_rooms_that_are_asked_for_at_once_are_read_each_once(store: Store, raw: Redis) -> None:
    for number in range(5):
        await store.create(room(f"w{number}", version=number + 1))
    before = await reads(raw)
    async with running(store) as hub:
        peers = [Peer(hub) for _ in range(50)]
        for number, peer in enumerate(peers):
            peer.enter(f"w{number % 5}")
        await wait_until(lambda: all(peer.version for peer in peers), "everyone is in")
        assert [peer.version for peer in peers] == [1, 2, 3, 4, 5] * 10
    assert await reads(raw) - before == 5


async def test_a_webinar_that_is_not_there_is_unknown_to_all_who_wait(store: Store) -> None:
    async with running(store) as hub:
        peers = [Peer(hub) for _ in range(3)]
        for peer in peers:
            peer.enter("nowhere")
        await wait_until(lambda: all(peer.refused for peer in peers), "everyone was refused")
        assert [peer.refused for peer in peers] == [["webinar_unknown"]] * 3
        assert hub.crowds == {}
        gone, end = Peer(hub), Peer(hub)
        hub.leave(gone.enter("nowhere"), gone)
        end.enter("nowhere either")
        await wait_until(lambda: end.refused, "the end was refused")
        assert (gone.refused, hub.crowds) == ([], {})


async def test_a_room_that_cannot_be_read_refuses_who_waits_and_is_read_for_the_next() -> None:
    async with own_redis() as redis, open_state(settings_for(redis.url)) as state, running(state.store) as hub:
        await state.store.create(room())
        redis.freeze()
        peer, next_one = Peer(hub), Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.refused, "the peer was refused")
        assert (peer.refused, hub.crowds) == (["state_unavailable"], {})
        redis.thaw()
        next_one.enter()
        await wait_until(lambda: next_one.version == 1, "the next one is in")


async def test_who_leaves_before_the_room_is_known_is_forgotten(store: Store) -> None:
    await store.create(room())
    async with running(store) as hub:
        gone, other = Peer(hub), Peer(hub)
        hub.leave(gone.enter(), gone)
        assert hub.crowds == {}
        other.enter()
        await wait_until(lambda: other.version == 1, "the other one is in")
        assert gone.version == 0


async def test_everyone_in_the_room_is_told_of_a_change_once(store: Store) -> None:
    await store.create(room("w", epoch="e"))
    await store.create(room("other", epoch="e"))
    async with running(store) as hub:
        peers, elsewhere = [Peer(hub) for _ in range(2 * SLICE + 1)], Peer(hub)
        for peer in peers:
            peer.enter()
        elsewhere.enter("other")
        await wait_until(everyone([*peers, elsewhere], 1), "everyone is in")
        hub.tell(text(2))
        hub.tell(text(2))
        await wait_until(everyone(peers, 2), "everyone was told")
        assert {tuple(state.head.version for state in peer.pushed) for peer in peers} == {(2,)}
        assert len({id(peer.has) for peer in peers}) == 1
        assert elsewhere.pushed == []


async def test_a_change_during_a_broadcast_is_the_one_that_is_written(store: Store) -> None:
    await store.create(room("w", epoch="e"))
    async with running(store) as hub:
        peers = [Peer(hub) for _ in range(3 * SLICE)]
        for peer in peers:
            peer.enter()
        await wait_until(everyone(peers, 1), "everyone is in")
        for version in range(2, 30):
            hub.tell(text(version))
            await asyncio.sleep(0)
        await wait_until(everyone(peers, 29), "everyone has the newest state")
    for peer in peers:
        versions = [state.head.version for state in peer.pushed]
        assert versions == sorted(set(versions))


async def test_an_older_state_is_not_told_and_another_epoch_always(store: Store) -> None:
    await store.create(room("w", epoch="e", version=5))
    async with running(store) as hub:
        peer, held = Peer(hub), []
        crowd = peer.enter()
        await wait_until(lambda: peer.version == 5, "the peer is in")
        for told in (text(4), text(5), text(5, title="another"), text(1, "f"), text(9, "f"), text(8, "f")):
            hub.tell(told)
            assert crowd.state is not None
            held.append((crowd.state.head.epoch, crowd.state.head.version))
            await asyncio.sleep(0)
        await wait_until(lambda: peer.has is crowd.state, "the newest was told")
    assert held == [("e", 5), ("e", 5), ("e", 5), ("f", 1), ("f", 9), ("f", 9)]
    assert peer.version == 9


async def test_a_text_that_cannot_be_read_changes_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await store.create(room("w", epoch="e"))
    async with running(store) as hub:
        peer = Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.version == 1, "the peer is in")
        for rubbish in (b"", b"rubbish", b"{}", b"\xff\xfe", b'{"webinar_id":"w","epoch":"e","version":"9"}'):
            hub.tell(rubbish)
        hub.tell(text(2))
        await wait_until(lambda: peer.version == 2, "the next text was told")
    complaints = [record.levelno for record in caplog.records if record.levelno > logging.INFO]
    assert complaints == [logging.ERROR] * 5


async def test_nobody_who_left_is_remembered(store: Store) -> None:
    await store.create(room())
    async with running(store) as hub:
        peers = [Peer(hub, role) for role in (Role.ATTENDEE, Role.ATTENDEE, Role.SPEAKER)]
        crowds = [peer.enter() for peer in peers]
        await wait_until(everyone(peers, 1), "everyone is in")
        assert (hub.counted()["total"], hub.counted()["rooms"]) == (3, {"w": {"attendee": 2, "speaker": 1}})
        for crowd, peer in zip(crowds, peers, strict=True):
            hub.leave(crowd, peer)
            hub.leave(crowd, peer)
        assert hub.crowds == {}
        assert (hub.counted()["total"], hub.counted()["rooms"]) == (0, {})


async def test_whoever_watches_a_webinar_that_is_deleted_is_told_so(store: Store) -> None:
    await store.create(room())
    async with running(store) as hub:
        peer, late = Peer(hub), Peer(hub)
        crowd = peer.enter()
        await wait_until(everyone([peer], 1), "it is in")
        await store.delete("w")

        await hub.reread()
        late.enter()

        assert (peer.closed, list(crowd.members)) == ([CloseCode.WEBINAR_GONE], [peer])
        await wait_until(lambda: late.refused == ["webinar_unknown"], "nobody is let in any more")
        hub.leave(crowd, peer)
        assert hub.crowds == {}


def fields(stored: Room) -> Mapping[Any, Any]:
    """What stands in Redis for a room."""
    return {
        "stamp": f"{stored.epoch}:{stored.version}",
        "record": msgspec.json.encode(stored),
        "public": public_text(stored),
    }


async def put(raw: Redis, store: Store, stored: Room) -> None:
    """Store a room past the store, as if its publish had been lost."""
    await raw.hset(store.keys.room(stored.webinar_id), mapping=fields(stored))


@asynccontextmanager
async def with_peer(store: Store, **more: Any) -> AsyncIterator[tuple[Hub, Peer]]:
    """A hub with one peer in a room of version 5."""
    await store.create(room("w", epoch="e", version=5, **more))
    async with running(store) as hub:
        peer = Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.version == 5, "the peer is in")
        yield hub, peer


async def test_a_lost_change_is_found_by_reading_again(store: Store, raw: Redis) -> None:
    async with with_peer(store) as (hub, peer):
        await put(raw, store, room("w", epoch="e", version=7))
        await hub.reread()
        await wait_until(lambda: peer.version == 7, "the peer has what is stored")
        await hub.reread()
    assert [state.head.version for state in peer.pushed] == [7]


BEHIND = [room("w", epoch="e", version=3), room("w", epoch="e", version=5, title="another", status=Status.LIVE)]


@pytest.mark.parametrize("stored", BEHIND, ids=["a lower version", "another room under the same version"])
async def test_a_redis_that_lost_its_last_changes_begins_a_new_epoch(store: Store, raw: Redis, stored: Room) -> None:
    async with with_peer(store) as (hub, _):
        await put(raw, store, stored)
        await hub.reread()
        renewed = (await store.load("w")).room
    assert renewed is not None
    assert (renewed.epoch != "e", renewed.version, renewed.title) == (True, stored.version + 1, stored.title)


async def test_a_room_that_was_deleted_meanwhile_stays_as_it_was(store: Store) -> None:
    async with with_peer(store) as (hub, peer):
        await store.delete("w")
        await hub.reread()
        assert peer.version == 5
        await hub._renew("w")


async def test_a_stored_text_that_cannot_be_read_stops_nothing(store: Store, raw: Redis) -> None:
    async with with_peer(store) as (hub, peer):
        await raw.hset(store.keys.room("w"), "public", "rubbish")
        await hub.reread()
        hub.tell(text(6))
        await wait_until(lambda: peer.version == 6, "the peer goes on")


async def test_a_read_that_a_publish_overtakes_is_not_a_loss(valkey_url: str, raw: Redis) -> None:
    """What is held now may be newer than what was read; what was held before the read may not."""
    async with (
        proxy_to(valkey_url) as proxy,
        open_state(settings_for(proxy.url)) as state,
        with_peer(state.store) as (hub, peer),
    ):
        stored = room("w", epoch="e", version=6)
        await put(raw, state.store, stored)
        proxy.delay, before = 0.2, proxy.turns
        rereading = asyncio.create_task(hub.reread())
        await wait_until(lambda: proxy.turns > before, "the read is on its way")
        hub.tell(text(7))
        await rereading
        await wait_until(lambda: peer.version == 7, "the peer has the publish")
        proxy.delay = 0.0
        assert (await state.store.load("w")).room == stored


def test_a_text_that_cannot_be_read_has_not_gone_back() -> None:
    held = room_state(text(5))
    judged = [went_back(held, read) for read in (b"rubbish", text(6), text(4), text(5), text(1, "f"))]
    assert judged == [False, False, True, True, False]
