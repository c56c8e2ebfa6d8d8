"""Answers that signed requests got, for ten minutes: a repeat of the same request gets the same answer.

Requests that were refused are not remembered.
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
    """What was asked (digest of hook and body) and answered."""

    asked: bytes
    answer: bytes


_REMEMBERED = msgspec.msgpack.Decoder(StoredAnswer)


def digest(hook: str, body: bytes) -> bytes:
    """What makes two requests the same."""
    return hashlib.sha256(hook.encode() + b"\n" + body).digest()


async def recall(store: Store, webhook_id: str, asked: bytes) -> bytes | None:
    """The stored answer; None for a new id. Raises UnreadableRecord.

    Raises Unauthenticated when the id stood for another request.
    """
    async with deadline():
        if not await store.call(
            "EXISTS", _key(store, webhook_id)
        ):  # as for nearly all: replicas need not be waited for
            return None
        stored = await store.call_replicated("GET", _key(store, webhook_id))
    if stored is None:
        return None
    remembered = store.records.read(_REMEMBERED, stored, "the answer to a signed request")
    if remembered.asked != asked:
        raise Unauthenticated("this webhook-id was used for another request")
    return remembered.answer


async def remember(store: Store, webhook_id: str, remembered: StoredAnswer) -> bytes:
    """The answer that stands: the first one that was kept. Raises Unauthenticated when it is to another request."""
    async with deadline():
        packed = msgspec.msgpack.encode(remembered)
        if await store.call_replicated("SET", _key(store, webhook_id), packed, "NX", "EX", KEPT):
            return remembered.answer
    return await recall(store, webhook_id, remembered.asked) or remembered.answer


def _key(store: Store, webhook_id: str) -> str:
    return store.keys.webhook(hashlib.sha256(webhook_id.encode("utf-8", "surrogateescape")).hexdigest())
