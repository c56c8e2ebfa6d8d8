"""`room-server roster`: imports registered leads from a spreadsheet, withdraws leads, prints their personal links."""

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click

from room_server import auth
from room_server.commands.common import (
    OPERATOR,
    counted,
    load_room,
    run,
    settings,
    state_options,
    telegram_urls,
    webinar_argument,
    with_store,
    with_transactions,
)
from room_server.commands.roster_file import RosterFile
from room_server.commands.table import check_table, table_options, write_table
from room_server.commands.token import Span
from room_server.config import PREFIX, Settings
from room_server.core.bindings import Person, lead
from room_server.core.messages import MAX_LEAD_ID, Role
from room_server.core.registration import Lead
from room_server.core.site_hooks import WithdrawLeads
from room_server.errors import ConfigurationError, InputFileError
from room_server.operations.leads import Withdrawn, import_leads
from room_server.operations.leads import withdraw as operate
from room_server.state import roster as rosters
from room_server.state import short_links
from room_server.state.short_links import LINK_VALIDITY
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.token_secret import with_token_secret

COLUMNS = ["lead_id", "link", "short_url", "telegram_url"]
"""Of `roster links`."""


@click.group()
def roster() -> None:
    """Import who is registered, take leads off, and print their links.

    \b
    Examples:
      room-server roster import launch leads.csv
      room-server roster links launch --public-url https://rooms.example.org > links.csv
    """


