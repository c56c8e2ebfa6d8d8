"""`room-server attendance …`: what a spreadsheet and a program get."""

import csv
import io
import json
from datetime import datetime, timedelta

import pytest
from openpyxl import load_workbook

from room_server.core.room import RosterEntry
from tests.commands.aftermath import over
from tests.support import AT
from tests.terminal import Terminal, finished

HEADER = [
    *("lead_id", "name", "entered_at", "completed_at", "attended", "route"),
    *("attendance_status", "attendance_at", "attendance_error"),
    *("follow_up_status", "follow_up_at", "follow_up_error"),
    *("recording_status", "recording_at", "recording_error"),
    *("watched_s", "watched_share", "first_seen_at", "last_seen_at", "cta_clicked_at", "segment"),
]
UNSEEN = {
    "watched_s": 0, "watched_share": 0.0, "first_seen_at": None, "last_seen_at": None, "cta_clicked_at": None,
    "segment": "absent",
}  # fmt: skip
"""Of who had no socket."""
PEOPLE = [
    RosterEntry(lead_id=1, name="Анна", partner_chat_id=900, candidate_chat_id=101),
    RosterEntry(lead_id=2, name="Борис", candidate_chat_id=102),
    RosterEntry(lead_id=3),
]


def read(exported: bytes) -> list[list[str]]:
    """What a spreadsheet reads."""
    return list(csv.reader(io.StringIO(exported.decode("utf-8-sig"), newline="")))


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
        **UNSEEN,
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
        **UNSEEN,
    }


EMPTY = {"json": b"[]\n", "csv": b"\xef\xbb\xbf" + ",".join(HEADER).encode() + b"\r\n"}


@pytest.mark.parametrize("form", EMPTY)
def test_a_webinar_with_nobody_is_an_empty_list(terminal: Terminal, form: str) -> None:
    terminal.says("webinar", "create", "demo", "--title", "Demo", "--at", AT.isoformat())

    assert terminal.run("attendance", "export", "demo", "--format", form).stdout_bytes == EMPTY[form]


def test_an_unknown_webinar_is_refused_by_name(terminal: Terminal) -> None:
    assert terminal.refuses("attendance", "export", "nope") == "Error: there is no webinar nope (webinar_unknown)\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attendance", "export"), "Missing argument 'ID'"),
        (("attendance", "export", "two words"), "'two words' is not a webinar id: 1-64 of A-Z a-z 0-9 _ -"),
        (("attendance", "export", "demo", "--format", "xml"), "'xml' is not one of 'csv', 'json'"),
        (("attendance", "export", "demo", "more"), "Got unexpected extra argument (more)"),
    ],
)
def test_wrong_usage_is_told_what_is_wrong(terminal: Terminal, words: tuple[str, ...], said: str) -> None:
    assert said in terminal.misunderstands(*words)


@pytest.mark.parametrize("words", [("attendance",), ("attendance", "export")])
def test_help_shows_an_example(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert "room-server attendance export launch > attendance.csv" in terminal.says(*words, "--help")


async def test_a_process_writes_bytes_that_no_locale_changes(valkey_url: str) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "LC_ALL": "C", "PYTHONUTF8": "0"}
    at = ("--at", AT.isoformat())
    await finished("webinar", "create", "demo", "--title", "Demo", *at, **environment)

    status, out, _ = await finished("attendance", "export", "demo", **environment)

    assert (status, out.startswith("\ufefflead_id")) == (0, True)


def test_a_csv_for_excel_in_russian_has_semicolons_and_local_times(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url, *PEOPLE)
    utc = json.loads(terminal.says("attendance", "export", "demo", "--format", "json"))[0]["entered_at"]
    words = ("attendance", "export", "demo", "--delimiter", ";", "--tz", "Asia/Kolkata")
    text = terminal.run(*words).stdout_bytes.decode("utf-8-sig")

    header, first, *_ = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    local = datetime.fromisoformat(utc) + timedelta(hours=5, minutes=30)
    assert header == HEADER
    assert first[2] == f"{local:%Y-%m-%d %H:%M:%S}"


def test_a_workbook_has_numbers_times_and_texts_that_run_nothing(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url, RosterEntry(lead_id=1, name="=1+1\x07", candidate_chat_id=101), *PEOPLE[1:])
    utc = json.loads(terminal.says("attendance", "export", "demo", "--format", "json"))[0]["entered_at"]
    words = ("attendance", "export", "demo", "--format", "xlsx", "--tz", "Europe/Moscow")
    sheet = load_workbook(io.BytesIO(terminal.run(*words).stdout_bytes)).active
    assert sheet is not None

    header, first, *others = sheet.iter_rows()
    local = datetime.fromisoformat(utc) + timedelta(hours=3)
    assert [cell.value for cell in header] == HEADER
    assert [(cell.value, cell.data_type) for cell in first[:3]] == [
        *((1, "n"), ("=1+1", "s")),
        (local.replace(tzinfo=None, microsecond=0), "d"),
    ]
    assert [row[0].value for row in others] == [2, 3]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--delimiter", ";;"), "one character between the columns"),
        (("--delimiter", "0"), "one character between the columns"),
        (("--delimiter", ";", "--format", "json"), "one character between the columns"),
        (("--tz", "Mars/Olympus"), "'Mars/Olympus' is no time zone of the IANA database"),
        (("--tz", "../../etc/passwd"), "is no time zone"),
        (("--tz", "Europe/Moscow", "--format", "json"), "JSON has its times in UTC"),
    ],
)
def test_what_an_export_cannot_be_is_said(terminal: Terminal, words: tuple[str, ...], complaint: str) -> None:
    assert complaint in terminal.misunderstands("attendance", "export", "demo", *words)
