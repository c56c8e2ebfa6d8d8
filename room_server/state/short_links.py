"""Short links: a code that nobody can guess stands for what a lead's token says. Stored is only the code's hash.

The claims stand in one hash of the webinar, so they are deleted with the webinar, or with the lead (see forget.lua). A
code does not name its webinar; a key of its own does, which says nothing of the lead and ends with the link.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain

import msgspec
from msgspec import Struct

from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

CODE_BYTES = 16
CODE = re.compile(r"[A-Za-z0-9_-]{22}")
"""So many bytes that nobody can guess, in base64url."""
LINK_VALIDITY = timedelta(days=14)
"""How long personal links are valid after the planned time, unless told otherwise; most webinars move by less."""
LINKS_PER_LEAD = 20
"""Most links of a lead in one webinar; each `roster links` makes one more, and the oldest ends then."""
BATCH = 500
"""Leads in one command."""


class Claims(Struct, frozen=True):
    """What an attendee's token says, besides its webinar: the lead, and until when it holds (Unix seconds)."""

    lead_id: int
    exp: int


_CLAIMS = msgspec.json.Decoder(Claims)


def digest(code: str) -> str:
    """SHA-256 of a code. A code has 128 random bits, so that no salt is needed."""
    return hashlib.sha256(code.encode()).hexdigest()


async def save(store: Store, webinar_id: str, leads: Sequence[int], expires_at: int) -> dict[int, str]:
    """Make a link for each lead that is on the roster; it holds until `expires_at` (Unix seconds).

    Returns the codes by lead, in the order of `leads`. Raises StateUnavailable.
    """
    made: dict[int, str] = {}
    for start in range(0, len(leads), BATCH):
        codes = {lead: secrets.token_urlsafe(CODE_BYTES) for lead in leads[start : start + BATCH]}
        made |= await save_codes(store, webinar_id, codes, expires_at)
    return made


async def save_codes(store: Store, webinar_id: str, codes: dict[int, str], expires_at: int) -> dict[int, str]:
    """Store these codes, at most BATCH, by lead; one that is stored already holds until `expires_at`, too.

    Returns those of leads that are on the roster. Raises StateUnavailable.
    """
    rows = list(chain.from_iterable((lead, digest(code)) for lead, code in codes.items()))
    places = [store.keys.links(webinar_id), store.keys.roster(webinar_id)]
    async with deadline():
        stored = await store.run_replicated(
            Script.read("save_links"), places, [int(time.time()), expires_at, LINKS_PER_LEAD, *rows]
        )
    names = [store.keys.link(digest(codes[lead])) for lead in stored]
    async with deadline():
        await store.call_all([("SET", name, webinar_id, "EXAT", expires_at) for name in names])
    return {lead: codes[lead] for lead in stored}


async def find(store: Store, code: str) -> tuple[str, Claims] | None:
    """The webinar and the claims of a link that holds; None for any other code. Raises StateUnavailable."""
    if not CODE.fullmatch(code):
        return None
    hashed = digest(code)
    async with deadline():
        name = await store.call("GET", store.keys.link(hashed))
        stored = name and await store.call("HGET", store.keys.links(name.decode()), hashed)
    if not stored:
        return None
    claims = store.records.read(_CLAIMS, stored, "a short link")
    return (name.decode(), claims) if claims.exp > time.time() else None
