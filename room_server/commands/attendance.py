"""`room-server attendance`: the attendance report as CSV or JSON."""

import csv
import io
import re
import sys
from typing import Any

import click
import msgspec

from room_server.commands.common import load_room, state_options, webinar_argument, with_store
from room_server.core.messages import MessageKind
from room_server.jobs import attendance_report
from room_server.jobs.attendance_report import AttendanceRow
from room_server.state.store import Store

COLUMNS = ["lead_id", "name", "entered_at", "completed_at", "attended", "route"]
MESSAGE_COLUMNS = [(kind, name) for kind in MessageKind for name in ("status", "at", "error")]
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""How a cell begins that a spreadsheet would run as a formula (OWASP, CSV Injection), full-width forms included."""


@click.group()
def attendance() -> None:
    """Read who came, and what became of the messages.

    \b
    Example:
      room-server attendance export launch > attendance.csv
    """


@attendance.command()
@webinar_argument
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@state_options
def export(webinar_id: str, form: str, **flags: Any) -> None:
    """Print one line per lead of the roster or who entered.

    \b
    Examples:
      room-server attendance export launch > attendance.csv
      room-server attendance export launch --format json
    """

    async def work(store: Store) -> list[AttendanceRow]:
        await load_room(store, webinar_id)
        return await attendance_report.attendance(store, webinar_id)

    rows: list[AttendanceRow] = with_store(flags, work)
    out = sys.stdout.buffer
    out.write(msgspec.json.encode(rows) + b"\n" if form == "json" else as_csv(rows))


def as_csv(rows: list[AttendanceRow]) -> bytes:
    """CSV for spreadsheets: UTF-8 with a byte order mark, and no cell that runs as a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, *(f"{kind}_{name}" for kind, name in MESSAGE_COLUMNS)])
    for row in rows:
        fields = msgspec.to_builtins(row)
        messages = {message["kind"]: message for message in fields["messages"]}
        values = [messages.get(kind, {}).get(name) for kind, name in MESSAGE_COLUMNS]
        writer.writerow([_cell(value) for value in [*(fields[name] for name in COLUMNS), *values]])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return f"'{text}" if FORMULA.match(text) else text