@roster.command(name="import")
@webinar_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also remove the leads that are not in FILE.")
@click.option("--ignore-columns", is_flag=True, help="Skip columns that are none of a roster's.")
@state_options
def import_(webinar_id: str, file: Path, replace: bool, ignore_columns: bool, **flags: Any) -> None:
    """Import a spreadsheet (.csv or .xlsx) of leads.

    Its columns are lead_id, which is needed, name, candidate_chat_id, partner_chat_id, partner_id and locale. Column
    names may be Russian (Имя, Язык, …) and in capitals. A .csv may be UTF-8, UTF-16 or Windows-1251, with commas,
    semicolons or tabs; which it is is found out, and said on stderr. Every line is checked before any is stored. A
    second import updates the leads it names and removes nobody, unless --replace is given: a column that is left out
    leaves what is known of them, an empty cell clears it. Leads that `lead forget` was told to forget less than a day
    ago are left out, and named. After the end of the webinar new leads count as absent, and get their messages at once.

    \b
    Examples:
      room-server roster import launch leads.csv
      room-server roster import launch leads.csv --replace
    """
    leads = RosterFile(file, ignore_columns)
    try:
        count = leads.check()
    except InputFileError as error:
        read = f" (read as {', '.join(leads.found)})" if leads.found else ""
        raise click.ClickException(f"{file}: nothing was imported{read}\n{error}") from error

    def entries() -> Iterator[Lead]:
        read = leads.entries(count)
        with click.progressbar(read, count, "importing", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
            yield from shown

    async def work(store: Store) -> rosters.ImportResult:
        is_over = (await load_room(store, webinar_id)).finished_at is not None
        imported = await import_leads(store, webinar_id, entries, replace)
        if imported.added and is_over:
            click.echo(f"warning: {webinar_id} is over: its new leads count as absent, and get messages", err=True)
        return imported

    done: rosters.ImportResult = with_store(flags, work)
    click.echo(f"{file} was read as {', '.join(leads.found)}", err=True)
    _tell(webinar_id, count - len(done.left_out), done, replace)


def _tell(webinar_id: str, taken: int, done: rosters.ImportResult, replace: bool) -> None:
    """Print what an import did, and whom it left out."""
    click.echo(
        f"{counted(taken, 'lead')} imported; the roster of {webinar_id} holds {done.now}, before it held {done.before}"
    )
    if replace:
        click.echo(f"{counted(done.removed, 'lead')} removed")
    if done.left_out:
        left_out = counted(len(done.left_out), "lead")
        click.echo(f"{left_out} left out: `lead forget` was told to forget them less than a day ago")
    for lead_id, until in done.left_out:
        click.echo(f"lead {lead_id} can be imported again after {until:%Y-%m-%d %H:%M:%S} UTC")


@roster.command()
@webinar_argument
@click.argument("lead_ids", metavar="N…", nargs=-1, required=True, type=click.IntRange(1, MAX_LEAD_ID))
@state_options
def withdraw(webinar_id: str, lead_ids: tuple[int, ...], **flags: Any) -> None:
    """Take leads N… off a roster: nobody evaluates them, and their short links end.

    Who has entered stays. A lead's link with a token stays valid until it expires.

    \b
    Example:
      room-server roster withdraw launch 42 43
    """
    hook = WithdrawLeads(webinar_id=webinar_id, lead_ids=lead_ids)
    done: Withdrawn = with_transactions(flags, lambda transactions: operate(transactions, OPERATOR, hook))
    click.echo(f"{counted(len(done.removed), 'lead')} withdrawn from {webinar_id}")
    if done.kept:
        click.echo(f"stay, because they have entered: {', '.join(map(str, done.kept))}")


@roster.command()
@webinar_argument
@click.option("--public-url", metavar="URL", help="The address of this server that people reach.")
@click.option(
    "--valid",
    type=Span(),
    default=f"{LINK_VALIDITY.days}d",
    show_default=True,
    help="How long after the planned time they hold: 12h, 30d.",
)
@click.option("--names", is_flag=True, help="Also a column with each lead's name.")
@table_options("csv", "xlsx")
@state_options
def links(webinar_id: str, valid: int, names: bool, **options: Any) -> None:
    """Print personal links of each lead, as CSV or as a workbook: lead_id, link, short_url, telegram_url.

    Each holds until 14 days after the planned time, so links outlive a webinar that is moved by less than that.
    short_url leads to the same room, for mailers that drop what follows the # of a link. Each call makes new ones; the
    old ones hold too, up to twenty per lead. `lead forget` ends them. Whoever has a link enters as that lead: mail each
    to its owner only. telegram_url opens the bot, which then knows the lead's chat, for all webinars; it is empty until
    a worker has found out the bot's name.

    \b
    Examples:
      room-server roster links launch --public-url https://rooms.example.org > links.csv
      room-server roster links launch --valid 30d > links.csv
      room-server roster links launch --names --delimiter ";" > links.csv
      room-server roster links launch --names --format xlsx > links.xlsx
    """
    form, delimiter = options.pop("form"), options.pop("delimiter")
    check_table(form, delimiter, "links")
    made = with_token_secret(settings(**options))
    if made.token_public_key:
        raise ConfigurationError(f"{PREFIX}TOKEN_PUBLIC_KEY is set: whoever holds the private key makes the links")
    found = run(_links(made, webinar_id, timedelta(seconds=valid)))
    base = (made.public_url or _local_url()).rstrip("/")
    lines = [[*line, found.names[line[0]]] if names else line for line in _lines(made, webinar_id, base, found)]
    write_table([*COLUMNS, "name"] if names else COLUMNS, lines, form, delimiter)


def _lines(made: Settings, webinar_id: str, base: str, found: "Links") -> Iterator[list[Any]]:
    """What is printed of each lead, in the order of COLUMNS."""
    seconds = found.expires_at - int(time.time())
    for lead_id, code in found.codes.items():
        claims = {"sub": str(lead_id), "role": Role.ATTENDEE, "webinar_id": webinar_id}
        token = quote(auth.issue(made, claims, seconds))
        telegram = found.telegram.get(lead(lead_id), "")
        yield [lead_id, f"{base}/room/{webinar_id}#token={token}", f"{base}/r/{code}", telegram]


class Links(NamedTuple):
    """What the links of a webinar's leads are made of."""

    expires_at: int
    """Until when they hold, Unix seconds."""
    codes: dict[int, str]
    """Of each lead's new short link."""
    telegram: dict[Person, str]
    names: dict[int, str]


async def _links(made: Settings, webinar_id: str, valid: timedelta) -> Links:
    """Make them, for every lead on the roster. Raises click.ClickException, Unknown, StateUnavailable."""
    async with open_state(made) as state:
        valid_until = (await load_room(state.store, webinar_id)).scheduled_at + valid
        expires_at = int(valid_until.timestamp())
        if expires_at <= time.time():
            ended = f"{valid_until:%Y-%m-%d %H:%M} UTC, counted from its planned time"
            raise click.ClickException(f"links of {webinar_id} would have ended at {ended}; see --valid")
        names = {entry.lead_id: entry.name async for entry in rosters.entries(state.store, webinar_id)}
        codes = await short_links.save(state.store, webinar_id, sorted(names), expires_at)
        return Links(expires_at, codes, await telegram_urls(made, state.store, map(lead, names)), names)


def _local_url() -> str:
    url = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    click.echo(f"warning: {PREFIX}PUBLIC_URL is not set, so the links lead to {url}", err=True)
    return url
