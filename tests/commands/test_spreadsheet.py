"""What spreadsheets write: encodings, separators, workbooks, and what stands around a number."""

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from room_server.commands import spreadsheet
from room_server.commands.spreadsheet import MAX_XLSX, Row, clean, encoding_of, read
from room_server.errors import InputFileError

TEXT = "lead_id;Имя\n1;Анна\n"


def table(file: Path, content: bytes) -> tuple[list[Row], list[str]]:
    """The rows of a file that holds this, and what was found out about it."""
    file.write_bytes(content)
    rows, found = read(file)
    return list(rows), found


def workbook(file: Path, *rows: list[Any]) -> list[list[str]]:
    """The cells that are read of a workbook with these rows."""
    made = Workbook()
    assert made.active is not None
    for row in rows:
        made.active.append(row)
    made.create_sheet("another").append(["not", "read"])
    made.save(file)
    return [row.cells for row in read(file).rows]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("cp1251"), "Windows-1251"),
    ],
)
def test_the_encoding_is_found_out(tmp_path: Path, content: bytes, found: str) -> None:
    expected = [Row(1, ["lead_id", "Имя"]), Row(2, ["1", "Анна"])]

    assert table(tmp_path / "leads.csv", content) == (expected, [found, "semicolons"])


def test_a_sample_that_ends_inside_a_letter_is_still_utf_8() -> None:
    assert encoding_of("lead_id;Имя".encode()[:-1]) == "utf-8-sig"


@pytest.mark.parametrize(
    ("first", "found"),
    [("a,b", "commas"), ("a;b", "semicolons"), ("a\tb", "tabs"), ('"a,b,c";d', "semicolons"), ("a", "commas")],
)
def test_the_separator_is_found_out(tmp_path: Path, first: str, found: str) -> None:
    assert table(tmp_path / "leads.csv", f"\n;;\n{first}\n".encode() if ";" in first else first.encode())[1][1] == found


def test_empty_rows_and_empty_cells_at_the_end_are_left_out_and_rows_are_counted_as_an_editor_does(
    tmp_path: Path,
) -> None:
    rows, _ = table(tmp_path / "leads.csv", b'a,b,,\n,,,\n"1\n2",x\n\n3,,\n')

    assert rows == [Row(1, ["a", "b"]), Row(3, ["1\n2", "x"]), Row(6, ["3"])]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ('="79161234567"', "79161234567"),
        ("'79161234567", "79161234567"),
        ("'=name", "=name"),
        ("\u00a079\u00a0161\u00a0234\u00a0567\u00a0", "79161234567"),
        ("-1\u202f001\u202f234", "-1001234"),
        ("7.0", "7"),
        ("7,00", "7"),
        ("\ufeffАнна\u200b", "Анна"),
        ("7,9E+10", "7,9E+10"),
        ("7.5", "7.5"),
        ("79 161", "79 161"),
        ("O'Neil", "O'Neil"),
        ("'Анна", "'Анна"),
    ],
)
def test_what_stands_around_a_number_is_taken_off_and_no_digit_is_changed(cell: str, meant: str) -> None:
    assert clean(cell) == meant


def test_the_first_sheet_of_a_workbook_is_read_and_keeps_every_digit(tmp_path: Path) -> None:
    rows = workbook(
        tmp_path / "leads.xlsx",
        ["lead_id", "Имя", "chat", None],
        [1, "Анна", 79161234567, None],
        [2.0, "Борис", -1001234567890, None],
        [None, None, None, None],
        [9007199254740991, "=name", 1.5, datetime(2026, 11, 25, 18)],
    )

    assert rows[1:3] == [["1", "Анна", "79161234567"], ["2", "Борис", "-1001234567890"]]
    assert rows[3][0] == "9007199254740991"
    assert rows[3][2:] == ["1.5", "2026-11-25T18:00:00"]


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("xl/worksheets/sheet1.xml", "w") as part,
    ):
        for _ in range(MAX_XLSX // 2**20 + 1):
            part.write(b" " * 2**20)

    with pytest.raises(InputFileError, match="bytes unpacked"):
        list(read(bomb).rows)


def test_a_broken_workbook_is_refused(tmp_path: Path) -> None:
    workbook(tmp_path / "leads.xlsx", ["lead_id"], [1])
    whole = (tmp_path / "leads.xlsx").read_bytes()
    (tmp_path / "leads.xlsx").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InputFileError, match="no Excel workbook"):
        list(read(tmp_path / "leads.xlsx").rows)


def test_no_other_command_pays_for_workbooks() -> None:
    assert not hasattr(spreadsheet, "load_workbook")
