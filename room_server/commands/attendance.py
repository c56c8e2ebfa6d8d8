"""`room-server attendance …`: who came."""

import csv
import io
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from room_server.commands.common import Zone, load_room, state_options, webinar_argument, with_store
from room_server.core.messages import MessageKind
from room_server.jobs import attendance_report
from room_server.jobs.attendance_report import AttendanceRow
from room_server.state.store import Store

COLUMNS = ["lead_id", "name", "entered_at", "completed_at", "attended", "route"]
MESSAGE_COLUMNS = ["status", "at", "error"]
NO_DELIMITERS = "\"\r\n'=+-@0123456789"
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
@click.option("--format", "form", type=click.Choice(["csv", "json", "xlsx"]), default="csv", show_default=True)
@click.option(
    "--delimiter", metavar="CHAR", help="Between the columns of a CSV [default: a comma]. Excel in Russian wants ;."
)
@click.option(
    "--tz", type=Zone(), help="Local times as a spreadsheet reads them, such as Europe/Moscow [default: UTC]."
)
@state_options
def export(webinar_id: str, form: str, delimiter: str | None, tz: ZoneInfo | None, **flags: Any) -> None:
    """Print one line per lead of the roster or who entered.

    \b
    Examples:
      room-server attendance export launch > attendance.csv
      room-server attendance export launch --delimiter ";" --tz Europe/Moscow > attendance.csv
      room-server attendance export launch --format xlsx --tz Europe/Moscow > attendance.xlsx
      room-server attendance export launch --format json
    """
    if delimiter is not None and (form != "csv" or len(delimiter) != 1 or delimiter in NO_DELIMITERS):
        raise click.BadParameter("one character between the columns of a CSV: , ; | or a tab", param_hint="--delimiter")
    if tz is not None and form == "json":
        raise click.BadParameter("JSON has its times in UTC (RFC 3339)", param_hint="--tz")
    if form == "xlsx" and sys.stdout.isatty():
        raise click.UsageError("a workbook is no text: write it to a file, `… > attendance.xlsx`")

    async def work(store: Store) -> list[AttendanceRow]:
        await load_room(store, webinar_id)
        return await attendance_report.attendance(store, webinar_id)

    rows: list[AttendanceRow] = with_store(flags, work)
    match form:
        case "json":
            content = msgspec.json.encode(rows) + b"\n"
        case "xlsx":
            content = as_xlsx(rows, tz or ZoneInfo("UTC"))
        case _:
            content = as_csv(rows, delimiter or ",", tz)
    sys.stdout.buffer.write(content)


def table(rows: list[AttendanceRow]) -> Iterator[list[Any]]:
    """The heads of the columns, then the values of each lead."""
    yield [*COLUMNS, *(f"{kind}_{what}" for kind in MessageKind for what in MESSAGE_COLUMNS)]
    for row in rows:
        messages = {message.kind: message for message in row.messages}
        yield [
            *(getattr(row, name) for name in COLUMNS),
            *(getattr(messages.get(kind), what, None) for kind in MessageKind for what in MESSAGE_COLUMNS),
        ]


def as_csv(rows: list[AttendanceRow], delimiter: str = ",", tz: ZoneInfo | None = None) -> bytes:
    """CSV that spreadsheets open well: UTF-8 with a byte order mark, nothing that runs as a formula.

    Times are RFC 3339 in UTC; with `tz` they are local and in the form that a spreadsheet takes for a time.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    for values in table(rows):
        writer.writerow([_cell(value, tz) for value in values])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Any, tz: ZoneInfo | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(tz):%Y-%m-%d %H:%M:%S}" if tz else str(msgspec.to_builtins(value))
    return f"'{value}" if FORMULA.match(str(value)) else str(value)


def as_xlsx(rows: list[AttendanceRow], tz: ZoneInfo) -> bytes:
    """A workbook with one sheet; times are local in `tz`, texts stay texts whatever they begin with."""
    from openpyxl import Workbook  # noqa: PLC0415 - a tenth of a second, which no other command is to pay
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415

    made = Workbook(write_only=True)
    sheet = made.create_sheet("attendance")
    for values in table(rows):
        cells = []
        for value in values:
            text = ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else None
            cells.append(WriteOnlyCell(sheet, value=_local(value, tz) if text is None else text))
            if text is not None:
                cells[-1].data_type = "s"  # openpyxl takes a text that begins with = for a formula
        sheet.append(cells)
    content = io.BytesIO()
    made.save(content)
    return content.getvalue()


def _local(value: Any, tz: ZoneInfo) -> Any:
    return value.astimezone(tz).replace(tzinfo=None, microsecond=0) if isinstance(value, datetime) else value
