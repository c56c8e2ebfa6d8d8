"""The sample webinar that `room-server demo` shows: its player, CTA and recording are pages of this server."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.planning import Plan, new_room
from room_server.core.room import RosterEntry
from room_server.errors import Refusal
from room_server.state import roster
from room_server.state.store import Store, new_epoch

WEBINAR = "demo"
TOKEN_SECONDS = 24 * 3600
LEADS = [
    RosterEntry(lead_id=1, name="Анна Смирнова", candidate_chat_id=1001, partner_chat_id=2001),
    RosterEntry(lead_id=2, name="Борис Иванов", candidate_chat_id=1002, partner_chat_id=2001),
    RosterEntry(lead_id=3, name="Clara Weber", candidate_chat_id=1003, partner_chat_id=2002, locale="en"),
]


async def prepare(store: Store, address: str, fresh: bool) -> None:
    """Make the webinar unless there is one; `fresh` throws the old one away first. Raises StateUnavailable."""
    if fresh:
        await store.delete(WEBINAR)
    plan = Plan(
        title="Demo",
        scheduled_at=utc_now().replace(microsecond=0) + timedelta(minutes=10),
        description="Нажмите «Начать» в пульте спикера — и эта комната выйдет в эфир.",
        cta_label="Записаться на курс",
        cta_url=f"{address}/demo/cta",
        player_url=f"{address}/demo/player",
        recording_url=f"{address}/demo/recording",
    )
    try:
        await store.create(new_room(WEBINAR, new_epoch(), plan, draft=False))
    except Refusal as refusal:
        if refusal.code != "webinar_exists":
            raise
    else:
        await roster.adopt(store, WEBINAR, LEADS, replace=True)


def links(settings: Settings, address: str) -> Iterator[str]:
    """What to open, a line each; tokens travel in the fragment, so they are in no log."""
    yield f"schedule   {address}/"
    if settings.token_public_key:
        yield "tokens are signed elsewhere (ROOM_SERVER_TOKEN_PUBLIC_KEY): no links can be made here"
        return
    for label, path, role, subject in (
        ("attendee", f"room/{WEBINAR}", Role.ATTENDEE, "1"),
        ("attendee 2", f"room/{WEBINAR}", Role.ATTENDEE, "2"),
        ("speaker", f"speaker/{WEBINAR}", Role.SPEAKER, "speaker"),
        ("monitor", "monitor", Role.MONITOR, "monitor"),
    ):
        claims = {"sub": subject, "role": role, "webinar_id": "*" if role is Role.MONITOR else WEBINAR}
        token = auth.issue(settings, claims, TOKEN_SECONDS)
        yield f"{label:<10} {address}/{path}#token={quote(token)}"
