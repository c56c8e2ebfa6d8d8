"""Watch time in Redis: which slots of a broadcast each lead was seen in, as bitmaps that only ever gain slots."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from room_server.core import watch_time
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

_MSGPACK = msgspec.msgpack.Encoder()


class Broadcast(NamedTuple):
    """A webinar, and when it went live: a webinar that was deleted and made again is another broadcast."""

    webinar_id: str
    started_at: datetime


async def add(store: Store, broadcast: Broadcast, seen: Mapping[int, int]) -> bool:
    """Add slots of leads (see core.watch_time) in one step, which may be repeated. Raises StateUnavailable.

    False, and nothing is stored, when there is no such broadcast any more. Forgotten leads are left out.
    """
    keys, name = store.keys, broadcast.webinar_id
    places = [keys.watch(name), keys.room(name), keys.forgotten(keys.tag(name))]
    found = ((lead_id, *run) for lead_id, slots in seen.items() for run in watch_time.runs(slots))
    numbers = [number for one in found for number in one]
    arguments: list[Any] = [name, msgspec.to_builtins(broadcast.started_at), _MSGPACK.encode(numbers)]
    async with deadline():
        return bool(await store.run(Script.read("watch"), places, arguments))
