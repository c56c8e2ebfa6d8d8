"""`room-server attendance …`: who came."""

import sys
from collections.abc import AsyncIterable
from typing import Any
from zoneinfo import ZoneInfo

import click

from room_server import attendance_report
from room_server.attendance_report import AttendanceRow
from room_server.commands.common import Zone, load_room, state_options, webinar_argument, with_store
from room_server.commands.table import UTC, Workbook, check_table, table_options
from room_server.state.store import Store


@click.group()
def attendance() -> None:
    """Read who came, and what became of the messages.

    \b
    Example:
      room-server attendance export launch > attendance.csv
    """


@attendance.command()
@webinar_argument
@table_options("csv", "json", "xlsx")
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
    check_table(form, delimiter, "attendance")
    if tz is not None and form == "json":
        raise click.BadParameter("JSON has its times in UTC (RFC 3339)", param_hint="--tz")

    async def work(store: Store) -> None:
        await load_room(store, webinar_id)
        leads = await attendance_report.lead_ids(store, webinar_id)
        rows = attendance_report.slices(store, webinar_id, leads)
        match form:
            case "json":
                await write(attendance_report.as_json(rows))
                click.echo()
            case "xlsx":
                await write_xlsx(rows, tz or UTC)
            case _:
                await write(attendance_report.as_csv(rows, delimiter or ",", tz))

    with_store(flags, work)


async def write(parts: AsyncIterable[bytes]) -> None:
    """Write these bytes to stdout as they come, whatever the locale."""
    async for part in parts:
        sys.stdout.buffer.write(part)


async def write_xlsx(parts: AsyncIterable[list[AttendanceRow]], tz: ZoneInfo) -> None:
    """Write a workbook with one sheet; times are local in `tz`."""
    book = Workbook(attendance_report.HEADER, tz)
    async for rows in parts:
        book.add(map(attendance_report.cells, rows))
    sys.stdout.buffer.write(book.content())
