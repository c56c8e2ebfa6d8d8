"""The outbox: Telegram messages on their way, in every partition.

The record of a delivery (`keys.deliveries`) is the truth. Two streams, each with a consumer group, hand entries to
workers, one of them those of urgent messages; a sorted set holds when a waiting message goes back to its stream. All
of these only say which record to look at. Each update is one script that compares the record first, so an update whose
reply was lost may be repeated.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import RedisError, ResponseError

from room_server.core.delivery import Delivery
from room_server.core.messages import URGENT
from room_server.errors import StateUnavailable
from room_server.state.bulk_reads import hash_slices
from room_server.state.commits import field
from room_server.state.keys import hashed
from room_server.state.records import DELIVERY
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

GROUP = "senders"
ABANDONED_MS = 8_000
"""A pending entry that its consumer left alone for so long goes to another one: its worker has died."""
IDLE_CONSUMER_MS = 100 * ABANDONED_MS
"""A consumer without pending entries that did nothing for so long is removed from the group."""
DUE_BATCH = 200
"""Messages that one step puts back on the stream."""


class OutboxEntry(NamedTuple):
    """An entry of a partition's stream; `field` names the record in `keys.deliveries`, as `lead:name`."""

    stream: str
    id: str
    webinar_id: str
    field: str


class StoredDelivery(NamedTuple):
    """A delivery and the bytes of its record, which the next update compares."""

    delivery: Delivery
    raw: bytes

    @classmethod
    def of(cls, delivery: Delivery) -> "StoredDelivery":
        """`delivery` as an update stores it."""
        return cls(delivery, msgspec.json.encode(delivery))


class FollowOn(NamedTuple):
    """What an update does in the same step as it writes the record."""

    again_in: float | None = None
    """Seconds until the message goes back to the stream; None: it does not."""
    wakes: bool = False
    """Whether the message goes to the stream now."""
    entry: OutboxEntry | None = None
    """The entry to acknowledge and delete."""


