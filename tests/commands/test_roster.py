"""`room-server roster`: importing leads from a CSV file, and their links."""

import csv
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from room_server.auth import Authenticator
from room_server.commands.roster import MAX_SHOWN, check, read_checked
from room_server.core.messages import Role
from room_server.core.room import RosterEntry
from room_server.errors import InputFileError
from tests.support import settings_for
from tests.terminal import Terminal

PUBLIC = ("--public-url", "https://rooms.example.org/")
DAY = timedelta(days=1)
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----"""


@pytest.fixture
def at() -> datetime:
    """When the webinar is."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)


@pytest.fixture
def launch(terminal: Terminal, at: datetime) -> Terminal:
    """A terminal beside a webinar."""
    terminal.says("webinar", "create", "launch", "--title", "Launch", "--at", at.isoformat())
    return terminal


def leads(tmp_path: Path, *ids: int) -> str:
    """A file with these leads."""
    file = tmp_path / "leads.csv"
    file.write_text("\n".join(["lead_id,name", *(f"{lead},Lead {lead}" for lead in ids)]))
    return str(file)


def stored(terminal: Terminal) -> list[int]:
    """The leads on the roster, as their links tell."""
    rows = csv.DictReader(terminal.says("roster", "links", "launch", *PUBLIC).splitlines())
    return [int(row["lead_id"]) for row in rows]


def test_import_says_how_many(launch: Terminal, tmp_path: Path) -> None:
    output = launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))

    assert output == "3 leads imported; the roster of launch holds 3, before it held 0\n"


def test_a_second_import_updates_leads_and_removes_none(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))
    output = launch.says("roster", "import", "launch", leads(tmp_path, 3, 4))

    assert output == "2 leads imported; the roster of launch holds 4, before it held 3\n"
    assert stored(launch) == [1, 2, 3, 4]


def test_leads_that_were_forgotten_a_short_time_ago_are_left_out_and_named(launch: Terminal, tmp_path: Path) -> None:
    launch.says("lead", "forget", "2", "--yes")
    output = launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3)).splitlines()

    (printed,) = output[2:]
    until = datetime.strptime(printed, "lead 2 can be imported again after %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert output[:2] == [
        "2 leads imported; the roster of launch holds 2, before it held 0",
        "1 leads left out: `lead forget` was told to forget them less than a day ago",
    ]
    assert abs(datetime.now(UTC) + DAY - until) < timedelta(minutes=1)
    assert stored(launch) == [1, 3]


def test_replace_removes_the_others_and_says_how_many(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))
    output = launch.says("roster", "import", "launch", leads(tmp_path, 3, 4), "--replace")

    assert output.splitlines() == [
        "2 leads imported; the roster of launch holds 2, before it held 3",
        "2 leads removed",
    ]
    assert stored(launch) == [3, 4]


def test_replace_by_an_empty_list_removes_everyone(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2))
    output = launch.says("roster", "import", "launch", leads(tmp_path), "--replace")

    assert output.splitlines()[-1] == "2 leads removed"
    assert stored(launch) == []


def test_a_file_with_one_bad_line_imports_no_lead(launch: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("lead_id,locale\n1,ru\n2,de\n3,fr\n")

    complaint = launch.refuses("roster", "import", "launch", str(file))

    assert complaint.splitlines() == [
        f"Error: {file}: nothing was imported",
        "line 3: locale: expected ru or en, not 'de'",
        "line 4: locale: expected ru or en, not 'fr'",
    ]
    assert stored(launch) == []


def test_a_roster_of_no_webinar_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    complaint = terminal.refuses("roster", "import", "nowhere", leads(tmp_path, 1))

    assert complaint == "Error: there is no webinar nowhere (webinar_unknown)\n"


def test_a_file_that_is_not_there_is_wrong_usage(launch: Terminal) -> None:
    assert "does not exist" in launch.misunderstands("roster", "import", "launch", "no-such-file.csv")


def test_a_large_roster_is_imported_in_under_a_minute(launch: Terminal, tmp_path: Path, soak: bool) -> None:
    many = 100_000 if soak else 10_000
    file = leads(tmp_path, *range(1, many + 1))
    started = time.monotonic()

    output = launch.says("roster", "import", "launch", file)

    assert output.startswith(f"{many} leads imported; the roster of launch holds {many}")
    assert time.monotonic() - started < 60


def test_a_link_is_its_leads_own_and_holds_until_a_day_after_the_scheduled_time(
    launch: Terminal, tmp_path: Path, at: datetime, valkey_url: str
) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 10, 9))

    rows = list(csv.DictReader(launch.says("roster", "links", "launch", *PUBLIC).splitlines()))

    assert [row["lead_id"] for row in rows] == ["9", "10"]
    address, token = rows[0]["link"].split("#token=")
    actor = Authenticator(settings_for(valkey_url)).token(token)
    assert address == "https://rooms.example.org/room/launch"
    assert (actor.role, actor.lead_id, actor.webinar_id) == (Role.ATTENDEE, 9, "launch")
    assert actor.expires_at == pytest.approx((at + DAY).timestamp(), abs=2)


