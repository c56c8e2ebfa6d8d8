"""The answers to signed requests, kept for ten minutes: a request that comes again gets the answer that it got.

A refusal is not kept, so a refused request may succeed when it comes again.
"""

import hashlib

import msgspec
from msgspec import Struct

from room_server.errors import Unauthenticated
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

KEPT = 600
"""Seconds: twice the tolerance of a request's timestamp."""


class StoredAnswer(Struct, frozen=True):
    """The digest of a request, and its answer; stored as msgpack."""

    asked: bytes
    answer: bytes


_STORED = msgspec.msgpack.Decoder(StoredAnswer)


def digest(hook: str, body: bytes) -> bytes:
    """SHA-256 of a request: requests with the same hook and body are the same."""
    return hashlib.sha256(hook.encode() + b"\n" + body).digest()


async def recall(store: Store, webhook_id: str, asked: bytes) -> bytes | None:
    """The stored answer to the request with the digest `asked`; None for a new id. Raises UnreadableRecord.

    Raises Unauthenticated when the id was used for another request.
    """
    async with deadline():
        if not await store.call("EXISTS", _key(store, webhook_id)):  # the usual case, and it waits for no replica
            return None
        packed = await store.call_replicated("GET", _key(store, webhook_id))
    if packed is None:
        return None
    stored = store.records.read(_STORED, packed, "the answer to a signed request")
    if stored.asked != asked:
        raise Unauthenticated("this webhook-id was used for another request")
    return stored.answer


async def remember(store: Store, webhook_id: str, new: StoredAnswer) -> bytes:
    """Store the answer unless the id has one, and return the stored one.

    Raises Unauthenticated when that belongs to another request.
    """
    async with deadline():
        packed = msgspec.msgpack.encode(new)
        if await store.call_replicated("SET", _key(store, webhook_id), packed, "NX", "EX", KEPT):
            return new.answer
    return await recall(store, webhook_id, new.asked) or new.answer


def _key(store: Store, webhook_id: str) -> str:
    return store.keys.webhook(hashlib.sha256(webhook_id.encode("utf-8", "surrogateescape")).hexdigest())
