"""The leads in a file that a person made with a spreadsheet: each fault is named by its line and column."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from room_server.commands import spreadsheet
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


TITLES = {
    "lead_id": ("lead_id", "lead id", "id лида", "лид", "id", "номер", "код", "код лида", "id клиента"),
    "name": ("name", "имя", "фио", "ф.и.о.", "имя и фамилия", "клиент", "участник", "full name"),
    "candidate_chat_id": (
        *("candidate_chat_id", "candidate chat id", "chat_id", "chat id", "telegram id", "telegram_id"),
        *("чат", "id чата", "телеграм id", "id телеграм", "чат кандидата", "id чата кандидата"),
    ),
    "partner_chat_id": (
        *("partner_chat_id", "partner chat id", "чат партнёра", "чат партнера", "id чата партнёра", "id чата партнера"),
    ),
    "locale": ("locale", "language", "lang", "язык"),
}
"""What the first row may call each column, in any case."""
_COLUMN = {title: column for column, titles in TITLES.items() for title in titles}
LOCALES = {"ru_ru": "ru", "ru-ru": "ru", "rus": "ru", "русский": "ru", "en_us": "en", "en-us": "en", "en_gb": "en",
           "en-gb": "en", "eng": "en", "английский": "en"}  # fmt: skip
"""What CRMs write for a language, in lower case."""


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


class RosterFile:
    """A file of leads; `found` says what was found out about it. Raises InputFileError wherever it is read."""

    def __init__(self, file: Path, ignore_columns: bool = False) -> None:
        """`ignore_columns`: columns that mean nothing here are skipped instead of refused."""
        self._file = file
        self._ignores = ignore_columns
        self.found: list[str] = []

    def check(self) -> int:
        """How many leads the file holds. Raises InputFileError with every bad line."""
        if not self._file.is_file():
            raise InputFileError(["this is no regular file: it is read twice, so it cannot be a pipe"])
        problems = Problems()
        lines: dict[int, int] = {}
        for number, outcome in self._entries():
            if isinstance(outcome, str):
                problems.add(number, outcome)
            elif outcome.lead_id in lines:
                problems.add(number, f"lead_id: {outcome.lead_id} stands in line {lines[outcome.lead_id]} too")
            else:
                lines[outcome.lead_id] = number
        problems.check()
        return len(lines)

    def entries(self, count: int) -> Iterator[RosterEntry]:
        """The entries, once the file was checked and held so many. Raises InputFileError when it was changed since."""
        read = 0
        for number, outcome in self._entries():
            read += 1
            if isinstance(outcome, str):
                raise InputFileError(
                    [f"line {number}: {outcome}", "the file was changed meanwhile; nothing was imported"]
                )
            yield outcome
        if read != count:
            raise InputFileError([f"the file was changed meanwhile: {count} leads, then {read}; nothing was imported"])

    def _entries(self) -> Iterator[tuple[int, RosterEntry | str]]:
        """Each row's number, and its entry or what is wrong with it."""
        rows, found = spreadsheet.read(self._file)
        self.found = found
        columns, ignored = self._columns(next(rows, None))
        self.found = [*found, f"{ignored} column{'s' * (ignored > 1)} ignored"] if ignored else found
        for row in rows:
            if row.fault is not None:
                yield row.number, row.fault
            elif len(row.cells) > len(columns):
                yield row.number, f"{len(row.cells)} fields, where the first line has {len(columns)}"
            else:
                yield row.number, parse({name: cell for name, cell in zip(columns, row.cells, strict=False) if name})

    def _columns(self, first: spreadsheet.Row | None) -> tuple[list[str], int]:
        """The name of each column, empty for one to skip; and how many are skipped."""
        if first is None:
            raise InputFileError([f"the file is empty; its first line names the columns {', '.join(COLUMNS)}"])
        titles = ", ".join(first.cells)
        if first.fault or not titles.isprintable():
            raise InputFileError([f"line 1: {first.fault or 'this is no text; save the file as CSV UTF-8 or .xlsx'}"])
        columns = [_COLUMN.get(" ".join(title.lower().split()), "") for title in first.cells]
        twice = sorted({name for name in columns if name and columns.count(name) > 1})
        if twice or "lead_id" not in columns:
            raise InputFileError([f"line 1: expected the columns {', '.join(COLUMNS)}, each once; found {titles}"])
        unknown = [title for title, name in zip(first.cells, columns, strict=True) if title and not name]
        if unknown and not self._ignores:
            named = ", ".join(unknown)
            raise InputFileError([f"line 1: no column of a roster is called {named}; skip them with --ignore-columns"])
        return columns, len(unknown)


def parse(row: dict[str, str]) -> RosterEntry | str:
    """The entry, or all that is wrong with it, field by field."""
    said = {name: cell for name, cell in row.items() if cell}
    if "locale" in said:
        said["locale"] = LOCALES.get(said["locale"].lower(), said["locale"].lower())
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
