"""What the tests of the store do: wishes by who may have them, and a look at all that is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from room_server.core.decision_types import Change, Command
from room_server.errors import Refusal
from room_server.state.redis.connect import client_of
from room_server.state.redis.pipeline import pairs
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR, Hook
from tests.support import settings_for, transactions

CORE = (type(builders.start()), type(builders.cta()))
"""What the speaker may do, and the system may not."""


def wish(hook: Hook) -> Command:
    """A command by one who may: the speaker for the room, the system for leads, evaluations and acts."""
    return builders.command(hook, "speaker" if isinstance(hook, CORE) else "system")


async def answer(store: Store, hook: Hook) -> str:
    """`ok`, `duplicate`, or the code of the refusal."""
    try:
        change = await transactions(store).apply(wish(hook))
    except Refusal as refusal:
        return refusal.code
    return "duplicate" if change.duplicate else "ok"


async def done(store: Store, hook: Hook) -> Change:
    """The change, where none is refused."""
    return await transactions(store).apply(wish(hook))


async def prepare(store: Store, status: str = "live") -> None:
    """The webinar of these tests, in `status`."""
    await transactions(store).create(builders.room(status))


@asynccontextmanager
async def another(url: str, partitions: int | None = None) -> AsyncIterator[Store]:
    """A second process's store on the same server."""
    async with open_state(settings_for(url, partitions=partitions)) as state:
        yield state.store


@asynccontextmanager
async def servers(state: State) -> AsyncIterator[list[Redis]]:
    """A plain client for each server of the place."""
    if isinstance(state.client, RedisCluster):
        clients = [client_of(node) for node in state.client.nodes_manager.nodes_cache.values()]
        try:
            yield clients
        finally:
            for client in clients:
                await client.aclose()
    else:
        yield [state.client]


async def everything(state: State) -> dict[str, Any]:
    """All that is stored, key by key; what only remembers that something was done is left out."""
    async with servers(state) as clients:
        return {
            key.decode(): await client.dump(key)
            for client in clients
            async for key in client.scan_iter(count=1000)
            if b":done:" not in key
        }


async def events(state: State, webinar_id: str = WEBINAR) -> list[str]:
    """The names of the hooks in the webinar's partition, in order."""
    keys = state.store.keys
    stored = await state.store.call("XRANGE", keys.events(keys.tag(webinar_id)), "-", "+")
    return [dict(pairs(fields))[b"hook"].decode() for _, fields in stored]


async def history(state: State) -> list[tuple[str, object]]:
    """All hooks as stored, in order, each with what it is about: the lead, or what became of the CTA."""
    keys = state.store.keys
    rows = await state.store.call("XRANGE", keys.events(keys.tag(WEBINAR)), "-", "+")
    known = []
    for _, fields in rows:
        row = dict(pairs(fields))
        payload = msgspec.json.decode(row[b"payload"])
        known.append((row[b"hook"].decode(), payload.get("lead_id", payload.get("visible"))))
    return known
