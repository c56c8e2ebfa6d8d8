"""Erasure of stream entries: those of forgotten leads, which are queued per partition, and of deleted webinars.

A pass reads a whole stream, a million entries at most, and serves all leads that are queued. The queue is durable: a
pass that is broken off is done again, and two at once do no harm.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from room_server.state import site_operations
from room_server.state.outbox import GROUP
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

STREAM_BATCH = 1000
"""Stream entries that one read brings."""
LEADS_BATCH = 1000
"""Most forgotten leads that one pass serves."""


class Entry(NamedTuple):
    """What an entry is about; `lead_id` None: about no lead."""

    webinar_id: str
    lead_id: int | None
    at: int
    """When it was appended, Unix ms."""


class About(Struct, frozen=True):
    """What an event's payload is about."""

    webinar_id: str = ""
    lead_id: int | None = None


Selects = Callable[[Entry], bool]
"""Whether the entry is to be deleted."""
_ABOUT = msgspec.json.Decoder(About)


async def erase_queued(store: Store, tag: str) -> Counter[int]:
    """Erase the entries of a partition's forgotten leads. How many events were deleted, by lead.

    Raises StateUnavailable; the leads then stay queued.
    """
    erased: Counter[int] = Counter()
    while queued := await _queued(store, tag):

        def is_forgotten(entry: Entry) -> bool:
            names = (str(entry.lead_id), f"{entry.lead_id} {entry.webinar_id}")
            return any(entry.at <= queued.get(name, -1) for name in names)

        def is_counted(entry: Entry) -> bool:
            found = is_forgotten(entry)
            if entry.lead_id is not None:
                erased[entry.lead_id] += found
            return found

        until = str(max(queued.values()))
        await _erase_messages(store, tag, is_forgotten, until)
        await _erase_events(store, tag, is_counted, until)
        async with deadline():
            rows = [part for row in queued.items() for part in row]
            await store.run_replicated(Script.read("erased"), [store.keys.erasures(tag)], rows)
    return erased


async def _queued(store: Store, tag: str) -> dict[str, int]:
    """Leads whose entries are to be erased (`lead`, or `lead webinar`), each with the time of the last, Unix ms."""
    async with deadline():
        found = await store.call("ZRANGE", store.keys.erasures(tag), 0, LEADS_BATCH - 1, "WITHSCORES")
    return {name.decode(): int(float(score)) for name, score in pairs(found)}


async def erase_entries(store: Store, tag: str, selects: Selects, until: str = "+") -> int:
    """Delete the selected entries of a partition's event stream and outbox, up to the stream id `until`.

    The number of events deleted. Raises StateUnavailable.
    """
    await _erase_messages(store, tag, selects, until)
    return await _erase_events(store, tag, selects, until)


async def _erase_messages(store: Store, tag: str, selects: Selects, until: str) -> int:
    erased = 0
    for key in (store.keys.outbox(tag), store.keys.urgent(tag)):
        async for ids in _selected(store, key, lambda at, values: selects(_message(at, values)), until):
            async with deadline():  # acknowledged first, so that no consumer keeps an id without an entry
                await store.call("XACK", key, GROUP, *ids)
                erased += await store.call("XDEL", key, *ids)
    return erased


async def _erase_events(store: Store, tag: str, selects: Selects, until: str) -> int:
    slices = _selected(store, store.keys.events(tag), lambda at, values: selects(_event(at, values)), until)
    return sum([await site_operations.erase(store, tag, ids) async for ids in slices])


async def _selected(
    store: Store, key: str, selects: Callable[[int, dict[bytes, bytes]], bool], until: str
) -> AsyncIterator[list[bytes]]:
    """The stream ids of the selected entries, as they are read."""
    first = "-"
    while True:
        async with deadline():
            entries: list[Any] = await store.call("XRANGE", key, first, until, "COUNT", STREAM_BATCH)
        if not entries:
            return
        if ids := [number for number, values in entries if selects(_time(number), dict(pairs(values)))]:
            yield ids
        first = f"({entries[-1][0].decode()}"


def _time(number: bytes) -> int:
    return int(number.partition(b"-")[0])


def _event(at: int, values: dict[bytes, bytes]) -> Entry:
    try:
        about = _ABOUT.decode(values.get(b"payload", b""))
    except ValueError:  # msgspec's decoding errors are ValueErrors
        return Entry("", None, at)
    return Entry(about.webinar_id, about.lead_id, at)


def _message(at: int, values: dict[bytes, bytes]) -> Entry:
    lead = values.get(b"field", b"").partition(b":")[0]
    webinar_id = values.get(b"webinar", b"").decode("utf-8", "replace")
    return Entry(webinar_id, int(lead) if lead.isdigit() else None, at)
