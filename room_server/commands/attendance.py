"""`room-server attendance …`: who came."""

import io
import sys
from collections.abc import AsyncIterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from room_server import attendance_report
from room_server.attendance_report import AttendanceRow
from room_server.commands.common import Zone, load_room, state_options, webinar_argument, with_store
from room_server.state.store import Store

NO_DELIMITERS = "\"\r\n'=+-@0123456789"


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

    async def work(store: Store) -> None:
        await load_room(store, webinar_id)
        leads = await attendance_report.lead_ids(store, webinar_id)
        rows = attendance_report.slices(store, webinar_id, leads)
        match form:
            case "json":
                await write(attendance_report.as_json(rows))
                click.echo()
            case "xlsx":
                await write_xlsx(rows, tz or ZoneInfo("UTC"))
            case _:
                await write(attendance_report.as_csv(rows, delimiter or ",", tz))

    with_store(flags, work)


async def write(parts: AsyncIterable[bytes]) -> None:
    """Write these bytes to stdout as they come, whatever the locale."""
    async for part in parts:
        sys.stdout.buffer.write(part)


async def write_xlsx(parts: AsyncIterable[list[AttendanceRow]], tz: ZoneInfo) -> None:
    """Write a workbook with one sheet; times are local in `tz`, texts stay texts whatever they begin with."""
    from openpyxl import Workbook  # noqa: PLC0415 - a tenth of a second, which no other command is to pay

    made = Workbook(write_only=True)
    sheet = made.create_sheet("attendance")
    sheet.append(attendance_report.HEADER)
    async for rows in parts:
        for row in rows:
            sheet.append([_cell(sheet, value, tz) for value in attendance_report.cells(row)])
    content = io.BytesIO()  # a zip file goes back to its beginning, which a pipe cannot
    made.save(content)
    sys.stdout.buffer.write(content.getvalue())


def _cell(sheet: Any, value: Any, tz: ZoneInfo) -> Any:
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415

    if isinstance(value, datetime):
        return value.astimezone(tz).replace(tzinfo=None, microsecond=0)
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"  # openpyxl takes a text that begins with = for a formula
    return cell
