"""`room-server attendance …`: who came."""

import csv
import io
import re
import sys
from typing import Any

import click
import msgspec

from room_server.commands.common import state_options, webinar_argument, with_store
from room_server.core.messages import MessageKind
from room_server.errors import webinar_unknown
from room_server.jobs import attendance_report
from room_server.jobs.attendance_report import AttendanceRow
from room_server.state.store import Store

COLUMNS = ["lead_id", "name", "entered_at", "completed_at", "attended", "route"]
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""What a spreadsheet would take for the beginning of a formula (OWASP, CSV Injection), also in its full-width form."""


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
        if (await store.load(webinar_id)).room is None:
            raise webinar_unknown(webinar_id)
        return await attendance_report.attendance(store, webinar_id)

    lines: list[AttendanceRow] = with_store(flags, work)
    out = sys.stdout.buffer
    out.write(msgspec.json.encode(lines) + b"\n" if form == "json" else as_csv(lines))


def as_csv(lines: list[AttendanceRow]) -> bytes:
    """CSV that spreadsheets open well: UTF-8 with a byte order mark, nothing that runs as a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, *(f"{kind}_{what}" for kind in MessageKind for what in ("status", "at", "error"))])
    for line in lines:
        fields = msgspec.to_builtins(line)
        messages = {message["kind"]: message for message in fields["messages"]}
        told = [messages.get(kind, {}).get(what) for kind in MessageKind for what in ("status", "at", "error")]
        writer.writerow([_cell(value) for value in [*(fields[name] for name in COLUMNS), *told]])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return f"'{text}" if FORMULA.match(text) else text
