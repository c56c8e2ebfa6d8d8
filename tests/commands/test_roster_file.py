"""Rosters as CSV: what is read, and how what is wrong is named."""

import os
from pathlib import Path

import pytest

from room_server.commands.roster_file import MAX_SHOWN, TITLES, RosterFile
from room_server.core.registration import EXPECTED, Lead, merged
from room_server.core.room import RosterEntry
from room_server.errors import InputFileError

HEAD = "lead_id,name,candidate_chat_id,partner_chat_id,locale\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its roster."""
    return tmp_path / "leads.csv"


def entries(file: Path, content: str | bytes) -> list[RosterEntry]:
    """What is imported of a file that holds this."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    leads = RosterFile(file)
    return [merged(lead, None) for lead in leads.entries(leads.check())]


def problems(file: Path, content: str | bytes) -> list[str]:
    """What is found to be wrong with it."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputFileError) as caught:
        RosterFile(file).check()
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
        ("1,Anna,,12.5,", "partner_chat_id: expected a Telegram chat id, a whole number, not '12.5'"),
        ("1,Anna,,,de", "locale: expected ru or en, not 'de'"),
        ("1,Anna,,,,,x", "7 fields, where the first line has 5"),
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


def test_a_lead_stands_once(file: Path) -> None:
    assert problems(file, "lead_id\n1\n2\n1\n") == ["line 4: lead_id: 1 stands in line 2 too"]


def test_a_letter_that_is_broken_in_a_text_of_utf_8_is_named_with_its_line(file: Path) -> None:
    content = "lead_id,name\n1,Анна\n2,Борис\n3,Вера\n".encode().replace("с".encode(), b"\xd1")

    assert problems(file, content) == ["line 3: name: this is no text in UTF-8"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty; its first line names the columns lead_id, name"),
        (b"\n\n", "the file is empty"),
        (b"PK\x03\x04\x14\x00\x06\x00", "this is no Excel workbook (.xlsx): "),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old Excel workbook (.xls); save it as .xlsx or as CSV"),
        (b"\x89PNG\r\n\x1a\n\xff\x01", "line 1: this is no text; save the file as CSV UTF-8 or .xlsx"),
        (
            b"name\nAnna\n",
            "line 1: expected the columns lead_id, name, candidate_chat_id, partner_chat_id, partner_id, locale",
        ),
        (b"lead_id,e-mail\n1,a@b\n", "line 1: no column of a roster is called e-mail; skip them with --ignore-columns"),
        (b"lead_id,lead_id\n1,1\n", "each once; found lead_id, lead_id"),
        (b'lead_id,"name\n', "line 1: this is no CSV"),
    ],
)
def test_a_first_line_that_cannot_be_ends_it(file: Path, content: bytes, problem: str) -> None:
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
        RosterFile(pipe).check()


@pytest.mark.parametrize("then", ["lead_id\n1\n", "lead_id\n1\n2\n3\n", "lead_id\n1\nx\n"])
def test_a_file_that_changed_between_the_readings_is_refused(file: Path, then: str) -> None:
    file.write_text("lead_id\n1\n2\n")
    leads = RosterFile(file)
    count = leads.check()
    file.write_text(then)

    with pytest.raises(InputFileError, match="changed meanwhile"):
        list(leads.entries(count))


@pytest.mark.parametrize(
    "content",
    [
        "lead_id;Имя;Чат;Язык\n1;Анна;10;ru_RU\n".encode("cp1251"),
        "lead_id\tимя\tchat_id\tlocale\r\n1\tАнна\t10\tRU\r\n".encode("utf-16"),
        "LEAD ID;ФИО;Чат кандидата;LOCALE;;\n1;Анна;10;русский;;\n;;;;;\n".encode("utf-8-sig"),
        'sep=;\nНомер;"имя";candidate_chat_id;lang\n="1";Анна;\'10;ru\n'.encode("cp1251"),
        "ID клиента,Имя,Telegram ID,Язык\n1.0,Анна,10,ru-RU\n".encode(),
    ],
    ids=["Russian Excel", "Unicode text of Excel", "empty columns", "told separator", "a CRM"],
)
def test_what_people_bring_is_read(file: Path, content: bytes) -> None:
    assert entries(file, content) == [RosterEntry(lead_id=1, name="Анна", candidate_chat_id=10, locale="ru")]


def test_strange_columns_are_skipped_when_asked_for_and_counted(file: Path) -> None:
    file.write_bytes("Телефон;lead_id;E-Mail;Имя\n+7 900;1;a@b;Анна\n".encode("cp1251"))
    leads = RosterFile(file, ignore_columns=True)

    assert list(leads.entries(leads.check())) == [Lead(lead_id=1, name="Анна")]
    assert leads.found == ["Windows-1251", "semicolons", "2 columns ignored"]


def test_every_column_has_titles_of_its_own() -> None:
    titles = [title for names in TITLES.values() for title in names]

    assert len(set(titles)) == len(titles)
    assert TITLES.keys() == EXPECTED.keys()
