"""One request to a receiver: its events, its body, its id and its signatures (Standard Webhooks)."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from room_server.core.site_delivery import Receiver, Tried
from room_server.core.site_event import TYPE, SiteEvent, event_of
from room_server.state.site_events import StreamEntry

logger = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
"""Most bytes of the events in a request; one event alone is sent whatever its size, which a hook's body bounds."""


class Batch(NamedTuple):
    """Events that are sent together, by their stream ids; `gone`: entries among them that hold no event any more."""

    webhook_id: str
    body: bytes
    ids: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def tried(self) -> Tried:
        """What a request with it tries; there must be events."""
        return Tried(len(self.ids), self.ids[0], self.ids[-1])


def batch_of(receiver: Receiver, entries: Sequence[StreamEntry], most: int) -> Batch:
    """The first `most` events of the entries, fewer if they would be too large; the same entries, the same batch."""
    texts: list[bytes] = []
    ids: list[str] = []
    gone: list[str] = []
    size, event = 0, None
    for entry in entries:
        made = _event(entry)
        if made is None:
            gone.append(entry.id)
            continue
        text = msgspec.json.encode(made)
        if len(ids) == most or (ids and size + len(text) > MAX_BYTES):
            break
        texts.append(text)
        ids.append(entry.id)
        size, event = size + len(text), made
    if event is None:
        return Batch("", b"", (), tuple(gone))
    stamp = msgspec.json.encode(event.timestamp)
    body = b'{"type":"%s","timestamp":%s,"data":{"events":[%s]}}' % (TYPE.encode(), stamp, b",".join(texts))
    return Batch(_webhook_id(receiver, ids), body, tuple(ids), tuple(gone))


def headers(batch: Batch, secrets: Sequence[bytes], now: int) -> dict[str, str]:
    """The headers that sign a batch at the time `now` (Unix seconds), once with each secret."""
    content = f"{batch.webhook_id}.{now}.".encode() + batch.body
    signatures = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": batch.webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _webhook_id(receiver: Receiver, ids: Sequence[str]) -> str:
    """A hash of receiver, first and last entry: the same batch keeps it."""
    return "evt_" + hashlib.sha256(f"{receiver.id} {ids[0]} {ids[-1]}".encode()).hexdigest()[:32]


def _event(entry: StreamEntry) -> SiteEvent | None:
    """The event of an entry; None when it was erased, or is none of ours, which is logged."""
    if entry.fields is None:
        return None
    try:
        return event_of(entry.id, entry.fields)
    except ValueError as error:  # msgspec's decoding errors are ValueErrors
        logger.error("the entry %s of an event stream cannot be sent to the site: %s", entry.id, error)
        return None
