"""A roster as a CSV file (RFC 4180, UTF-8), read line by line: whatever is wrong is named by line and field."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from room_server.core.room import RosterEntry
from room_server.errors import InputFileError

COLUMNS = ("lead_id", "name", "candidate_chat_id", "partner_chat_id", "locale")
RIGHT = {
    "lead_id": "a whole number from 1 to 9007199254740991",
    "name": "at most 200 characters",
    "candidate_chat_id": "a Telegram chat id, a whole number",
    "partner_chat_id": "a Telegram chat id, a whole number",
    "locale": "ru or en",
}
SHOWN = 50
"""Bad lines that are shown; the rest are counted."""
_WHOLE = re.compile(r"-?[0-9]+")
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(RosterEntry)}


class Row(NamedTuple):
    """A line of the file; `number` is that of its first line of text, `fault` says why it cannot be read."""

    number: int
    cells: list[str]
    fault: str | None = None


class Problems:
    """What is wrong, as far as it is shown."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = 0

    def add(self, number: int, what: str) -> None:
        """One more; only the first are kept."""
        if len(self._lines) < SHOWN:
            self._lines.append(f"line {number}: {what}")
        else:
            self._more += 1

    def check(self) -> None:
        """Raises InputFileError when there are any."""
        if self._lines:
            raise InputFileError([*self._lines, f"… and {self._more} more"] if self._more else self._lines)


def check(file: Path) -> int:
    """How many leads the file holds. Raises InputFileError with every bad line."""
    if not file.is_file():
        raise InputFileError(["this is no regular file: it is read twice, so it cannot be a pipe"])
    problems = Problems()
    lines: dict[int, int] = {}
    for number, outcome in _entries(file):
        if isinstance(outcome, str):
            problems.add(number, outcome)
        elif outcome.lead_id in lines:
            problems.add(number, f"lead_id: {outcome.lead_id} stands in line {lines[outcome.lead_id]} too")
        else:
            lines[outcome.lead_id] = number
    problems.check()
    return len(lines)


def again(file: Path, count: int) -> Iterator[RosterEntry]:
    """The entries of a file that was checked. Raises InputFileError when it is not the same any more."""
    read = 0
    for number, outcome in _entries(file):
        read += 1
        if isinstance(outcome, str):
            raise InputFileError([f"line {number}: {outcome}", "the file was changed meanwhile; nothing was imported"])
        yield outcome
    if read != count:
        raise InputFileError([f"the file was changed meanwhile: {count} leads, then {read}; nothing was imported"])


def _entries(file: Path) -> Iterator[tuple[int, RosterEntry | str]]:
    """Each line's number, and its entry or what is wrong with it. Raises InputFileError for the first line."""
    rows = _rows(file)
    columns = _columns(next(rows, None))
    for row in rows:
        if row.fault is not None:
            yield row.number, row.fault
        elif len(row.cells) != len(columns):
            yield row.number, f"{len(row.cells)} fields, where the first line has {len(columns)}"
        else:
            yield row.number, parse(dict(zip(columns, row.cells, strict=True)))


def _rows(file: Path) -> Iterator[Row]:
    """The lines that hold anything. Bytes that are no UTF-8 come as lone surrogates and are found with their field."""
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, [], f"this is no CSV: {error}")
            else:
                if any(cell.strip() for cell in cells):
                    yield Row(number, cells)


def _columns(first: Row | None) -> list[str]:
    """The names of the columns. Raises InputFileError."""
    if first is None:
        raise InputFileError([f"the file is empty; its first line names the columns {', '.join(COLUMNS)}"])
    columns = [cell.strip() for cell in first.cells]
    found = ",".join(columns)
    if first.fault or not found.replace("\t", "").isprintable():
        raise InputFileError([f"line 1: {first.fault or 'this is no text in UTF-8; save the file as CSV UTF-8'}"])
    if len(columns) == 1 and (";" in found or "\t" in found):
        raise InputFileError(["line 1: the columns are separated by commas, and by nothing else"])
    unknown = [name for name in columns if name not in COLUMNS]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if unknown or twice or "lead_id" not in columns:
        raise InputFileError([f"line 1: expected the columns {', '.join(COLUMNS)}, each once; found {found}"])
    return columns


def parse(row: dict[str, str]) -> RosterEntry | str:
    """The entry, or all that is wrong with it, field by field."""
    said = {name: cell.strip() for name, cell in row.items() if cell.strip()}
    faults = [f"{name}: {fault}" for name, cell in said.items() if (fault := _fault(name, cell))]
    if "lead_id" not in said:
        faults.append(f"lead_id: expected {RIGHT['lead_id']}, and nothing is here")
    return "; ".join(faults) if faults else msgspec.convert(said, RosterEntry, strict=False)


def _fault(name: str, cell: str) -> str | None:
    """What is wrong with a cell. A number that a spreadsheet rounded (1.2E+11) is somebody else's chat."""
    if not _is_encodable(cell):
        return "this is no text in UTF-8"
    try:
        if name.endswith("_id") and not _WHOLE.fullmatch(cell):
            raise ValueError
        msgspec.convert(cell, _FIELDS[name], strict=False)
    except ValueError:
        return f"expected {RIGHT[name]}, not {cell[:40]!r}"
    return None


def _is_encodable(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