def test_the_public_url_may_come_from_the_environment(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1))

    output = launch.says("roster", "links", "launch", ROOM_SERVER_PUBLIC_URL="https://site.example")

    assert "\n1,https://site.example/room/launch#token=" in output


def test_links_without_a_public_url_lead_to_this_machine_with_a_warning(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1))

    result = launch.run("roster", "links", "launch", PORT="9000")

    assert "\n1,http://127.0.0.1:9000/room/launch#token=" in result.stdout
    assert result.stderr == ("warning: ROOM_SERVER_PUBLIC_URL is not set, so the links lead to http://127.0.0.1:9000\n")


def test_a_public_url_that_cannot_be_is_named(launch: Terminal) -> None:
    complaint = launch.refuses("roster", "links", "launch", "--public-url", "rooms.example.org")

    assert "ROOM_SERVER_PUBLIC_URL: expected an address like https://example.org, not 'rooms.example.org'" in complaint


def test_links_cannot_be_made_where_tokens_are_only_verified(launch: Terminal) -> None:
    complaint = launch.refuses("roster", "links", "launch", *PUBLIC, ROOM_SERVER_TOKEN_PUBLIC_KEY=PUBLIC_KEY)

    assert "ROOM_SERVER_TOKEN_PUBLIC_KEY is set: whoever holds the private key makes the links" in complaint


def test_links_of_a_webinar_long_past_are_refused(launch: Terminal) -> None:
    launch.says("webinar", "set", "launch", "--at", (datetime.now(UTC) - DAY).isoformat())

    assert "a day after its scheduled time" in launch.refuses("roster", "links", "launch", *PUBLIC)


def test_links_of_no_webinar_are_refused(terminal: Terminal) -> None:
    assert "(webinar_unknown)" in terminal.refuses("roster", "links", "nowhere", *PUBLIC)


def test_an_empty_roster_has_no_links(launch: Terminal) -> None:
    assert launch.says("roster", "links", "launch", *PUBLIC) == "lead_id,link\n"


HEAD = "lead_id,name,candidate_chat_id,partner_chat_id,locale\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its roster."""
    return tmp_path / "leads.csv"


def entries(file: Path, content: str | bytes) -> list[RosterEntry]:
    """What is imported of a file that holds this."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_checked(file, check(file)))


def problems(file: Path, content: str | bytes) -> list[str]:
    """What is found to be wrong with it."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputFileError) as caught:
        check(file)
    return caught.value.problems


def test_a_line_is_a_lead(file: Path) -> None:
    expected = [RosterEntry(lead_id=1, name="Анна", candidate_chat_id=10, partner_chat_id=-1001234567890, locale="en")]

    assert entries(file, HEAD + "1,Анна,10,-1001234567890,en\n") == expected


def test_only_the_lead_id_is_needed_and_the_order_is_free(file: Path) -> None:
    assert entries(file, "lead_id\n7\n") == [RosterEntry(lead_id=7)]
    assert entries(file, "name,lead_id\nAnna,7\n") == [RosterEntry(lead_id=7, name="Anna")]
    assert entries(file, HEAD + "7,,,,\n") == [RosterEntry(lead_id=7)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbflead_id,name\n1,Anna\n",
        b"lead_id,name\r\n1,Anna\r\n",
        b"lead_id,name\n1,Anna",
        b"\nlead_id,name\n\n1,Anna\n\n",
        b"lead_id,name\n1,Anna\n,\n",
        b' lead_id , name \n 1 ,"Anna "\n',
    ],
    ids=["byte order mark", "carriage returns", "no last newline", "empty lines", "empty cells", "spaces"],
)
def test_what_spreadsheets_write_is_read(file: Path, content: bytes) -> None:
    assert entries(file, content) == [RosterEntry(lead_id=1, name="Anna")]


