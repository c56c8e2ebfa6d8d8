"""Tables on stdout, for a program or a spreadsheet: CSV with the delimiter that is asked for, or an Excel workbook."""

import codecs
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from room_server.attendance_report import csv_lines
from room_server.commands.common import Command, with_options

NO_DELIMITERS = "\"\r\n'=+-@0123456789"
UTC = ZoneInfo("UTC")


def table_options(*formats: str) -> Callable[[Command], Command]:
    """`--format`, as `form`, with these values, the first of which is the default; and `--delimiter`."""
    delimiter = "Between the columns of a CSV [default: a comma]. Excel in Russian wants ;."

    def add(command: Command) -> Command:
        return with_options(
            command,
            click.option("--format", "form", type=click.Choice(formats), default=formats[0], show_default=True),
            click.option("--delimiter", metavar="CHAR", help=delimiter),
        )

    return add


def check_table(form: str, delimiter: str | None, example: str) -> None:
    """Raises click.UsageError: for a delimiter that cannot be one, and for a workbook on a terminal."""
    if delimiter is not None and (form != "csv" or len(delimiter) != 1 or delimiter in NO_DELIMITERS):
        raise click.BadParameter("one character between the columns of a CSV: , ; | or a tab", param_hint="--delimiter")
    if form == "xlsx" and sys.stdout.isatty():
        raise click.UsageError(f"a workbook is no text: write it to a file, `… > {example}.xlsx`")


def write_table(header: Sequence[str], lines: Iterable[Sequence[Any]], form: str, delimiter: str | None) -> None:
    """Print a table. A CSV whose delimiter is asked for is for a spreadsheet: it begins with a byte order mark."""
    if form == "xlsx":
        book = Workbook(header)
        book.add(lines)
        sys.stdout.buffer.write(book.content())
        return
    mark = codecs.BOM_UTF8 if delimiter else b""
    end = "\r\n" if delimiter else "\n"
    sys.stdout.buffer.write(mark + csv_lines([header, *lines], delimiter or ",", end=end))


class Workbook:
    """A workbook with one sheet. Texts stay texts whatever they begin with; times are local in `tz`."""

    def __init__(self, header: Sequence[str], tz: ZoneInfo = UTC) -> None:
        import openpyxl  # noqa: PLC0415 - a tenth of a second, which no other command is to pay
        from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415

        self._text_cell, self._illegal = WriteOnlyCell, ILLEGAL_CHARACTERS_RE
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet: Any = self._book.create_sheet("table")
        self._sheet.append(list(header))
        self._tz = tz

    def add(self, lines: Iterable[Sequence[Any]]) -> None:
        """Add these lines."""
        for line in lines:
            self._sheet.append([self._cell(value) for value in line])

    def content(self) -> bytes:
        """The whole file; nothing can be added afterwards."""
        content = io.BytesIO()  # a zip file goes back to its beginning, which a pipe cannot
        self._book.save(content)
        return content.getvalue()

    def _cell(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(self._tz).replace(tzinfo=None, microsecond=0)
        if not isinstance(value, str):
            return value
        cell = self._text_cell(self._sheet, value=self._illegal.sub("", value))
        cell.data_type = "s"  # openpyxl takes a text that begins with = for a formula
        return cell
