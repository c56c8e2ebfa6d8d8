"""The messages on their way: the stream that wakes the senders, the due set, and each delivery's own record.

The record is the truth; stream and due set only wake. Every step is one script that compares the record first, so a
step whose reply was lost may be asked for again.
"""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import RedisError, ResponseError

from room_server.core.delivery import Delivery
from room_server.errors import StateUnavailable
from room_server.state.bulk_reads import hash_slices
from room_server.state.commits import field
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

logger = logging.getLogger(__name__)

GROUP = "senders"
TAKEN_OVER_MS = 8_000
"""An entry that its reader left alone so long is another's: the reader is dead."""
FORGOTTEN_MS = 100 * TAKEN_OVER_MS
"""A reader with nothing in hand that was not heard of for so long is forgotten."""
PROMOTED = 200
"""Messages that come due in one step."""
POISON_KEPT = 1000
"""Unreadable entries that are kept to look at."""

_DELIVERY = msgspec.json.Decoder(Delivery)


class OutboxEntry(NamedTuple):
    """One line of the stream."""

    tag: str
    id: str
    webinar_id: str
    field: str


class Poison(NamedTuple):
    """An entry that was parked, since when and why."""

    at: datetime
    webinar_id: str
    field: str
    error: str


class StoredDelivery(NamedTuple):
    """A delivery and its bytes as they stand: what the next step compares."""

    delivery: Delivery
    raw: bytes

    @classmethod
    def of(cls, delivery: Delivery) -> "StoredDelivery":
        """As `delivery` stands once it is stored."""
        return cls(delivery, msgspec.json.encode(delivery))


class FollowOn(NamedTuple):
    """What a step writes besides the record."""

    again_in: float | None = None
    """Seconds until it is due again."""
    wakes: bool = False
    entry: OutboxEntry | None = None
    """To take off the stream."""