class Outbox:
    """The outgoing messages of all partitions. Each method raises StateUnavailable when Redis does not answer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._update = Script.read("update_delivery")
        self._enqueue_due = Script.read("enqueue_due")
        self._claim_abandoned = Script.read("claim_abandoned")
        self._remove_consumers = Script.read("remove_consumers")
        self._lag = Script.read("delivery_lag")

    def streams(self, tag: str) -> tuple[str, str]:
        """The streams of a partition: that of urgent messages, and that of all others."""
        return self.store.keys.urgent(tag), self.store.keys.outbox(tag)

    async def open(self, tag: str) -> None:
        """Make a partition's consumer groups, if they are missing."""
        for stream in self.streams(tag):
            try:
                await self.store.pipeline.call("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
            except (RedisError, OSError) as error:
                if not (isinstance(error, ResponseError) and "BUSYGROUP" in str(error)):
                    raise StateUnavailable(f"the outbox cannot be opened: {error}") from error

    async def read_new(self, tag: str, owner: str, most: int) -> list[OutboxEntry]:
        """New entries for the consumer `owner`: at most so many of each stream, the urgent ones first."""
        streams = self.streams(tag)
        command = ("XREADGROUP", "GROUP", GROUP, owner, "COUNT", most, "STREAMS", *streams, ">", ">")
        async with deadline():
            reply = await self.store.call(*command)
        if isinstance(reply, dict):  # RESP3
            reply = [(stream, batches[0]) for stream, batches in reply.items()]
        rows = dict(reply or [])
        found: list[OutboxEntry] = []
        for stream in streams:
            found += await self._usable(stream, rows.get(stream.encode(), []))
        return found

    async def claim_abandoned(self, tag: str, owner: str, most: int) -> list[OutboxEntry]:
        """Entries of consumers that died, for the consumer `owner`: at most so many of each stream."""
        found: list[OutboxEntry] = []
        for stream in self.streams(tag):
            async with deadline():
                entries = await self.store.run(self._claim_abandoned, [stream], [GROUP, owner, ABANDONED_MS, most])
            found += await self._usable(stream, entries)
        return found

    async def remove_consumers(self, owner: str, idle_ms: int = IDLE_CONSUMER_MS) -> None:
        """Remove the consumer `owner`, and those idle for `idle_ms`, unless they have pending entries."""
        for stream in (stream for tag in self.store.keys.tags for stream in self.streams(tag)):
            async with deadline():
                await self.store.run(self._remove_consumers, [stream], [GROUP, owner, idle_ms])

    async def tidy(self, idle_ms: int = IDLE_CONSUMER_MS) -> None:
        """Remove idle consumers without pending entries; make consumer groups that are missing."""
        for tag in self.store.keys.tags:
            await self.open(tag)
        await self.remove_consumers("", idle_ms)

    async def enqueue_due(self, tag: str) -> int:
        """Put messages that are due on their streams; how many."""
        keys = self.store.keys
        async with deadline():
            touched = [keys.due(tag), keys.outbox(tag), keys.clock(tag), keys.urgent(tag)]
            return int(await self.store.run(self._enqueue_due, touched, [DUE_BATCH, *sorted(URGENT)]))

    async def lag(self, tag: str) -> float:
        """By how many seconds the first message of the partition is late; 0 when none is.

        It counts by the clock of `steady.lua`, so it is right after a clock was set back, too.
        """
        keys = self.store.keys
        async with deadline():
            places = [keys.outbox(tag), keys.due(tag), keys.clock(tag), keys.urgent(tag)]
            late = await self.store.run(self._lag, places, [])
        return max(float(late) / 1000, 0.0)

    async def load(self, webinar_id: str, name: str) -> StoredDelivery | None:
        """The delivery in the field `name`, as replicas have it; None when there is none. Raises UnreadableRecord."""
        raw = await self.load_raw(webinar_id, name)
        return StoredDelivery(self.store.records.read(DELIVERY, raw, _about(webinar_id)), raw) if raw else None

    async def load_raw(self, webinar_id: str, name: str) -> bytes | None:
        """The record's bytes, also when they cannot be decoded."""
        async with deadline():
            raw: bytes | None = await self.store.call_replicated("HGET", self.store.keys.deliveries(webinar_id), name)
        return raw

    async def update(
        self, webinar_id: str, stored: StoredDelivery, wanted: Delivery | None, then: FollowOn
    ) -> StoredDelivery | None:
        """Write `wanted` (None: the record stays as it is) and do what `then` says, if the record is still `stored`.

        The record as it is afterwards; None when another worker changed it first, and then nothing is done.
        """
        keys, tag = self.store.keys, self.store.keys.tag(webinar_id)
        new = StoredDelivery.of(wanted) if wanted is not None else None
        again = "" if then.again_in is None else round(then.again_in * 1000)
        entry = then.entry.id if then.entry else ""
        wakes = "1" if then.wakes else "0"
        own = keys.urgent(tag) if stored.delivery.name in URGENT else keys.outbox(tag)
        places = [keys.deliveries(webinar_id), own, keys.due(tag), keys.fates(tag), keys.clock(tag)]
        async with deadline():
            reply = await self.store.run_replicated(
                self._update,
                [*places, then.entry.stream if then.entry else own],
                [field(stored.delivery), stored.raw, new.raw if new else b"", entry, GROUP, again, wakes, webinar_id],
            )
        if reply != 1:
            return None
        return new or stored

    async def acknowledge(self, entry: OutboxEntry) -> None:
        """Take an entry off the stream; the record stays."""
        async with deadline():
            await self.store.call(
                "XDEL", entry.stream, entry.id
            )  # first: XAUTOCLAIM drops pending ids that are deleted
            await self.store.call("XACK", entry.stream, GROUP, entry.id)

    async def discard(self, entry: OutboxEntry, why: str) -> None:
        """Log and acknowledge an entry that leads to no message, so that it stops no other."""
        await self.acknowledge(entry)
        logger.error("an entry of the outbox (webinar %.64s) is discarded: %s", entry.webinar_id or "?", why)

    async def deliveries(self, webinar_id: str) -> AsyncIterator[StoredDelivery]:
        """All deliveries of a webinar, in no order; one may come twice. Unreadable ones are logged and left out."""
        async for found in hash_slices(self.store, self.store.keys.deliveries(webinar_id)):
            for raw in found.values():
                delivery = self.store.records.readable(DELIVERY, raw, _about(webinar_id))
                if delivery is not None:
                    yield StoredDelivery(delivery, raw)

    async def _usable(self, stream: str, entries: list[Any]) -> list[OutboxEntry]:
        """The entries that name a webinar of the stream's partition and a message; others are discarded."""
        usable, tag = [], hashed(stream)
        for number, fields in entries:
            values = {_text(name): _text(value) for name, value in pairs(fields or [])}
            entry = OutboxEntry(stream, _text(number), values.get("webinar", ""), values.get("field", ""))
            if not entry.webinar_id or not entry.field:
                await self.discard(entry, "it names no webinar or no message")
            elif self.store.keys.tag(entry.webinar_id) != tag:
                await self.discard(entry, "its webinar belongs to another partition")
            else:
                usable.append(entry)
        return usable


def _about(webinar_id: str) -> str:
    return f"a message of {webinar_id}"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
