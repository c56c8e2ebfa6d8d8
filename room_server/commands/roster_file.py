"""The leads in a file that a person made with a spreadsheet: each fault is named by its line and column."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from room_server.commands import spreadsheet
from room_server.core.registration import EXPECTED, Lead
from room_server.core.room import RosterEntry
from room_server.errors import InputFileError

MAX_SHOWN = 50
"""Bad lines that an error shows; the rest are counted."""
_TYPES = {field.name: field.type for field in msgspec.structs.fields(RosterEntry)}
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
    "partner_id": (
        *("partner_id", "partner id", "id партнёра", "id партнера", "партнёр", "партнер"),
        *("номер партнёра", "номер партнера", "код партнёра", "код партнера"),
    ),
    "locale": ("locale", "language", "lang", "язык"),
}
"""What the first row may call each column, in any case."""
_COLUMN = {title: column for column, titles in TITLES.items() for title in titles}
LOCALES = {"ru_ru": "ru", "ru-ru": "ru", "rus": "ru", "русский": "ru", "en_us": "en", "en-us": "en", "en_gb": "en",
           "en-gb": "en", "eng": "en", "английский": "en"}  # fmt: skip
"""What CRMs write for a language, in lower case."""


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
        problems: list[str] = []
        bad = 0
        lines: dict[int, int] = {}
        for number, entry in self._entries():
            problem = entry if isinstance(entry, str) else None
            if isinstance(entry, Lead) and lines.setdefault(entry.lead_id, number) != number:
                problem = f"lead_id: {entry.lead_id} stands in line {lines[entry.lead_id]} too"
            if problem is not None:
                bad += 1
                problems += [f"line {number}: {problem}"] if bad <= MAX_SHOWN else []
        if problems:
            raise InputFileError([*problems, f"… and {bad - MAX_SHOWN} more"] if bad > MAX_SHOWN else problems)
        return len(lines)

    def entries(self, count: int) -> Iterator[Lead]:
        """The leads, once the file was checked and held so many. Raises InputFileError when it was changed since."""
        read = 0
        for number, outcome in self._entries():
            read += 1
            if isinstance(outcome, str):
                raise InputFileError(
                    [f"line {number}: {outcome}", "the file was changed meanwhile; nothing was imported"]
                )
            yield outcome
        if read != count:
            raise InputFileError([f"the file was changed meanwhile ({read} leads, not {count}); nothing was imported"])

    def _entries(self) -> Iterator[tuple[int, Lead | str]]:
        """Each row's number, and its lead or what is wrong with it. Raises InputFileError."""
        try:
            yield from self._rows()
        except OSError as error:
            raise InputFileError([f"it cannot be read: {error.strerror}"]) from error

    def _rows(self) -> Iterator[tuple[int, Lead | str]]:
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
                cells = zip_longest(columns, row.cells, fillvalue="")
                yield row.number, _entry({name: cell for name, cell in cells if name})

    def _columns(self, first: spreadsheet.Row | None) -> tuple[list[str], int]:
        """The name of each column, empty for one to skip; and how many are skipped."""
        if first is None:
            raise InputFileError([f"the file is empty; its first line names the columns {', '.join(EXPECTED)}"])
        titles = ", ".join(first.cells)
        if first.fault or not titles.isprintable():
            raise InputFileError([f"line 1: {first.fault or 'this is no text; save the file as CSV UTF-8 or .xlsx'}"])
        columns = [_COLUMN.get(" ".join(title.lower().split()), "") for title in first.cells]
        twice = sorted({name for name in columns if name and columns.count(name) > 1})
        if twice or "lead_id" not in columns:
            raise InputFileError([f"line 1: expected the columns {', '.join(EXPECTED)}, each once; found {titles}"])
        unknown = [title for title, name in zip(first.cells, columns, strict=True) if title and not name]
        if unknown and not self._ignores:
            named = ", ".join(unknown)
            raise InputFileError([f"line 1: no column of a roster is called {named}; skip them with --ignore-columns"])
        return columns, len(unknown)


def _entry(row: dict[str, str]) -> Lead | str:
    """The lead of a row, or all that is wrong with it, field by field. An empty cell clears its field."""
    cells = {name: cell for name, cell in row.items() if cell}
    if "locale" in cells:
        cells["locale"] = LOCALES.get(cells["locale"].lower(), cells["locale"].lower())
    problems = [f"{name}: {problem}" for name, cell in cells.items() if (problem := _problem(name, cell))]
    if "lead_id" not in cells:
        problems.append(f"lead_id: expected {EXPECTED['lead_id']}, and nothing is here")
    if problems:
        return "; ".join(problems)
    values = {name: msgspec.convert(cell, _TYPES[name], strict=False) for name, cell in cells.items()}
    return Lead(**{**dict.fromkeys(row), **values})


def _problem(name: str, cell: str) -> str | None:
    """What is wrong with a cell. A chat id that a spreadsheet rounded (1.2E+11) would be another chat."""
    if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
        return "this is no text in UTF-8"
    try:
        if name.endswith("_id") and not re.fullmatch(r"-?[0-9]+", cell):
            raise ValueError
        msgspec.convert(cell, _TYPES[name], strict=False)
    except ValueError:
        return f"expected {EXPECTED[name]}, not {cell[:40]!r}"
    return None
