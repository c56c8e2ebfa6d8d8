"""What `/rooms/<id>/me` says of a lead's Telegram: where to connect it, until it is connected."""

from typing import Any

from room_server.core.bindings import lead
from room_server.core.room import RosterEntry
from room_server.state import bot
from room_server.state.roster import import_roster
from room_server.telegram.deep_links import open_links
from tests.support import Site, eventually, room, serving, settings_for
from tests.telegram.people import bind


async def telegram(site: Site, lead_id: int = 42) -> dict[str, Any]:
    """The part about Telegram."""
    answer = await site.http.get("/rooms/w/me", headers=site.bearer("attendee", sub=str(lead_id)))
    found: dict[str, Any] = answer.json()["telegram"]
    return found


async def test_an_attendee_is_offered_the_bot_until_its_chat_is_known(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=0)) as site:
        await site.transactions.create(room())
        without = await telegram(site)
        await bot.keep_name(site.store, "a_bot")

        async def offered() -> Any:
            return (await telegram(site))["url"]

        url = await eventually(offered, "the process hears of the bot")
        links = await open_links(site.settings, site.store)
        await bind(site.store, lead(42), 1001)
        await import_roster(site.store, "w", [RosterEntry(lead_id=43, candidate_chat_id=1002)], replace=False)
        connected = [await telegram(site, lead_id) for lead_id in (42, 43)]

    assert without == {"connected": False, "url": None}
    assert url == links.url("a_bot", lead(42))
    assert connected == 2 * [{"connected": True, "url": None}]


async def test_without_updates_no_bot_is_offered(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, telegram_updates="off")) as site:
        await site.transactions.create(room())
        await bot.keep_name(site.store, "a_bot")

        assert await telegram(site) == {"connected": False, "url": None}
