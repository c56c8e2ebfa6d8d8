"""What the operator does about a receiver of events, in one partition: retry, skip, remove; and what an erasure does.

Each act may be repeated. All functions raise StateUnavailable.
"""

from collections.abc import Sequence

import msgspec

from room_server.core.site_delivery import restarted
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.site_events import PartitionStanding, group_of
from room_server.state.store import Store


async def retry(store: Store, standing: PartitionStanding) -> int | None:
    """Switch the receiver on, wait no longer, hand out again what is parked: how many events that is.

    None, and nothing is done: its progress has changed since `standing` was read.
    """
    async with deadline():
        arguments = [group_of(standing.receiver), standing.raw, msgspec.json.encode(restarted(standing.progress))]
        is_done, again = await store.run_replicated(Script.read("retry_events"), _places(store, standing), arguments)
    return int(again) if is_done else None


async def drop_parked(store: Store, standing: PartitionStanding, ids: Sequence[str]) -> int:
    """Forget that these events (stream ids) are parked: they are never sent; how many were."""
    if not ids:
        return 0
    async with deadline():
        return int(await store.call_replicated("HDEL", store.keys.parked(standing.tag, standing.receiver), *ids))


async def skip_waiting(store: Store, standing: PartitionStanding) -> int:
    """Leave out all events that wait; how many they are."""
    async with deadline():
        arguments = [group_of(standing.receiver)]
        return int(await store.run_replicated(Script.read("skip_events"), _places(store, standing), arguments))


async def is_in_use(store: Store, standing: PartitionStanding) -> bool:
    """Whether a worker that runs has the receiver in its settings: then it has, or some seconds ago had, the lease."""
    async with deadline():
        lease = await store.call("HGET", store.keys.receiver(standing.tag, standing.receiver), "lease")
    return lease is not None and int(lease.partition(b" ")[0]) > standing.now


async def remove(store: Store, standing: PartitionStanding) -> None:
    """Forget the receiver: its place, what is parked, its numbers. If it comes back, it is a new one."""
    keys, tag, name = store.keys, standing.tag, standing.receiver
    async with deadline():
        if await store.call("EXISTS", keys.events(tag)):
            await store.call("XGROUP", "DESTROY", keys.events(tag), group_of(name))
        await store.call("UNLINK", keys.parked(tag, name))
        await store.call("UNLINK", keys.receiver(tag, name))
        await store.call_replicated("HDEL", keys.receivers(tag), name)  # last: until then it is found again


async def erase(store: Store, tag: str, ids: Sequence[bytes]) -> int:
    """Erase events (stream ids) before any receiver gets them, also where they are parked; how many there were."""
    keys = store.keys
    async with deadline():
        names = [name.decode() for name in await store.call("HKEYS", keys.receivers(tag))]
        places = [place for name in names for place in (keys.receiver(tag, name), keys.parked(tag, name))]
        arguments = [len(names), *map(group_of, names), *ids]
        return int(await store.run(Script.read("erase_events"), [keys.events(tag), *places], arguments))


def _places(store: Store, standing: PartitionStanding) -> list[str]:
    keys, tag, name = store.keys, standing.tag, standing.receiver
    return [keys.events(tag), keys.receiver(tag, name), keys.parked(tag, name)]
