"""`room-server partner links`: the partners of every roster, and how each connects its Telegram."""

from msgspec.structs import replace

from room_server.core.bindings import partner
from room_server.core.room import RosterEntry
from room_server.state import bot
from room_server.state.roster import import_roster
from room_server.state.store import Store
from room_server.telegram.deep_links import DeepLinks, open_links
from tests.commands.aftermath import on
from tests.commands.test_roster import PUBLIC_KEY
from tests.support import TOKEN_SECRET, room, settings_for, transactions
from tests.terminal import Terminal


async def partners(store: Store) -> None:
    """Two webinars with three partners; one lead has none, and one partner stands on both."""
    for name, ids in (("a", (7, None, 9)), ("b", (9, 8))):
        await transactions(store).create(room(name))
        entries = [RosterEntry(lead_id=lead, partner_id=partner_id) for lead, partner_id in enumerate(ids, 1)]
        await import_roster(store, name, entries, replace=False)
    await bot.keep_name(store, "a_bot")


def test_every_partner_of_every_roster_has_a_link(terminal: Terminal, valkey_url: str) -> None:
    on(valkey_url, partners)

    links = DeepLinks((TOKEN_SECRET.encode(),))
    rows = [f"{number},{links.url('a_bot', partner(number))}" for number in (7, 8, 9)]
    assert terminal.says("partner", "links").splitlines() == ["partner_id,telegram_url", *rows]


def test_where_tokens_are_signed_elsewhere_the_links_are_made_here_all_the_same(
    terminal: Terminal, valkey_url: str
) -> None:
    on(valkey_url, partners)
    elsewhere = {"ROOM_SERVER_TOKEN_SECRET": "", "ROOM_SERVER_TOKEN_PUBLIC_KEY": PUBLIC_KEY}
    said = terminal.says("partner", "links", **elsewhere)

    async def links(store: Store) -> DeepLinks:
        return await open_links(replace(settings_for(valkey_url), token_secret="", token_public_key=PUBLIC_KEY), store)

    assert said.splitlines()[1] == f"7,{on(valkey_url, links).url('a_bot', partner(7))}"
    assert terminal.says("partner", "links", **elsewhere) == said


def test_without_a_bot_the_partners_are_listed_without_links(terminal: Terminal, valkey_url: str) -> None:
    on(valkey_url, partners)
    on(valkey_url, bot.drop_name)
    result = terminal.run("partner", "links")

    assert result.stdout.splitlines() == ["partner_id,telegram_url", "7,", "8,", "9,"]
    assert "the bot's name is not known" in result.stderr


def test_the_links_come_as_a_spreadsheet_reads_them(terminal: Terminal, valkey_url: str) -> None:
    on(valkey_url, partners)

    assert terminal.run("partner", "links", "--delimiter", ";").stdout_bytes.startswith(
        b"\xef\xbb\xbfpartner_id;telegram_url\r\n7;https://t.me/a_bot?start="
    )
