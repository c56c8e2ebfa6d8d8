"""`room-server roster …`: who is registered for a webinar."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from room_server.commands.common import state_options, with_store
from room_server.core.room import RosterEntry
from room_server.errors import InputFileError
from room_server.state import roster as rosters
from room_server.state.store import Store

COLUMNS = ("lead_id", "name", "candidate_chat_id", "partner_chat_id", "locale")
SHOWN = 50
"""Bad lines that are shown; the rest are counted."""


@click.group()
def roster() -> None:
    """Import who is registered, and print their links."""


@roster.command(name="import")
@click.argument("webinar_id", metavar="ID")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also remove the leads that are not in FILE.")
@state_options
def import_(webinar_id: str, file: Path, replace: bool, **flags: Any) -> None:
    """Import a CSV file with the columns lead_id, name, candidate_chat_id, partner_chat_id, locale.

    Every line is checked before any is stored. A second import updates the leads it names and removes nobody.

    \b
    Example:
      room-server roster import launch leads.csv
    """
    try:
        count = sum(1 for _ in checked(file))
    except InputFileError as error:
        raise click.ClickException(f"{file}: nothing was imported\n{error}") from error

    async def work(store: Store) -> rosters.Imported:
        with click.progressbar(checked(file), length=count, label="importing", file=sys.stderr) as entries:
            return await rosters.adopt(store, webinar_id, entries, replace)

    done: rosters.Imported = with_store(flags, work)
    click.echo(f"{count} leads imported; the roster of {webinar_id} holds {done.now}, before it held {done.before}")


def checked(file: Path) -> Iterator[RosterEntry]:
    """The entries of a file, line by line. Raises InputFileError with every bad line, once all were read."""
    problems: list[str] = []
    seen: dict[int, int] = {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        _check_columns(reader.fieldnames)
        for row in reader:
            try:
                entry = parse(row)
                if entry.lead_id in seen:
                    raise ValueError(f"lead_id: {entry.lead_id} stands in line {seen[entry.lead_id]} too")
                seen[entry.lead_id] = reader.line_num
            except ValueError as error:
                problems.append(f"line {reader.line_num}: {error}")
            else:
                if not problems:
                    yield entry
    if problems:
        more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise InputFileError(problems[:SHOWN] + more)


def _check_columns(found: Any) -> None:
    missing = [name for name in COLUMNS[:1] if name not in (found or ())]
    unknown = [name for name in (found or ()) if name not in COLUMNS]
    if missing or unknown:
        raise InputFileError([f"line 1: expected the columns {', '.join(COLUMNS)}; found {', '.join(found or ())}"])


def parse(row: dict[str, Any]) -> RosterEntry:
    """One line. Raises ValueError, naming the field."""
    if None in row or None in row.values():
        raise ValueError("this line has another number of columns than the first")
    said = {name: value.strip() for name, value in row.items() if value.strip()}
    try:
        return msgspec.convert(said, RosterEntry, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
