"""The sample webinar of `room-server demo`. Its player, CTA and recording are pages of this server."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.planning import Plan, amend, new_room
from room_server.core.room import Room, RosterEntry, Status
from room_server.errors import Refusal
from room_server.ids import new_epoch
from room_server.state import roster
from room_server.transactions import Transactions

WEBINAR = "demo"
TOKEN_SECONDS = 24 * 3600
PAGES = {"player_url": "/demo/player", "cta_url": "/demo/cta", "recording_url": "/demo/recording"}
"""The paths of the sample's pages, by the field of the room that leads to them."""
OVER = frozenset({Status.FINISHED, Status.ARCHIVED})
"""Statuses in which there is nothing left to try out."""
LEADS = [
    RosterEntry(lead_id=1, name="Анна Смирнова", candidate_chat_id=1001, partner_chat_id=2001, locale="ru"),
    RosterEntry(lead_id=2, name="Борис Иванов", candidate_chat_id=1002, partner_chat_id=2001, locale="ru"),
    RosterEntry(lead_id=3, name="Clara Weber", candidate_chat_id=1003, partner_chat_id=2002, locale="en"),
]


async def prepare(transactions: Transactions, address: str, fresh: bool) -> Room:
    """The sample webinar, made if there is none (with `fresh`: deleted first), its pages at this server's `address`.

    Raises StateUnavailable.
    """
    if fresh:
        await transactions.store.delete(WEBINAR)
    plan = Plan(
        title="Demo",
        scheduled_at=utc_now().replace(microsecond=0) + timedelta(minutes=10),
        description="Нажмите «Начать» в пульте спикера — и эта комната выйдет в эфир.",
        cta_label="Записаться на курс",
        cta_url=address + PAGES["cta_url"],
        player_url=address + PAGES["player_url"],
        recording_url=address + PAGES["recording_url"],
    )
    try:
        room = await transactions.create(new_room(WEBINAR, new_epoch(), plan, draft=False))
    except Refusal as refusal:
        if refusal.code != "webinar_exists":
            raise
        return await transactions.edit(WEBINAR, lambda room: moved(room, address))
    await roster.import_roster(transactions.store, WEBINAR, LEADS, replace=True)
    return room


def moved(room: Room, address: str) -> Room:
    """The room with the sample's own pages at `address`; the same object when they are there already.

    The pages are recognised by their path, since the server may have had another address when they were made. Other
    addresses, set by an operator, stay. An archived room stays as it is.
    """
    if room.status is Status.ARCHIVED:
        return room
    own: dict[str, Any] = {name: address + path for name, path in PAGES.items() if _leads_to(getattr(room, name), path)}
    return amend(room, Plan(**own))


def _leads_to(url: str | None, path: str) -> bool:
    parts = urlsplit(url or "")
    return (parts.path, parts.query, parts.fragment) == (path, "", "")


def links(settings: Settings, address: str) -> Iterator[str]:
    """The links to open, one per line. Tokens are in the fragment, which browsers do not send, so no log has them."""
    yield f"schedule   {address}/"
    if settings.token_public_key:
        yield "tokens are signed elsewhere (ROOM_SERVER_TOKEN_PUBLIC_KEY): no links can be made here"
        return
    for label, path, role, subject in (
        ("attendee", f"room/{WEBINAR}", Role.ATTENDEE, "1"),
        ("attendee 2", f"room/{WEBINAR}", Role.ATTENDEE, "2"),
        ("speaker", f"speaker/{WEBINAR}", Role.SPEAKER, auth.new_subject(Role.SPEAKER)),
        ("report", f"report/{WEBINAR}", Role.ORGANIZER, auth.new_subject(Role.ORGANIZER)),
        ("monitor", "monitor", Role.MONITOR, auth.new_subject(Role.MONITOR)),
    ):
        scope = "*" if role is Role.MONITOR else WEBINAR
        claims: dict[str, Any] = {"sub": subject, "role": role, "webinar_id": scope}
        if role is Role.ORGANIZER:
            claims["read_only"] = True
        token = auth.issue(settings, claims, TOKEN_SECONDS)
        yield f"{label:<10} {address}/{path}#token={quote(token)}"
