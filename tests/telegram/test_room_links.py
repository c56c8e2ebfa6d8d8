"""The personal link in a reminder: it opens the room as its lead, is the same each time, and ends as short links do."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.api.links import HEADER
from room_server.auth import Authenticator
from room_server.clock import utc_now
from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Room, RosterEntry
from room_server.state.roster import import_roster, withdraw
from room_server.state.short_links import LINK_VALIDITY, LINKS_PER_LEAD
from room_server.telegram.room_links import RoomLinks
from tests.commands.test_roster import PUBLIC_KEY
from tests.support import Site, room, wait_until
from tests.telegram.bot_api import BotApi, flood
from tests.telegram.outgoing import Outgoing
from tests.telegram.test_outdated import ended, plan

PUBLIC = "https://rooms.example.org/"
REMINDER = Delivery(
    lead_id=1,
    kind=MessageKind.REMINDER,
    status=DeliveryStatus.QUEUED,
    attended=False,
    chat_id=11,
    locale="ru",
    moment="1h",
)


async def remind(outgoing: Outgoing) -> Room:
    """A webinar in half an hour, and a lead that is to be reminded now."""
    await plan(outgoing, title="Webinar", scheduled_at=utc_now() + timedelta(hours=1, minutes=30))
    await import_roster(outgoing.store, "w", [RosterEntry(lead_id=1, candidate_chat_id=11)], replace=False)
    await plan(outgoing, remind=("1h",))
    key = outgoing.store.keys.announcements(outgoing.store.keys.tag("w"))
    await outgoing.store.call("ZADD", key, 0, "w reminder_1h")
    return await plan(outgoing)


def link_in(api: BotApi) -> str:
    """The last line of the one message."""
    (text,) = api.texts(11)
    return text.splitlines()[-1]


async def link_of(outgoing: Outgoing, room: Room, changed: Delivery = REMINDER, **settings: Any) -> str | None:
    """The link in a message, by an installation with these settings."""
    made = replace(outgoing.settings, **{"public_url": PUBLIC, **settings})
    return await RoomLinks(made, outgoing.store).url(changed, room, utc_now())


async def registered(outgoing: Outgoing) -> Room:
    """A webinar in an hour with one lead."""
    await plan(outgoing, title="Webinar", scheduled_at=utc_now() + timedelta(hours=1))
    await import_roster(outgoing.store, "w", [RosterEntry(lead_id=1)], replace=False)
    return await plan(outgoing)


async def test_whoever_taps_on_a_reminder_is_in_the_room(outgoing: Outgoing, api: BotApi, site: Site) -> None:
    standing = await remind(outgoing)
    async with outgoing.delivering(public_url=f"http://{site.address}"):
        await wait_until(lambda: api.sent, "the lead is reminded")
    address, _, code = link_in(api).rpartition("/r/")
    page = await site.http.get(f"/r/{code}")
    link = (await site.http.get("/links", headers={HEADER: code})).json()
    state = await site.http.get("/rooms/w/state", headers={"Authorization": f"Bearer {link['token']}"})
    actor = Authenticator(site.settings).token(link["token"])

    assert address == f"http://{site.address}"
    assert (page.status_code, state.status_code, link["webinar_id"]) == (200, 200, "w")
    assert (actor.role, actor.lead_id) == ("attendee", 1)
    assert actor.expires_at == pytest.approx((standing.scheduled_at + LINK_VALIDITY).timestamp(), abs=5)


async def test_without_a_public_address_a_reminder_has_no_link(outgoing: Outgoing, api: BotApi) -> None:
    await remind(outgoing)
    async with outgoing.delivering():
        assert await ended(outgoing, 1, "reminder_1h") == ("sent", None)

    assert link_in(api) == "Войти можно по вашей личной ссылке."
    assert await outgoing.store.call("EXISTS", outgoing.store.keys.links("w")) == 0


async def test_a_reminder_that_is_made_again_holds_the_same_link(outgoing: Outgoing, api: BotApi) -> None:
    await remind(outgoing)
    api.next[11].extend(flood(1) for _ in range(2))
    async with outgoing.delivering(public_url=PUBLIC):
        assert await ended(outgoing, 1, "reminder_1h") == ("sent", None)

    assert len({tried.text.splitlines()[-1] for tried in api.tries}) == 1
    assert len(api.tries) == 3
    assert await outgoing.store.call("HLEN", outgoing.store.keys.links("w")) == 2, "one link, and the lead's list"


async def test_each_reminder_has_a_link_of_its_own_and_other_secrets_make_others(outgoing: Outgoing) -> None:
    standing = await registered(outgoing)
    later = replace(standing, scheduled_at=standing.scheduled_at + timedelta(days=1))
    made = [
        await link_of(outgoing, standing),
        await link_of(outgoing, later),
        await link_of(outgoing, replace(standing, epoch="another")),
        await link_of(outgoing, standing, replace(REMINDER, moment="start")),
        await link_of(outgoing, standing, token_secret="another-secret-of-the-tests-that-is-long"),
    ]

    assert None not in made
    assert len(set(made)) == len(made) < LINKS_PER_LEAD
    assert await link_of(outgoing, standing) == made[0]


async def test_no_link_goes_where_others_would_use_it_or_where_it_could_not_be_opened(outgoing: Outgoing) -> None:
    standing = await registered(outgoing)
    others = [kind for kind in MessageKind if kind is not MessageKind.REMINDER]

    assert await link_of(outgoing, standing, replace(REMINDER, chat_id=-9)) is None
    assert await link_of(outgoing, standing, token_public_key=PUBLIC_KEY) is None
    assert await link_of(outgoing, standing, token_secret="") is None
    assert [await link_of(outgoing, standing, replace(REMINDER, kind=kind, moment=None)) for kind in others] == [
        None for _ in others
    ]
    assert await link_of(outgoing, room("nowhere")) is None


async def test_the_link_ends_when_its_lead_is_withdrawn(outgoing: Outgoing, site: Site) -> None:
    standing = await registered(outgoing)
    code = str(await link_of(outgoing, standing)).rpartition("/")[2]
    before = await site.http.get("/links", headers={HEADER: code})
    await withdraw(outgoing.store, "w", [1])
    after = await site.http.get("/links", headers={HEADER: code})

    assert (before.status_code, after.status_code) == (200, 404)
    assert await link_of(outgoing, standing) is None
