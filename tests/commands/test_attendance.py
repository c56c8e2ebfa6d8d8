"""`room-server attendance …`: what a spreadsheet and a program get."""

import csv
import io
import json

import pytest

from room_server.commands.attendance import as_csv
from room_server.core.room import RosterEntry
from room_server.jobs.attendance_report import AttendanceRow
from tests.commands.aftermath import over
from tests.support import AT
from tests.terminal import Terminal, finished

HEADER = [
    *("lead_id", "name", "entered_at", "completed_at", "attended", "route"),
    *("attendance_status", "attendance_at", "attendance_error"),
    *("follow_up_status", "follow_up_at", "follow_up_error"),
    *("recording_status", "recording_at", "recording_error"),
]
PEOPLE = [
    RosterEntry(lead_id=1, name="Анна", partner_chat_id=900, candidate_chat_id=101),
    RosterEntry(lead_id=2, name="Борис", candidate_chat_id=102),
    RosterEntry(lead_id=3),
]


def read(exported: bytes) -> list[list[str]]:
    """What a spreadsheet reads."""
    return list(csv.reader(io.StringIO(exported.decode("utf-8-sig"), newline="")))


def line(name: str) -> AttendanceRow:
    return AttendanceRow(
        lead_id=1, name=name, entered_at=None, completed_at=None, attended=None, route=None, messages=[]
    )


def test_csv_has_one_line_per_lead(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url, *PEOPLE)

    header, *rows = read(terminal.run("attendance", "export", "demo").stdout_bytes)

    came = dict(zip(HEADER, rows[0], strict=True))
    missed = dict(zip(HEADER, rows[1], strict=True))
    assert header == HEADER
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert (came["name"], came["attended"], came["route"]) == ("Анна", "yes", "attended")
    assert (came["attendance_status"], came["follow_up_status"], came["recording_status"]) == ("queued", "queued", "")
    assert (missed["attended"], missed["attendance_status"], missed["recording_status"]) == ("no", "no_chat", "held")
    assert came["entered_at"].endswith("Z")
    assert missed["completed_at"] == ""


def test_csv_begins_with_the_mark_that_spreadsheets_want(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url)

    assert terminal.run("attendance", "export", "demo").stdout_bytes.startswith(b"\xef\xbb\xbflead_id,name,")


def test_json_is_what_the_design_says(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url, *PEOPLE)

    lines = json.loads(terminal.says("attendance", "export", "demo", "--format", "json"))

    first, third = lines[0], lines[2]
    times = {"entered_at": first["entered_at"], "completed_at": first["completed_at"]}
    at = [message["at"] for message in third["messages"]]
    assert first | {"messages": []} == {
        "lead_id": 1, "name": "Анна", **times, "attended": True, "route": "attended", "messages": [],
    }  # fmt: skip
    assert third == {
        "lead_id": 3,
        "name": "",
        "entered_at": None,
        "completed_at": None,
        "attended": False,
        "route": "not_attended",
        "messages": [
            {"kind": "attendance", "status": "no_chat", "at": at[0], "error": None},
            {"kind": "follow_up", "status": "no_chat", "at": at[1], "error": None},
            {"kind": "recording", "status": "no_chat", "at": at[2], "error": None},
        ],
    }


EMPTY = {"json": b"[]\n", "csv": b"\xef\xbb\xbf" + ",".join(HEADER).encode() + b"\r\n"}


@pytest.mark.parametrize("form", EMPTY)
def test_a_webinar_without_leads_is_an_empty_list(terminal: Terminal, form: str) -> None:
    terminal.says("webinar", "create", "demo", "--title", "Demo", "--at", AT.isoformat())

    assert terminal.run("attendance", "export", "demo", "--format", form).stdout_bytes == EMPTY[form]


@pytest.mark.parametrize(
    "name", ['"Анна", «Ко»', "two\nlines", "two\r\nlines", "a;b,c", '=""', 'quote"', "'", "  spaces  ", "🎉", "\\"]
)
def test_a_name_is_read_as_it_was(name: str) -> None:
    _, (_, read_name, *_) = read(as_csv([line(name)]))

    assert read_name.removeprefix("'" if name.startswith("=") else "") == name


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+7 900",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1+1",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        '=HYPERLINK("x")',
    ],
)
def test_no_name_runs_as_a_formula(name: str) -> None:
    _, (_, read_name, *_) = read(as_csv([line(name)]))

    assert read_name == f"'{name}"


@pytest.mark.parametrize("name", ["Anna", "a=b", "1-2", "x@y.org", "Жанна-Мария", "O'Hara", "(=)", ""])
def test_an_ordinary_name_is_left_alone(name: str) -> None:
    _, (_, read_name, *_) = read(as_csv([line(name)]))

    assert read_name == name


def test_an_unknown_webinar_is_refused_by_name(terminal: Terminal) -> None:
    assert terminal.refuses("attendance", "export", "nope") == "Error: there is no webinar nope (webinar_unknown)\n"


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("attendance", "export"), "Missing argument 'ID'"),
        (("attendance", "export", "two words"), "'two words' is not a webinar id: 1-64 of A-Z a-z 0-9 _ -"),
        (("attendance", "export", "demo", "--format", "xml"), "'xml' is not one of 'csv', 'json'"),
        (("attendance", "export", "demo", "more"), "Got unexpected extra argument (more)"),
    ],
)
def test_wrong_usage_is_named(terminal: Terminal, words: tuple[str, ...], output: str) -> None:
    assert output in terminal.misunderstands(*words)


@pytest.mark.parametrize("words", [("attendance",), ("attendance", "export")])
def test_help_shows_an_example(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert "room-server attendance export launch > attendance.csv" in terminal.says(*words, "--help")


async def test_a_process_writes_bytes_that_no_locale_changes(valkey_url: str) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "LC_ALL": "C", "PYTHONUTF8": "0"}
    at = ("--at", AT.isoformat())
    await finished("webinar", "create", "demo", "--title", "Demo", *at, **environment)

    status, out, _ = await finished("attendance", "export", "demo", **environment)

    assert (status, out.startswith("\ufefflead_id")) == (0, True)
