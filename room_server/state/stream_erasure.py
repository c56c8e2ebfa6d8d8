"""What the streams of a partition still say of a webinar or a person whose records are gone: found and deleted."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from room_server.state.outbox import GROUP
from room_server.state.redis.pipeline import pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SLICE = 1000
"""Entries that one read brings."""
NEWEST = "+"

Concerned = Callable[[str, int | None], bool]
"""Whether an entry about this webinar and this lead (None: about no lead) is to go."""


class About(Struct, frozen=True):
    """What an event's payload says that it is about."""

    webinar_id: str = ""
    lead_id: int | None = None


class Erased(NamedTuple):
    """How many entries went."""

    events: int = 0
    messages: int = 0


_ABOUT = msgspec.json.Decoder(About)


async def erase(store: Store, tag: str, concerned: Concerned, until: str = NEWEST) -> Erased:
    """Delete what concerns somebody, up to the stream's id `until`. May be repeated. Raises StateUnavailable."""
    keys = store.keys
    events = await _erase(store, keys.events(tag), lambda said: concerned(*_event(said)), until)
    messages = await _erase(store, keys.outbox(tag), lambda said: concerned(*_message(said)), until)
    poison = await _erase(store, keys.poison(tag), lambda said: concerned(*_message(said)), until)
    return Erased(events, messages + poison)


async def _erase(store: Store, key: str, goes: Callable[[dict[bytes, bytes]], bool], until: str) -> int:
    """How many entries of a stream went. The group is told first: then the entry is nobody's any more."""
    erased = 0
    async for entries in _slices(store, key, until):
        ids = [number for number, said in entries if goes(said)]
        if ids:
            async with deadline():
                await store.call("XACK", key, GROUP, *ids)
                erased += await store.call("XDEL", key, *ids)
    return erased


async def _slices(store: Store, key: str, until: str) -> AsyncIterator[list[tuple[bytes, dict[bytes, bytes]]]]:
    first = "-"
    while True:
        async with deadline():
            found: list[Any] = await store.call("XRANGE", key, first, until, "COUNT", SLICE)
        if not found:
            return
        yield [(number, dict(pairs(said))) for number, said in found]
        first = f"({found[-1][0].decode()}"


def _event(said: dict[bytes, bytes]) -> tuple[str, int | None]:
    try:
        about = _ABOUT.decode(said.get(b"payload", b""))
    except ValueError:  # as msgspec's errors of decoding are; not of our making
        return "", None
    return about.webinar_id, about.lead_id


def _message(said: dict[bytes, bytes]) -> tuple[str, int | None]:
    lead = said.get(b"field", b"").partition(b":")[0]
    return said.get(b"webinar", b"").decode("utf-8", "replace"), int(lead) if lead.isdigit() else None
