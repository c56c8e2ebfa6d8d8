"""What each process says of itself, with a time to live: the sum over the living is what the monitor shows.

A process that was killed is out of the sum when its word expires. Reading costs one key per process, however many
sockets there are.
"""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from room_server.core.reach import Reached
from room_server.state.patience import deadline
from room_server.state.store import Store

ALIVE_SECONDS = 6
"""How long a process's word holds: several beats, and less than the ten seconds in which counts must heal."""


class Node(Struct, frozen=True, kw_only=True):
    """One process: its sockets by room and role, and the hooks it answered by code."""

    node: str
    kind: Literal["web", "worker"]
    total: int
    rooms: dict[str, dict[str, int]] = {}
    hooks: dict[str, int] = {}
    reach: dict[str, Reached] = {}
    seen_at: datetime


_NODE = msgspec.json.Decoder(Node)


async def announce(store: Store, node: Node) -> None:
    """Say that the process lives, and what it counts. Raises StateUnavailable."""
    async with deadline():
        await store.ask("SET", store.keys.presence(node.node), msgspec.json.encode(node), "EX", ALIVE_SECONDS)
        await store.ask("ZADD", store.keys.nodes, node.seen_at.timestamp(), node.node)
        await store.ask("ZREMRANGEBYSCORE", store.keys.nodes, "-inf", node.seen_at.timestamp() - 10 * ALIVE_SECONDS)
        await store.ask("EXPIRE", store.keys.nodes, 10 * ALIVE_SECONDS)


async def withdraw(store: Store, node: str) -> None:
    """Say that the process is gone. Raises StateUnavailable."""
    async with deadline():
        await store.ask("ZREM", store.keys.nodes, node)
        await store.ask("DEL", store.keys.presence(node))


async def living(store: Store) -> list[Node]:
    """The processes whose word holds and can be read, by name. Raises StateUnavailable."""
    async with deadline():
        names = [name.decode() for name in await store.ask("ZRANGE", store.keys.nodes, 0, -1)]
        if not names:
            return []
        found = await store.ask("MGET", *(store.keys.presence(name) for name in names))
    read = [store.records.readable(_NODE, word, "what a process says of itself") for word in found if word]
    return sorted((node for node in read if node is not None), key=lambda node: node.node)
