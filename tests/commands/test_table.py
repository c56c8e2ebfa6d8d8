"""Tables on stdout: what a program, Excel in Russian and a workbook get."""

import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click
import pytest
from click.testing import CliRunner
from openpyxl import load_workbook

from room_server.commands.table import Workbook, check_table, table_options, write_table

HEADER = ["number", "text"]
LINES = [(1, "Анна"), (2, '"; ,'), (3, "=1+1")]


@click.command()
@table_options("csv", "xlsx")
def command(form: str, delimiter: str | None) -> None:
    """Prints the table."""
    check_table(form, delimiter, "table")
    write_table(HEADER, LINES, form, delimiter)


def printed(*words: str) -> bytes:
    """What the command prints."""
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def test_a_program_gets_plain_csv() -> None:
    assert printed() == 'number,text\n1,Анна\n2,"""; ,"\n3,\'=1+1\n'.encode()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_spreadsheet_gets_its_delimiter_and_a_mark(delimiter: str) -> None:
    assert printed("--delimiter", delimiter).decode().startswith(f"\ufeffnumber{delimiter}text\r\n1{delimiter}Анна\r\n")


def test_a_workbook_has_numbers_and_texts() -> None:
    sheet = load_workbook(io.BytesIO(printed("--format", "xlsx"))).active
    assert sheet is not None

    assert [*sheet.iter_rows(values_only=True)] == [("number", "text"), (1, "Анна"), (2, '"; ,'), (3, "=1+1")]
    assert [cell.data_type for cell in next(sheet.iter_rows(min_row=4))] == ["n", "s"]


def test_times_in_a_workbook_are_local() -> None:
    book = Workbook(["at"], ZoneInfo("Europe/Moscow"))
    book.add([(datetime(2030, 11, 22, 15, 0, 0, 7, tzinfo=UTC),)])
    sheet = load_workbook(io.BytesIO(book.content())).active
    assert sheet is not None

    assert [row[0] for row in sheet.iter_rows(values_only=True)] == ["at", datetime(2030, 11, 22, 18)]


@pytest.mark.parametrize(
    "words", [("--delimiter", ";;"), ("--delimiter", "="), ("--format", "xlsx", "--delimiter", ";")]
)
def test_what_is_no_delimiter_is_refused(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(command, words)

    assert (result.exit_code, "one character between the columns" in result.output) == (2, True)
