"""`room-server roster`: imports registered leads from a CSV file (RFC 4180, UTF-8); prints their personal links.

An import reads its file twice, line by line: first it checks every line, then it stores them.
"""

import csv
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from room_server import auth
from room_server.commands.common import load_room, run, settings, state_options, webinar_argument, with_store
from room_server.config import PREFIX, Settings
from room_server.core.messages import Role
from room_server.core.room import Room, RosterEntry
from room_server.errors import ConfigurationError, InputFileError
from room_server.state import roster as rosters
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.token_secret import with_token_secret

LINK_VALIDITY = timedelta(days=1)
"""How long links are valid after the scheduled time."""
COLUMNS = {
    "lead_id": "a whole number from 1 to 9007199254740991",
    "name": "at most 200 characters",
    "candidate_chat_id": "a Telegram chat id, a whole number",
    "partner_chat_id": "a Telegram chat id, a whole number",
    "locale": "ru or en",
}
"""The columns of the file, and what each may hold."""
MAX_SHOWN = 50
"""Bad lines that an error shows; the rest are counted."""
_TYPES = {field.name: field.type for field in msgspec.structs.fields(RosterEntry)}


@click.group()
def roster() -> None:
    """Import who is registered, and print their links.

    \b
    Examples:
      room-server roster import launch leads.csv
      room-server roster links launch --public-url https://rooms.example.org > links.csv
    """


