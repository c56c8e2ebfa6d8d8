"""`room-server partner`: what partners are given, who learn whether their leads came."""

from typing import Any

import click

from room_server.commands.common import run, settings, state_options, telegram_urls
from room_server.commands.table import check_table, table_options, write_table
from room_server.config import PREFIX, Settings
from room_server.core.bindings import Person
from room_server.core.bindings import partner as partner_of
from room_server.state import roster
from room_server.state.startup import open_state
from room_server.token_secret import with_token_secret


@click.group()
def partner() -> None:
    """Print the links of partners.

    \b
    Example:
      room-server partner links > partners.csv
    """


@partner.command()
@table_options("csv", "xlsx")
@state_options
def links(form: str, delimiter: str | None, **flags: Any) -> None:
    """Print a link to the bot for every partner on a roster, as CSV or as a workbook: partner_id, telegram_url.

    A partner who presses Start there hears from then on whether its leads came. Whoever has the link can do that: send
    each to its partner only.

    \b
    Example:
      room-server partner links > partners.csv
    """
    check_table(form, delimiter, "partners")
    found = run(_links(with_token_secret(settings(**flags))))
    if not all(found.values()):
        click.echo(
            "warning: the bot's name is not known, so there are no links yet; a worker with "
            f"{PREFIX}TELEGRAM_TOKEN finds it out at its start",
            err=True,
        )
    lines = [(person.id, url) for person, url in sorted(found.items())]
    write_table(["partner_id", "telegram_url"], lines, form, delimiter)


async def _links(made: Settings) -> dict[Person, str]:
    async with open_state(made) as state:
        known = {partner_of(partner_id) for partner_id in await roster.partners(state.store)}
        urls = await telegram_urls(made, state.store, known)
        return {person: urls.get(person, "") for person in known}
