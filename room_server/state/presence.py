"""What each process says of itself, with a time to live: the sum over the living is what the monitor shows.

A process that was killed is out of the sum when its word expires. The words are spread over the partitions; one whose
partition is away is said in the one across. Reading costs two keys a partition and one value a process, however many
sockets there are.
"""

import binascii
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from room_server.core.receipt_stats import ReceiptCounts
from room_server.errors import StateUnavailable
from room_server.state.partitions import answer, ask_each
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.store import Store

ALIVE_SECONDS = 6
"""How long a process's word holds: several beats, and less than the ten seconds in which counts must heal."""


class Word(Struct, frozen=True, kw_only=True):
    """What one process says: its sockets by room and role, and the hooks it answered by code."""

    node: str
    kind: Literal["web", "worker"]
    total: int
    rooms: dict[str, dict[str, int]] = {}
    hooks: dict[str, int] = {}
    reach: dict[str, ReceiptCounts] = {}


class Node(Word, frozen=True, kw_only=True):
    """A living process: its last word, and when that was heard by Redis' clock."""

    seen_at: datetime


_WORD = msgspec.json.Decoder(Word)


async def announce(store: Store, word: Word) -> None:
    """Say that the process lives, and what it counts. Raises StateUnavailable."""
    script, said = Script.read("announce"), [word.node, msgspec.json.encode(word), ALIVE_SECONDS * 1000]
    for tag in homes(store, word.node):
        ask = partial(store.run, script, [store.keys.nodes(tag), store.keys.words(tag)], said)
        if await answer(store, tag, ask) is not None:
            return
    raise StateUnavailable


async def withdraw(store: Store, node: str) -> None:
    """Say that the process is gone. Raises StateUnavailable."""
    keys = store.keys
    asked = {tag: [("ZREM", keys.nodes(tag), node), ("HDEL", keys.words(tag), node)] for tag in homes(store, node)}
    await ask_each(store, asked)


async def living(store: Store) -> list[Node]:
    """The processes whose word holds and can be read, by name. Raises StateUnavailable.

    Those that speak in a partition that is away are missing until they speak in the one across.
    """
    keys = store.keys
    asked = {tag: [("HGETALL", keys.words(tag)), ("ZRANGE", keys.nodes(tag), 0, -1, "WITHSCORES")] for tag in keys.tags}
    latest: dict[str, Node] = {}
    for words, heard in (await ask_each(store, asked)).values():
        said = dict(pairs(words))
        for name, score in pairs(heard):
            word = store.records.readable(_WORD, said.get(name, b""), "what a process says of itself")
            at = datetime.fromtimestamp(float(score) / 1000, UTC)
            if word is not None and (word.node not in latest or latest[word.node].seen_at < at):
                latest[word.node] = Node(**asdict(word), seen_at=at)
    return sorted(latest.values(), key=lambda node: node.node)


def homes(store: Store, node: str) -> list[str]:
    """The partition in which a process speaks, and the one across, on another server of a Cluster: for want of it."""
    tags = store.keys.tags
    first = binascii.crc32(node.encode())
    return list(dict.fromkeys(tags[(first + ahead) % len(tags)] for ahead in (0, len(tags) // 2)))
