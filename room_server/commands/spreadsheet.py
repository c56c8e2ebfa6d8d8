"""A table as Excel, Numbers, Google Sheets and CRMs save it, read row by row as text.

A `.csv` (RFC 4180) may be UTF-8, UTF-16 or Windows-1251, with commas, semicolons or tabs: which of them is found out
from its bytes and its first line. Of an `.xlsx` the first sheet is read, by openpyxl. Nothing is guessed about what a
cell means; `clean` takes off what spreadsheets put around a number to keep it as text.
"""

import codecs
import csv
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any, NamedTuple

from room_server.errors import InputFileError

MAX_XLSX = 256 * 1024 * 1024
"""Bytes of an `.xlsx` once it is unpacked: 100,000 leads take a tenth."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SAMPLE = 1024 * 1024
"""Bytes that the encoding is judged by; a file that turns out otherwise later is refused by its line."""
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NAMES = {
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1251": "Windows-1251",
}
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A first line by which Excel is told the separator."""
_BLANK = " \t\r\n\u00a0\u202f\u2007\u200b\u2060\ufeff"
_AS_TEXT = re.compile(r'="([^"]*)"')
_GROUPED = re.compile("[+-]?[0-9]{1,3}(?:[\u00a0\u202f][0-9]{3})+")
_WHOLE = re.compile(r"([+-]?[0-9]+)[.,]0+")


class Row(NamedTuple):
    """A row of text; `number` is that of its first line in the file, `fault` says why it cannot be read."""

    number: int
    cells: list[str]
    fault: str | None = None


class Table(NamedTuple):
    """The rows that hold anything, and what was found out about the file, for the person who brought it."""

    rows: Iterator[Row]
    found: list[str]


def read(file: Path) -> Table:
    """The table in a `.csv` or `.xlsx`; its rows may be read once. Raises InputFileError."""
    with file.open("rb") as opened:
        start = opened.read(SAMPLE)
    if start.startswith(b"PK\x03\x04"):
        return Table(_sheet(file), ["Excel workbook"])
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputFileError(["this is an old Excel workbook (.xls); save it as .xlsx or as CSV"])
    encoding = encoding_of(start)
    text = codecs.decode(start, encoding, _errors_of(encoding))
    separator = separator_of(text)
    return Table(_lines(file, encoding, separator), [_NAMES[encoding], SEPARATORS.get(separator, repr(separator))])


def encoding_of(start: bytes) -> str:
    """The encoding of a text that begins so, by Python's name. One that nothing else explains is `utf-8-sig`."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if start[1:2] == b"\0" or start[:1] == b"\0":
        return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
    text = start.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= letter <= "\udcff" for letter in text[:-4])  # the sample may end inside a letter
    good = sum(letter > "\x7f" for letter in text) - bad
    return "cp1251" if bad > good else "utf-8-sig"  # Cyrillic in Windows-1251 makes hardly any letter of UTF-8


def _errors_of(encoding: str) -> str:
    """How bytes that are no text are decoded: those of UTF-8 to lone surrogates, so that their cell can be named."""
    return "surrogateescape" if encoding == "utf-8-sig" else "replace"


def separator_of(text: str) -> str:
    """What separates the columns of the first line that holds anything."""
    if told := _SEPARATOR_LINE.match(text.lstrip("\ufeff")):
        return told[1]
    first = next((line for line in text.splitlines() if line.strip(_BLANK + ",;\t")), "")
    counted = Counter({mark: re.sub(r'"[^"]*"', "", first).count(mark) for mark in SEPARATORS})
    return counted.most_common(1)[0][0]


def _lines(file: Path, encoding: str, separator: str) -> Iterator[Row]:
    """The rows of a CSV."""
    with file.open(encoding=encoding, errors=_errors_of(encoding), newline="") as text:
        skipped = 0
        if _SEPARATOR_LINE.match(text.readline().lstrip("\ufeff")):
            skipped = 1
        else:
            text.seek(0)
        reader = csv.reader(text, delimiter=separator, strict=True)
        while True:
            number = reader.line_num + skipped + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, [], f"this is no CSV: {error}")
            else:
                yield from _row(number, cells)


def _sheet(file: Path) -> Iterator[Row]:
    """The rows of the first sheet of a workbook. Raises InputFileError."""
    from openpyxl import load_workbook  # noqa: PLC0415 - a tenth of a second, which no other command is to pay

    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(part.file_size for part in packed.infolist())
        if size > MAX_XLSX:
            raise InputFileError([f"the workbook holds {size} bytes unpacked, and at most {MAX_XLSX} are read"])
        workbook = load_workbook(file, read_only=True, data_only=True)
    except InputFileError:
        raise
    except Exception as error:  # openpyxl and zipfile raise whatever a broken part leads to
        raise InputFileError([f"this is no Excel workbook (.xlsx): {error}"]) from error
    try:
        for number, values in enumerate(workbook.worksheets[0].iter_rows(values_only=True), start=1):
            yield from _row(number, [_text(value) for value in values])
    finally:
        workbook.close()


def _text(value: Any) -> str:
    """A cell of a workbook as text. A number keeps every digit that Excel keeps, which are fifteen."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _row(number: int, cells: list[str]) -> Iterator[Row]:
    """The row without the empty cells at its end; nothing when all are."""
    cleaned = [clean(cell) for cell in cells]
    while cleaned and not cleaned[-1]:
        cleaned.pop()
    if cleaned:
        yield Row(number, cleaned)


def clean(cell: str) -> str:
    """The cell without blanks around it, and without what spreadsheets put into a number or around it.

    `="79161234567"`, `'79161234567`, `79 161 234 567` with no-break spaces, and `7.0` are numbers kept as text. What
    has lost a digit, such as `7,9E+10`, stays as it is: whoever reads it as a number refuses it.
    """
    cell = cell.strip(_BLANK)
    if told := _AS_TEXT.fullmatch(cell):
        cell = told[1].strip(_BLANK)
    if re.match(r"'[=+\-@0-9]", cell):
        cell = cell[1:]
    if _GROUPED.fullmatch(cell):
        cell = re.sub("[\u00a0\u202f]", "", cell)
    whole = _WHOLE.fullmatch(cell)
    return whole[1] if whole else cell
