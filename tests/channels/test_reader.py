"""Rooms that are read: once for all who wait, to find lost changes, and never back to a replaced epoch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from room_server.channels.hub import Hub
from room_server.core.room import Room, Status, public_text
from room_server.errors import CloseCode
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.channels.test_hub import Peer, everyone, put, raw, reread, running, store, text, with_peer
from tests.outage import own_redis
from tests.proxy import Proxy, proxy_to
from tests.support import PATIENCE, eventually, renew, room, settings_for, transactions, wait_until

__all__ = ["raw", "store"]


async def reads(raw: Redis) -> int:
    """HGETs since the server began to count."""
    stats: dict[str, Any] = await raw.info("commandstats")
    return int(stats.get("cmdstat_hget", {"calls": 0})["calls"])


async def test_many_sockets_make_one_read(store: Store, raw: Redis) -> None:
    await transactions(store).create(room(version=3))
    before = await reads(raw)
    async with running(store) as hub:
        peers = [Peer(hub) for _ in range(500)]
        for peer in peers:
            peer.enter()
            if len(hub.groups["w"].waiting) % 100 == 0:
                await asyncio.sleep(0)  # the read is on its way, and more come
        await wait_until(everyone(peers, 3), "everyone is in")
        late = Peer(hub)
        late.enter()
        assert late.version == 3
    assert await reads(raw) - before == 1


async def test_rooms_that_are_requested_at_once_are_read_each_once(store: Store, raw: Redis) -> None:
    for number in range(5):
        await transactions(store).create(room(f"w{number}", version=number + 1))
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
        assert hub.groups == {}
        left, end = Peer(hub), Peer(hub)
        hub.leave(left.enter("nowhere"), left)
        end.enter("nowhere either")
        await wait_until(lambda: end.refused, "the end was refused")
        assert (left.refused, hub.groups) == ([], {})


async def test_a_room_that_cannot_be_read_refuses_the_waiting_sockets_and_is_read_for_the_next() -> None:
    async with own_redis() as redis, open_state(settings_for(redis.url)) as state, running(state.store) as hub:
        await transactions(state.store).create(room())
        redis.freeze()
        peer, next_one = Peer(hub), Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.refused, "the peer was refused", 2)
        assert (peer.refused, hub.groups) == (["state_unavailable"], {})
        redis.thaw()
        next_one.enter()
        await wait_until(lambda: next_one.version == 1, "the next one is in")


async def test_a_socket_that_leaves_before_the_room_is_known_is_forgotten(store: Store) -> None:
    await transactions(store).create(room())
    async with running(store) as hub:
        left, other = Peer(hub), Peer(hub)
        hub.leave(left.enter(), left)
        assert hub.groups == {}
        other.enter()
        await wait_until(lambda: other.version == 1, "the other one is in")
        assert left.version == 0


async def test_the_sockets_of_a_deleted_webinar_are_closed(store: Store) -> None:
    await transactions(store).create(room())
    async with running(store) as hub:
        peer, late = Peer(hub), Peer(hub)
        group = peer.enter()
        await wait_until(everyone([peer], 1), "it is in")
        await store.delete("w")

        await reread(store, hub)
        late.enter()

        assert (peer.closed, list(group.subscribers)) == ([CloseCode.WEBINAR_GONE], [peer])
        await wait_until(lambda: late.refused == ["webinar_unknown"], "new sockets are refused")
        hub.leave(group, peer)
        assert hub.groups == {}


async def test_a_lost_change_is_found_by_reading_again(store: Store, raw: Redis) -> None:
    async with with_peer(store) as (hub, peer):
        await put(raw, store, room("w", epoch="e", version=7))
        await reread(store, hub)
        await wait_until(lambda: peer.version == 7, "the peer has what is stored")
        await reread(store, hub)
    assert [state.head.version for state in peer.pushed] == [7]


BEHIND = [room("w", epoch="e", version=3), room("w", epoch="e", version=5, title="another", status=Status.LIVE)]


@pytest.mark.parametrize("stored", BEHIND, ids=["a lower version", "another room under the same version"])
async def test_a_redis_that_lost_its_last_changes_begins_a_new_epoch(store: Store, raw: Redis, stored: Room) -> None:
    async with with_peer(store) as (hub, _):
        await put(raw, store, stored)
        await reread(store, hub)
        renewed = (await store.load("w")).room
    assert renewed is not None
    assert (renewed.epoch != "e", renewed.version, renewed.title) == (True, stored.version + 1, stored.title)


async def test_a_room_that_was_deleted_meanwhile_stays_as_it_was(store: Store) -> None:
    async with with_peer(store) as (hub, peer):
        await store.delete("w")
        await reread(store, hub)
        assert peer.version == 5


async def test_a_stored_text_that_cannot_be_read_stops_nothing(store: Store, raw: Redis) -> None:
    async with with_peer(store) as (hub, peer):
        await raw.hset(store.keys.room("w"), "public", "rubbish")
        await reread(store, hub)
        hub.publish(text(6))
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
        rereading = asyncio.create_task(reread(state.store, hub))
        await wait_until(lambda: proxy.turns > before, "the read is on its way")
        hub.publish(text(7))
        await rereading
        await wait_until(lambda: peer.version == 7, "the peer has the publish")
        proxy.delay = 0.0
        assert (await state.store.load("w")).room == stored


@asynccontextmanager
async def behind_a_proxy(url: str) -> AsyncIterator[tuple[Proxy, Store, Hub, Peer]]:
    """A process that sees Redis through a proxy, with one peer in a room of version 5 under the epoch `e`."""
    async with (
        proxy_to(url) as proxy,
        open_state(settings_for(proxy.url)) as state,
        with_peer(state.store) as (hub, peer),
    ):
        yield proxy, state.store, hub, peer


async def test_a_reading_from_before_another_epoch_does_not_bring_the_old_one_back(
    valkey_url: str, store: Store, raw: Redis
) -> None:
    async with behind_a_proxy(valkey_url) as (proxy, behind, hub, peer):
        await put(raw, behind, room("w", epoch="e", version=6))
        done_before = await reads(raw)
        proxy.delay = 0.1
        rereading = asyncio.create_task(reread(behind, hub))

        async def is_read() -> bool:
            return await reads(raw) > done_before

        await eventually(is_read, "the old state is on its way here")
        renewed = await renew(store, "w")
        hub.publish(public_text(renewed))
        await rereading
        proxy.delay = 0.0
        await wait_until(lambda: peer.sent and peer.sent.head.epoch == renewed.epoch, "the peer has the new epoch")
        await reread(behind, hub)

    assert [state.head.epoch for state in peer.pushed] == [renewed.epoch]
    assert (await store.load("w")).room == renewed


async def test_a_first_reading_that_another_epoch_overtakes_changes_nothing(
    valkey_url: str, store: Store, raw: Redis
) -> None:
    await transactions(store).create(room("w", epoch="e"))
    async with proxy_to(valkey_url) as proxy, open_state(settings_for(proxy.url)) as state, running(state.store) as hub:
        peer, done_before = Peer(hub), await reads(raw)
        proxy.delay = 0.1
        peer.enter()

        async def is_read() -> bool:
            return await reads(raw) > done_before

        await eventually(is_read, "the old state is on its way here")
        renewed = await renew(store, "w")
        hub.publish(public_text(renewed))
        proxy.delay = 0.0
        late = Peer(hub)
        late.enter("nowhere")  # is read after it
        await wait_until(lambda: late.refused, "the readings are done")

        assert peer.sent is not None
        assert (peer.sent.head.epoch, peer.pushed) == (renewed.epoch, [])


async def test_a_message_of_an_epoch_that_is_over_changes_nothing(store: Store) -> None:
    async with with_peer(store) as (hub, peer):
        renewed = await renew(store, "w")
        hub.publish(public_text(renewed))
        hub.publish(text(9, "e"))
        hub.publish(public_text(replace(renewed, version=renewed.version + 1)))
        await wait_until(lambda: peer.version == renewed.version + 1, "the peer has what came last")

    assert {state.head.epoch for state in peer.pushed} == {renewed.epoch}


async def test_a_redis_that_lost_a_new_epoch_begins_another_one(store: Store, raw: Redis) -> None:
    async with with_peer(store) as (hub, peer):
        hub.publish(text(6, "f"))
        await wait_until(lambda: peer.version == 6, "the peer has the new epoch")
        hub.publish(text(6, "e"))  # from the server that was promoted without it

        async def renewed() -> Room | None:
            stored = (await store.load("w")).room
            return stored if stored and stored.epoch != "e" else None

        stored = await eventually(renewed, "the stored room is renewed")
        hub.publish(public_text(stored))
        await wait_until(lambda: peer.sent and peer.sent.head.epoch == stored.epoch, "the peer has that")

    assert [state.head.epoch for state in peer.pushed] == ["f", stored.epoch]
    assert stored.epoch not in {"e", "f"}


async def test_of_many_processes_the_first_one_makes_the_new_epoch(valkey_url: str, store: Store, raw: Redis) -> None:
    async with behind_a_proxy(valkey_url) as (proxy, behind, slow, late), running(store) as hub:
        peer = Peer(hub)
        peer.enter()
        await wait_until(lambda: peer.version == 5, "both processes have the room")
        await put(raw, store, room("w", epoch="e", version=3))
        held = proxy.hold(b"EVALSHA")
        rereading = asyncio.create_task(reread(behind, slow))
        await asyncio.wait_for(held.arrived.wait(), PATIENCE)  # it has read version 3, and is about to act on it
        await reread(store, hub)
        renewed = (await store.load("w")).room
        held.released.set()
        await rereading
        await reread(behind, slow)
        await wait_until(lambda: late.version == 4, "the slow one has what the first one made")

    assert renewed is not None
    assert (await store.load("w")).room == renewed
    assert (renewed.version, late.sent and late.sent.head.epoch) == (4, renewed.epoch)


async def test_a_room_that_is_deleted_before_its_new_epoch_stays_deleted(
    valkey_url: str, store: Store, raw: Redis
) -> None:
    async with behind_a_proxy(valkey_url) as (proxy, behind, hub, _):
        await put(raw, store, room("w", epoch="e", version=3))
        held = proxy.hold(b"EVALSHA")
        rereading = asyncio.create_task(reread(behind, hub))
        await asyncio.wait_for(held.arrived.wait(), PATIENCE)
        await store.delete("w")
        held.released.set()
        await rereading

    assert (await store.load("w")).room is None


async def test_a_room_that_cannot_be_decoded_refuses_the_waiting_sockets_and_no_other_room(
    store: Store, raw: Redis
) -> None:
    for name in ("w", "other"):
        await transactions(store).create(room(name))
    await raw.hset(store.keys.room("w"), "public", text(1, status=Status.LIVE).replace(b'"live"', b'"newer"'))
    async with running(store) as hub:
        refused, peer = Peer(hub), Peer(hub)
        refused.enter()
        peer.enter("other")
        await wait_until(lambda: refused.refused and peer.version, "one is refused, the other admitted")

        assert (refused.refused, set(hub.groups)) == (["state_unavailable"], {"other"})


async def test_every_room_whose_change_was_lost_is_healed_and_counted(store: Store, raw: Redis) -> None:
    """Rooms that have not changed come first, last and in between."""
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        await transactions(store).create(room(name, epoch="e"))
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
