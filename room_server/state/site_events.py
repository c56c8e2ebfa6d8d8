"""The receivers of the site's events: which events are next for each, how far it is, what it refused.

The event streams are the queue: each receiver has a consumer group in each partition, and nothing is copied. Each
receiver's `Progress` is compared before it is replaced, so a worker that lost its lease changes nothing. All functions
raise StateUnavailable when Redis does not answer.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from room_server.core.site_delivery import MOST, Progress, Receiver
from room_server.state.bulk_reads import answer
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

LEASE_MS = 10_000
"""How long a worker that died keeps others from sending to its receivers."""
COUNTED = 1000
"""Up to how many waiting events are counted one by one."""

_PROGRESS = msgspec.json.Decoder(Progress)


class StreamEntry(NamedTuple):
    """An entry of an event stream; `fields` is None when it was erased."""

    id: str
    fields: dict[bytes, bytes] | None


class Claim(NamedTuple):
    """What a worker with the lease may send now; `now` in Unix ms by the partition's clock."""

    now: int
    progress: Progress | None
    """None: the receiver is new, and gets what comes from now on."""
    raw: bytes = b""
    """The stored progress, which the next update compares."""
    lost: int = 0
    """Events that the stream's bound cut off before they could be sent."""
    entries: tuple[StreamEntry, ...] = ()


class Parked(Struct, frozen=True):
    """An event that a receiver refused for an hour: the answer, and when it was parked (Unix ms)."""

    answer: str
    at: int


class Settlement(NamedTuple):
    """What is stored after a request: the new progress, the events that are done with, and why they are parked."""

    progress: Progress
    done: Sequence[str] = ()
    parked: Parked | None = None


class PartitionStanding(Struct, frozen=True, kw_only=True):
    """How far a receiver is in one partition."""

    tag: str
    receiver: str
    """Its id."""
    now: int
    """Unix ms by the partition's clock."""
    progress: Progress
    raw: bytes
    """The stored progress, which an update compares."""
    place: str
    """Stream id of the last event that is done with."""
    lag: int
    """Events that wait."""
    oldest_s: float
    """Age of the oldest of them."""
    parked: int
    lost: int
    """Events that the stream's bound cut off before the receiver could get them."""
    erased: int
    """Events that were erased before the receiver took them."""


class SiteEvents:
    """The events of every partition for the receiver `receiver`, as the worker `worker` sees them."""

    def __init__(self, store: Store, receiver: Receiver, worker: str = "") -> None:
        self.store = store
        self.receiver = receiver
        self._worker = worker
        self._claim = Script.read("claim_events")
        self._settle = Script.read("settle_events")

    async def claim(self, tag: str, most: int = MOST, *, peek: bool = False) -> Claim | None:
        """The lease and the next events. None: another worker has the lease, or with `peek`, there is nothing new.

        With `peek` a lease that this worker has is not renewed. Events are handed out once replicas have them, where
        these are waited for: the site is never told of what a fail-over may undo.
        """
        reply = await self._run_claim(tag, LEASE_MS, most, peek)
        match reply:
            case [b"new", now]:
                return Claim(now, None)
            case [b"claimed", now, raw, lost, entries]:
                progress = self.store.records.read(_PROGRESS, raw, f"the progress of {self.receiver.label}")
                if entries and self.store.replicated is not self.store.pipeline:
                    async with deadline():
                        await self.store.call_replicated("EXISTS", self.store.keys.events(tag))
                return Claim(now, progress, raw, lost, tuple(_entry(*entry) for entry in entries))
        return None

    async def release(self, tag: str) -> None:
        """Give the lease back."""
        await self._run_claim(tag, 0, 0, False)

    async def settle(self, tag: str, raw: bytes, what: Settlement) -> bytes | None:
        """Store what followed; the stored progress. None, and nothing is done: it is no longer `raw`."""
        keys, new = self.store.keys, msgspec.json.encode(what.progress)
        why = msgspec.json.encode(what.parked) if what.parked else b""
        places = [keys.events(tag), keys.receiver(tag, self.receiver.id), keys.parked(tag, self.receiver.id)]
        async with deadline():
            arguments = [group_of(self.receiver.id), raw, new, why, *what.done]
            reply = await self.store.run_replicated(self._settle, places, arguments)
        return new if reply == 1 else None

    async def _run_claim(self, tag: str, lease: int, most: int, peek: bool) -> Any:
        keys, receiver = self.store.keys, self.receiver
        places = [keys.events(tag), keys.receiver(tag, receiver.id), keys.receivers(tag), keys.clock(tag)]
        arguments = [group_of(receiver.id), self._worker, lease, most, int(peek), receiver.id, receiver.url]
        async with deadline():
            return await self.store.run(self._claim, places, arguments)


def group_of(receiver: str) -> str:
    """The consumer group of a receiver, by its id."""
    return f"site:{receiver}"


async def standing_in(store: Store, tag: str) -> list[PartitionStanding]:
    """The standing of each receiver in a partition, also of those that no setting names any more."""
    async with deadline():
        names = [name.decode() for name in await store.call("HKEYS", store.keys.receivers(tag))]
    found = await asyncio.gather(*(_standing_of(store, tag, name) for name in sorted(names)))
    return [one for one in found if one is not None]


async def standings(store: Store) -> list[PartitionStanding]:
    """The same of all partitions that answer."""
    asked = (answer(store, tag, partial(standing_in, store, tag)) for tag in store.keys.tags)
    return [one for found in await asyncio.gather(*asked) for one in found or ()]


async def _standing_of(store: Store, tag: str, name: str) -> PartitionStanding | None:
    keys = store.keys
    places = [keys.events(tag), keys.receiver(tag, name), keys.parked(tag, name), keys.clock(tag)]
    async with deadline():
        reply = await store.run(Script.read("receiver_standing"), places, [group_of(name), COUNTED])
    now, raw, place, lost, erased, parked, lag, age = reply
    progress = store.records.readable(_PROGRESS, raw or b"", f"the progress of the receiver {name}") if raw else None
    if progress is None:
        return None
    return PartitionStanding(
        tag=tag,
        receiver=name,
        now=now,
        progress=progress,
        raw=raw,
        place=place.decode(),
        lag=lag,
        oldest_s=age / 1000,
        parked=parked,
        lost=lost,
        erased=erased + progress.gone,
    )


async def parked_events(store: Store, tag: str, receiver: str) -> list[tuple[StreamEntry, Parked]]:
    """What a receiver refused, in the stream's order; an entry that was erased meanwhile has no fields."""
    keys, decoder = store.keys, msgspec.json.Decoder(Parked)
    async with deadline():
        stored = dict(pairs(await store.call("HGETALL", keys.parked(tag, receiver))))
        ids = sorted(stored, key=lambda name: tuple(map(int, name.split(b"-"))))
        found = await store.call_all([("XRANGE", keys.events(tag), name, name) for name in ids])
    return [
        (_entry(name, entries[0][1] if entries else None), decoder.decode(stored[name]))
        for name, entries in zip(ids, found, strict=True)
    ]


def _entry(name: bytes, fields: Any) -> StreamEntry:
    return StreamEntry(name.decode(), dict(pairs(fields)) if fields else None)