class Outbox:
    """The outgoing messages of all partitions."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._record = Script.read("update_delivery")
        self._promote = Script.read("enqueue_due")
        self._park = Script.read("park")
        self._take_over = Script.read("take_over")
        self._leave = Script.read("leave")
        self._lag = Script.read("lag")

    async def open(self, tag: str) -> None:
        """Make a partition's consumer group, if it is missing. Raises StateUnavailable."""
        try:
            await self.store.pipeline.call("XGROUP", "CREATE", self.store.keys.outbox(tag), GROUP, "0", "MKSTREAM")
        except (RedisError, OSError) as error:
            if not (isinstance(error, ResponseError) and "BUSYGROUP" in str(error)):
                raise StateUnavailable(f"the outbox cannot be opened: {error}") from error

    async def read_new(self, tag: str, owner: str, most: int) -> list[OutboxEntry]:
        """New entries for this reader. Raises StateUnavailable."""
        command = ("XREADGROUP", "GROUP", GROUP, owner, "COUNT", most, "STREAMS", self.store.keys.outbox(tag), ">")
        async with deadline():
            reply = await self.store.call(*command)
        if not reply:
            return []
        lines = next(iter(reply.values()))[0] if isinstance(reply, dict) else reply[0][1]
        return await self._entries(tag, lines)

    async def claim_abandoned(self, tag: str, owner: str, most: int) -> list[OutboxEntry]:
        """Entries of readers that died. Raises StateUnavailable."""
        said = [GROUP, owner, TAKEN_OVER_MS, most]
        async with deadline():
            lines = await self.store.run(self._take_over, [self.store.keys.outbox(tag)], said)
        return await self._entries(tag, lines)

    async def remove_consumers(self, owner: str, forgotten_ms: int = FORGOTTEN_MS) -> None:
        """Forget a reader that has nothing in hand any more, and those that died with nothing in hand."""
        for tag in self.store.keys.tags:
            async with deadline():
                said = [GROUP, owner, forgotten_ms]
                await self.store.run(self._leave, [self.store.keys.outbox(tag)], said)

    async def tidy(self, forgotten_ms: int = FORGOTTEN_MS) -> None:
        """Forget readers with nothing in hand that were not heard of for so long. Raises StateUnavailable."""
        for tag in self.store.keys.tags:
            await self.open(tag)
        await self.remove_consumers("", forgotten_ms)

    async def enqueue_due(self, tag: str) -> int:
        """Put what is due on the stream; how many. Raises StateUnavailable."""
        places = [self.store.keys.due(tag), self.store.keys.outbox(tag), self.store.keys.clock(tag)]
        async with deadline():
            return int(await self.store.run(self._promote, places, [PROMOTED]))

    async def lag(self, tag: str) -> float:
        """Seconds since the message that should have been looked at first should have been. Raises StateUnavailable.

        0 when none is late. It is right also after Redis' clock, or any other, was set back.
        """
        keys = self.store.keys
        async with deadline():
            late = await self.store.run(self._lag, [keys.outbox(tag), keys.due(tag), keys.clock(tag)], [])
        return max(float(late) / 1000, 0.0)

    async def load(self, webinar_id: str, name: str) -> StoredDelivery | None:
        """A delivery as replicas have it, too; None when there is none. Raises UnreadableRecord, StateUnavailable."""
        async with deadline():
            raw = await self.store.call_replicated("HGET", self.store.keys.deliveries(webinar_id), name)
        return StoredDelivery(self.store.records.read(_DELIVERY, raw, _about(webinar_id)), raw) if raw else None

    async def update(
        self, webinar_id: str, held: StoredDelivery, wanted: Delivery | None, then: FollowOn
    ) -> StoredDelivery | None:
        """Take a step, if the record is still `held`; what stands then, None when another was faster."""
        keys, tag = self.store.keys, self.store.keys.tag(webinar_id)
        new = StoredDelivery.of(wanted) if wanted is not None else None
        again = "" if then.again_in is None else round(then.again_in * 1000)
        entry = then.entry.id if then.entry else ""
        wakes = "1" if then.wakes else "0"
        async with deadline():
            reply = await self.store.run_replicated(
                self._record,
                [keys.deliveries(webinar_id), keys.outbox(tag), keys.due(tag), keys.fates(tag), keys.clock(tag)],
                [field(held.delivery), held.raw, new.raw if new else b"", entry, GROUP, again, wakes, webinar_id],
            )
        if reply != 1:
            return None
        return new or held

    async def acknowledge(self, entry: OutboxEntry) -> None:
        """Take an entry off the stream that asks for nothing any more. Raises StateUnavailable."""
        key = self.store.keys.outbox(entry.tag)
        async with deadline():
            await self.store.call("XDEL", key, entry.id)  # first: the group forgets by itself what is no more
            await self.store.call("XACK", key, GROUP, entry.id)

    async def park(self, entry: OutboxEntry, why: str) -> None:
        """Keep an entry that cannot be used aside, where it stops nobody. Raises StateUnavailable.

        One about a lead that was forgotten leaves nothing.
        """
        keys = self.store.keys
        places = [keys.poison(entry.tag), keys.outbox(entry.tag), keys.forgotten(entry.tag)]
        said = [GROUP, entry.id, entry.webinar_id, entry.field, why, POISON_KEPT]
        async with deadline():
            kept = await self.store.run(self._park, places, said)
        if kept:
            logger.error("an entry of the outbox (webinar %.64s) is parked: %s", entry.webinar_id or "?", why)

    async def poison(self) -> AsyncIterator[Poison]:
        """The entries that were parked, the latest first. Raises StateUnavailable."""
        for tag in self.store.keys.tags:
            async with deadline():
                found = await self.store.call("XREVRANGE", self.store.keys.poison(tag), "+", "-")
            for number, values in found:
                said = _said(values)
                at = datetime.fromtimestamp(int(_text(number).partition("-")[0]) / 1000, UTC)
                yield Poison(at, said.get("webinar", ""), said.get("field", ""), said.get("error", ""))

    async def deliveries(self, webinar_id: str) -> AsyncIterator[StoredDelivery]:
        """All deliveries of a webinar, in no order; one may come twice. Raises StateUnavailable.

        Those that cannot be read are left out.
        """
        async for found in hash_slices(self.store, self.store.keys.deliveries(webinar_id)):
            for raw in found.values():
                delivery = self.store.records.readable(_DELIVERY, raw, _about(webinar_id))
                if delivery is not None:
                    yield StoredDelivery(delivery, raw)

    async def _entries(self, tag: str, lines: list[Any]) -> list[OutboxEntry]:
        """The entries that say what they are about; others are parked."""
        entries = []
        for number, values in lines:
            said = _said(values)
            entry = OutboxEntry(tag, _text(number), said.get("webinar", ""), said.get("field", ""))
            if not entry.webinar_id or not entry.field:
                await self.park(entry, "it names no webinar or no message")
            elif self.store.keys.tag(entry.webinar_id) != tag:
                await self.park(entry, "its webinar belongs to another partition")
            else:
                entries.append(entry)
        return entries


def _about(webinar_id: str) -> str:
    return f"a message of {webinar_id}"


def _said(values: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in pairs(values or [])}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def soon(at: datetime, now: datetime) -> float:
    """Seconds from `now` until `at`, never negative."""
    return max(0.0, (at - now).total_seconds())
