"""The site tries both directions: its hook comes in, and an event with its nonce goes out by the stream of events."""

import hashlib
from datetime import datetime
from importlib.metadata import version

import msgspec
from msgspec import Struct

from room_server.clock import utc_now
from room_server.core.messages import Actor, SiteChecked
from room_server.core.site_hooks import CheckSite
from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.site_standing import ReceiverStanding, receivers
from room_server.telemetry.tracing import request_id
from room_server.transactions import Transactions

KNOWN_SECONDS = 600
"""How long a nonce is known: a repeat of the request appends no second event."""


class Checked(Struct, frozen=True):
    """The server's version and time; `receivers`: how far each receiver of the site's events is."""

    webinar_id: None
    duplicate: bool
    version: str
    time: datetime
    receivers: list[ReceiverStanding]


async def check(transactions: Transactions, actor: Actor, hook: CheckSite) -> Checked:
    """Append the event, once for each nonce, to the first partition's stream. Raises StateUnavailable."""
    store, tag = transactions.store, transactions.store.keys.tags[0]
    payload = msgspec.json.encode(SiteChecked(nonce=hook.nonce))
    sender = msgspec.json.encode({"role": actor.role, "subject": actor.subject})
    digest = hashlib.sha256(hook.nonce.encode()).hexdigest()
    places = [store.keys.check(tag, digest), store.keys.events(tag)]
    arguments = [KNOWN_SECONDS, hook.nonce, payload, request_id.get(), sender]
    async with deadline():
        appended = await store.run_replicated(Script.read("check_site"), places, arguments)
    return Checked(None, not appended, version("room-server"), utc_now(), await receivers(store))