def test_a_quoted_name_may_hold_commas_quotes_and_newlines(file: Path) -> None:
    assert entries(file, 'lead_id,name\n1,"Smirnova, ""Anna""\nJr."\n')[0].name == 'Smirnova, "Anna"\nJr.'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0,,,,", "lead_id: expected a whole number from 1 to 9007199254740991, not '0'"),
        ("x,,,,", "lead_id: expected a whole number from 1 to 9007199254740991, not 'x'"),
        ("9007199254740992,,,,", "lead_id: expected a whole number from 1 to 9007199254740991, not '9007199254740992'"),
        (",Anna,,,", "lead_id: expected a whole number from 1 to 9007199254740991, and nothing is here"),
        ("1,Anna,@anna,,", "candidate_chat_id: expected a Telegram chat id, a whole number, not '@anna'"),
        ("1,Anna,1.23E+11,,", "candidate_chat_id: expected a Telegram chat id, a whole number, not '1.23E+11'"),
        ("1,Anna,,12.0,", "partner_chat_id: expected a Telegram chat id, a whole number, not '12.0'"),
        ("1,Anna,,,de", "locale: expected ru or en, not 'de'"),
        ("1,Anna", "2 fields, where the first line has 5"),
        ("1,Anna,,,,,", "7 fields, where the first line has 5"),
        ('1,"Anna" A,,,', "this is no CSV: ',' expected after '\"'"),
        ("x,Anna,y,,", "lead_id: expected a whole number from 1 to 9007199254740991, not 'x'; "
                       "candidate_chat_id: expected a Telegram chat id, a whole number, not 'y'"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_fields(file: Path, line: str, problem: str) -> None:
    assert problems(file, f"{HEAD}2,,,,\n{line}\n3,,,,\n") == [f"line 3: {problem}"]


def test_a_name_that_is_too_long_is_not_shown_whole(file: Path) -> None:
    (problem,) = problems(file, f"lead_id,name\n1,{'x' * 201}\n")

    assert problem == f"line 2: name: expected at most 200 characters, not '{'x' * 40}'"


def test_every_bad_line_is_named_and_lines_are_counted_as_an_editor_does(file: Path) -> None:
    content = 'lead_id,name\n1,"An\nna"\n\nx,\n2,Boris\ny,\n'

    assert [problem.split(":")[0] for problem in problems(file, content)] == ["line 5", "line 7"]


def test_a_quote_that_never_ends_is_named_where_it_begins(file: Path) -> None:
    assert problems(file, 'lead_id,name\n1,"Anna\n2,Boris\n') == ["line 2: this is no CSV: unexpected end of data"]


def test_a_lead_may_be_in_one_line_only(file: Path) -> None:
    assert problems(file, "lead_id\n1\n2\n1\n") == ["line 4: lead_id: 1 stands in line 2 too"]


def test_bytes_that_are_no_utf_8_are_named_with_their_line(file: Path) -> None:
    content = "lead_id,name\n1,Anna\n2,Борис\n3,Clara\n".encode("cp1251")

    assert problems(file, content) == ["line 3: name: this is no text in UTF-8"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty; its first line names the columns lead_id, name"),
        (b"\n\n", "the file is empty"),
        ("lead_id,name\n1,Anna\n".encode("utf-16"), "line 1: this is no text in UTF-8; save the file as CSV UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "line 1: this is no text in UTF-8"),
        (b"lead_id;name\n1;Anna\n", "line 1: the columns are separated by commas, and by nothing else"),
        (b"lead_id\tname\n1\tAnna\n", "line 1: the columns are separated by commas"),
        (b"name\nAnna\n", "line 1: expected the columns lead_id, name, candidate_chat_id, partner_chat_id, locale"),
        (b"lead_id,e-mail\n1,a@b\n", "each once; found lead_id,e-mail"),
        (b"lead_id,lead_id\n1,1\n", "each once; found lead_id,lead_id"),
        (b'lead_id,"name\n', "line 1: this is no CSV"),
    ],
)
def test_a_bad_first_line_refuses_the_file(file: Path, content: bytes, problem: str) -> None:
    (found,) = problems(file, content)

    assert problem in found


def test_the_first_bad_lines_are_shown_and_the_rest_counted(file: Path) -> None:
    found = problems(file, "lead_id\n" + "x\n" * (MAX_SHOWN + 7))

    assert len(found) == MAX_SHOWN + 1
    assert found[-1] == "… and 7 more"


def test_a_pipe_cannot_be_read_twice_and_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(InputFileError, match="it is read twice, so it cannot be a pipe"):
        check(pipe)


@pytest.mark.parametrize("then", ["lead_id\n1\n", "lead_id\n1\n2\n3\n", "lead_id\n1\nx\n"])
def test_a_file_that_changed_between_the_readings_is_refused(file: Path, then: str) -> None:
    file.write_text("lead_id\n1\n2\n")
    count = check(file)
    file.write_text(then)

    with pytest.raises(InputFileError, match="changed meanwhile"):
        list(read_checked(file, count))