@roster.command(name="import")
@webinar_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also remove the leads that are not in FILE.")
@state_options
def import_(webinar_id: str, file: Path, replace: bool, **flags: Any) -> None:
    """Import a CSV file with the columns lead_id, name, candidate_chat_id, partner_chat_id, locale.

    lead_id is needed, the others may be empty or left out. Every line is checked before any is stored. A second
    import updates the leads it names and removes nobody, unless --replace is given. Leads that `lead forget` was told
    to forget less than a day ago are left out, and named.

    \b
    Examples:
      room-server roster import launch leads.csv
      room-server roster import launch leads.csv --replace
    """
    try:
        count = check(file)
    except InputFileError as error:
        raise click.ClickException(f"{file}: nothing was imported\n{error}") from error

    async def work(store: Store) -> rosters.ImportResult:
        entries = read_checked(file, count)
        with click.progressbar(entries, count, "importing", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
            return await rosters.import_roster(store, webinar_id, shown, replace)

    done: rosters.ImportResult = with_store(flags, work)
    taken = count - len(done.left_out)
    click.echo(f"{taken} leads imported; the roster of {webinar_id} holds {done.now}, before it held {done.before}")
    if replace:
        click.echo(f"{done.removed} leads removed")
    if done.left_out:
        click.echo(f"{len(done.left_out)} leads left out: `lead forget` was told to forget them less than a day ago")
    for lead, until in done.left_out:
        click.echo(f"lead {lead} can be imported again after {until:%Y-%m-%d %H:%M:%S} UTC")


@roster.command()
@webinar_argument
@click.option("--public-url", metavar="URL", help="The address of this server that people reach.")
@state_options
def links(webinar_id: str, **flags: Any) -> None:
    """Print one personal link per lead, as CSV: lead_id, link. Each holds until a day after the scheduled time.

    Whoever has a link enters as that lead: mail each to its owner only.

    \b
    Example:
      room-server roster links launch --public-url https://rooms.example.org > links.csv
    """
    made = with_token_secret(settings(**flags))
    if made.token_public_key:
        raise ConfigurationError(f"{PREFIX}TOKEN_PUBLIC_KEY is set: whoever holds the private key makes the links")
    room, leads = run(_registered(made, webinar_id))
    valid_until = room.scheduled_at + LINK_VALIDITY
    seconds = int(valid_until.timestamp()) - int(time.time())
    if seconds <= 0:
        ended = f"{valid_until:%Y-%m-%d %H:%M} UTC, a day after its scheduled time"
        raise click.ClickException(f"links of {webinar_id} ended at {ended}")
    base = (made.public_url or _local_url()).rstrip("/")
    click.echo("lead_id,link")
    for lead in leads:
        claims = {"sub": str(lead), "role": Role.ATTENDEE, "webinar_id": webinar_id}
        click.echo(f"{lead},{base}/room/{webinar_id}#token={quote(auth.issue(made, claims, seconds))}")


async def _registered(made: Settings, webinar_id: str) -> tuple[Room, list[int]]:
    async with open_state(made) as state:
        room = await load_room(state.store, webinar_id)
        return room, sorted({entry.lead_id async for entry in rosters.entries(state.store, webinar_id)})


def _local_url() -> str:
    url = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    click.echo(f"warning: {PREFIX}PUBLIC_URL is not set, so the links lead to {url}", err=True)
    return url


def check(file: Path) -> int:
    """How many leads the file holds. Raises InputFileError, naming every bad line."""
    if not file.is_file():
        raise InputFileError(["this is no regular file: it is read twice, so it cannot be a pipe"])
    problems: list[str] = []
    bad = 0
    lines: dict[int, int] = {}
    for number, entry in _entries(file):
        problem = entry if isinstance(entry, str) else None
        if isinstance(entry, RosterEntry) and lines.setdefault(entry.lead_id, number) != number:
            problem = f"lead_id: {entry.lead_id} stands in line {lines[entry.lead_id]} too"
        if problem is not None:
            bad += 1
            problems += [f"line {number}: {problem}"] if bad <= MAX_SHOWN else []
    if problems:
        raise InputFileError([*problems, f"… and {bad - MAX_SHOWN} more"] if bad > MAX_SHOWN else problems)
    return len(lines)


def read_checked(file: Path, count: int) -> Iterator[RosterEntry]:
    """The entries of a file that `check` has counted. Raises InputFileError when the file was changed since."""
    read = 0
    for number, entry in _entries(file):
        read += 1
        if isinstance(entry, str):
            raise InputFileError([f"line {number}: {entry}", "the file was changed meanwhile; nothing was imported"])
        yield entry
    if read != count:
        raise InputFileError([f"the file was changed meanwhile: {count} leads, then {read}; nothing was imported"])


def _entries(file: Path) -> Iterator[tuple[int, RosterEntry | str]]:
    """Each line's number, and its entry or what is wrong with it. Raises InputFileError for a bad first line."""
    rows = _rows(file)
    columns = _columns(next(rows, None))
    for number, row in rows:
        if isinstance(row, str):
            yield number, row
        elif len(row) != len(columns):
            yield number, f"{len(row)} fields, where the first line has {len(columns)}"
        else:
            yield number, _entry(dict(zip(columns, row, strict=True)))


def _rows(file: Path) -> Iterator[tuple[int, list[str] | str]]:
    """The rows that are not empty, each with the number of its first line and its cells, or why it cannot be read.

    Bytes that are not UTF-8 become lone surrogates, so that `_problem` names their field.
    """
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        while True:
            number = reader.line_num + 1
            try:
                cells = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error as error:
                yield number, f"this is no CSV: {error}"
            else:
                if any(cells):
                    yield number, cells


def _columns(first: tuple[int, list[str] | str] | None) -> list[str]:
    """The names of the columns by the first row. Raises InputFileError."""
    if first is None:
        raise InputFileError([f"the file is empty; its first line names the columns {', '.join(COLUMNS)}"])
    columns = first[1]
    if isinstance(columns, str):
        raise InputFileError([f"line 1: {columns}"])
    found = ",".join(columns)
    if not found.replace("\t", "").isprintable():
        raise InputFileError(["line 1: this is no text in UTF-8; save the file as CSV UTF-8"])
    if len(columns) == 1 and (";" in found or "\t" in found):
        raise InputFileError(["line 1: the columns are separated by commas, and by nothing else"])
    if not {"lead_id"} <= set(columns) <= COLUMNS.keys() or len(set(columns)) < len(columns):
        raise InputFileError([f"line 1: expected the columns {', '.join(COLUMNS)}, each once; found {found}"])
    return columns


def _entry(row: dict[str, str]) -> RosterEntry | str:
    """The entry of a row, or all that is wrong with it, field by field."""
    cells = {name: cell for name, cell in row.items() if cell}
    problems = [f"{name}: {problem}" for name, cell in cells.items() if (problem := _problem(name, cell))]
    if "lead_id" not in cells:
        problems.append(f"lead_id: expected {COLUMNS['lead_id']}, and nothing is here")
    return "; ".join(problems) if problems else msgspec.convert(cells, RosterEntry, strict=False)


def _problem(name: str, cell: str) -> str | None:
    """What is wrong with a cell. A chat id that a spreadsheet rounded (1.2E+11) would be another chat."""
    if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
        return "this is no text in UTF-8"
    try:
        if name.endswith("_id") and not re.fullmatch(r"-?[0-9]+", cell):
            raise ValueError
        msgspec.convert(cell, _TYPES[name], strict=False)
    except ValueError:
        return f"expected {COLUMNS[name]}, not {cell[:40]!r}"
    return None
