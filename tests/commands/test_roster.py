"""`room-server roster …`: importing who is registered, and the links of each."""

import asyncio
import csv
import io
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openpyxl import load_workbook

from room_server.auth import Authenticator
from room_server.core.bindings import lead
from room_server.core.messages import Role
from room_server.core.room import RosterEntry
from room_server.state import bot, short_links
from room_server.state.redis.pipeline import pairs
from room_server.state.startup import open_state
from room_server.telegram.deep_links import DeepLinks
from tests.commands.aftermath import WEBINAR, on, over
from tests.support import TOKEN_SECRET, settings_for
from tests.terminal import Terminal

ENTERED = b'{"lead_id":2,"entered_at":"2026-11-22T18:00:00Z"}'
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


def held(terminal: Terminal) -> list[int]:
    """The leads on the roster, as their links tell."""
    rows = csv.DictReader(terminal.says("roster", "links", "launch", *PUBLIC).splitlines())
    return [int(row["lead_id"]) for row in rows]


def test_import_says_how_many(launch: Terminal, tmp_path: Path) -> None:
    said = launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))

    assert said == "3 leads imported; the roster of launch holds 3, before it held 0\n"


def test_import_says_what_it_found_out_about_the_file(launch: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_bytes("Телефон;ID;Имя\n+7 900;1;Анна\n".encode("cp1251"))
    done = launch.run("roster", "import", "launch", str(file), "--ignore-columns")

    assert done.stderr == f"{file} was read as Windows-1251, semicolons, 1 column ignored\n"
    assert "Error: " in launch.refuses("roster", "import", "launch", str(file))


def test_a_second_import_updates_and_removes_nobody(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))
    said = launch.says("roster", "import", "launch", leads(tmp_path, 3, 4))

    assert said == "2 leads imported; the roster of launch holds 4, before it held 3\n"
    assert held(launch) == [1, 2, 3, 4]


def test_leads_that_were_forgotten_a_short_time_ago_are_left_out_and_named(launch: Terminal, tmp_path: Path) -> None:
    launch.says("lead", "forget", "2", "--yes")
    said = launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3)).splitlines()

    (told,) = said[2:]
    until = datetime.strptime(told, "lead 2 can be imported again after %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert said[:2] == [
        "2 leads imported; the roster of launch holds 2, before it held 0",
        "1 lead left out: `lead forget` was told to forget them less than a day ago",
    ]
    assert abs(datetime.now(UTC) + DAY - until) < timedelta(minutes=1)
    assert held(launch) == [1, 3]


def test_replace_removes_the_others_and_says_how_many(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))
    said = launch.says("roster", "import", "launch", leads(tmp_path, 3, 4), "--replace")

    assert said.splitlines() == [
        "2 leads imported; the roster of launch holds 2, before it held 3",
        "2 leads removed",
    ]
    assert held(launch) == [3, 4]


def test_replace_by_an_empty_list_removes_everyone(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2))
    said = launch.says("roster", "import", "launch", leads(tmp_path), "--replace")

    assert said.splitlines()[-1] == "2 leads removed"
    assert held(launch) == []


def test_a_file_with_one_bad_line_imports_nobody(launch: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("lead_id,locale\n1,ru\n2,de\n3,fr\n")

    complaint = launch.refuses("roster", "import", "launch", str(file))

    assert complaint.splitlines() == [
        f"Error: {file}: nothing was imported (read as UTF-8, commas)",
        "line 3: locale: expected ru or en, not 'de'",
        "line 4: locale: expected ru or en, not 'fr'",
    ]
    assert held(launch) == []


def test_an_import_after_the_end_says_that_new_leads_get_messages(terminal: Terminal, tmp_path: Path) -> None:
    over(str(terminal.environment["ROOM_SERVER_REDIS_URL"]), RosterEntry(lead_id=1))
    file = leads(tmp_path, 1, 5)
    warning = f"warning: {WEBINAR} is over: its new leads count as absent, and get messages\n"

    assert warning in terminal.run("roster", "import", WEBINAR, file).stderr
    assert warning not in terminal.run("roster", "import", WEBINAR, file).stderr  # nobody is new


def test_an_import_before_the_end_warns_of_nothing(launch: Terminal, tmp_path: Path) -> None:
    assert "warning" not in launch.run("roster", "import", "launch", leads(tmp_path, 1)).stderr


def test_a_roster_of_no_webinar_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    complaint = terminal.refuses("roster", "import", "nowhere", leads(tmp_path, 1))

    assert complaint == "Error: there is no webinar nowhere (webinar_unknown)\n"


def test_a_file_that_is_not_there_is_wrong_usage(launch: Terminal) -> None:
    assert "does not exist" in launch.misunderstands("roster", "import", "launch", "no-such-file.csv")


def test_a_large_roster_is_imported_in_under_a_minute(launch: Terminal, tmp_path: Path, soak: bool) -> None:
    many = 100_000 if soak else 10_000
    file = leads(tmp_path, *range(1, many + 1))
    started = time.monotonic()

    said = launch.says("roster", "import", "launch", file)

    assert said.startswith(f"{many} leads imported; the roster of launch holds {many}")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(("words", "days"), [((), 14), (("--valid", "30d"), 30), (("--valid", "24h"), 1)])
def test_a_link_is_its_leads_own_and_holds_for_some_days_after_the_planned_time(
    launch: Terminal, tmp_path: Path, at: datetime, words: tuple[str, ...], days: int
) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 10, 9))

    rows = list(csv.DictReader(launch.says("roster", "links", "launch", *PUBLIC, *words).splitlines()))

    assert [row["lead_id"] for row in rows] == ["9", "10"]
    address, token = rows[0]["link"].split("#token=")
    actor = Authenticator(settings_for("redis://unused")).token(token)
    assert address == "https://rooms.example.org/room/launch"
    assert (actor.role, actor.lead_id, actor.webinar_id) == (Role.ATTENDEE, 9, "launch")
    assert actor.expires_at == pytest.approx((at + days * DAY).timestamp(), abs=2)


def test_the_public_url_may_come_from_the_environment(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1))

    said = launch.says("roster", "links", "launch", ROOM_SERVER_PUBLIC_URL="https://site.example")

    assert "\n1,https://site.example/room/launch#token=" in said


def test_links_without_a_public_url_lead_here_and_say_so(launch: Terminal, tmp_path: Path) -> None:
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
    launch.says("webinar", "set", "launch", "--at", (datetime.now(UTC) - 14 * DAY).isoformat())

    assert "would have ended at" in launch.refuses("roster", "links", "launch", *PUBLIC)
    assert (
        launch.says("roster", "links", "launch", *PUBLIC, "--valid", "15d") == "lead_id,link,short_url,telegram_url\n"
    )


def test_links_of_no_webinar_are_refused(terminal: Terminal) -> None:
    assert "(webinar_unknown)" in terminal.refuses("roster", "links", "nowhere", *PUBLIC)


def test_an_empty_roster_has_no_links(launch: Terminal) -> None:
    assert launch.says("roster", "links", "launch", *PUBLIC) == "lead_id,link,short_url,telegram_url\n"


def test_links_for_a_spreadsheet_have_names_and_what_it_reads(launch: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("lead_id,name\n7,Анна\n8,=1+1\n", "utf-8")
    launch.says("roster", "import", "launch", str(file))
    words = ("roster", "links", "launch", *PUBLIC)

    plain = list(csv.DictReader(launch.says(*words, "--names").splitlines()))
    excel = launch.run(*words, "--names", "--delimiter", ";").stdout_bytes
    sheet = load_workbook(io.BytesIO(launch.run(*words, "--names", "--format", "xlsx").stdout_bytes)).active
    assert sheet is not None
    header, first, second = sheet.iter_rows(values_only=True)

    assert [row["name"] for row in plain] == ["Анна", "'=1+1"]
    assert excel.startswith(b"\xef\xbb\xbflead_id;link;short_url;telegram_url;name\r\n7;https://rooms.example.org/")
    assert list(header) == ["lead_id", "link", "short_url", "telegram_url", "name"]
    assert (first[0], first[4], second[0], second[4]) == (7, "Анна", 8, "=1+1")


async def test_each_link_has_a_short_one_that_leads_to_the_same(
    launch: Terminal, tmp_path: Path, at: datetime, valkey_url: str
) -> None:
    await asyncio.to_thread(launch.says, "roster", "import", "launch", leads(tmp_path, 10, 9))
    said = await asyncio.to_thread(launch.says, "roster", "links", "launch", *PUBLIC)

    rows = list(csv.DictReader(said.splitlines()))
    assert list(rows[0]) == ["lead_id", "link", "short_url", "telegram_url"]
    async with open_state(settings_for(valkey_url)) as state:
        for row in rows:
            host, _, code = row["short_url"].rpartition("/r/")
            found = await short_links.find(state.store, code)
            assert (host, found) == (
                "https://rooms.example.org",
                ("launch", short_links.Claims(int(row["lead_id"]), int((at + 14 * DAY).timestamp()))),
            )


def test_each_lead_has_a_link_to_the_bot_once_a_worker_knows_its_name(launch: Terminal, tmp_path: Path) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2))
    unknown = launch.says("roster", "links", "launch", *PUBLIC)
    on(str(launch.environment["ROOM_SERVER_REDIS_URL"]), lambda store: bot.keep_name(store, "a_bot"))
    rows = list(csv.DictReader(launch.says("roster", "links", "launch", *PUBLIC).splitlines()))

    links = DeepLinks((TOKEN_SECRET.encode(),))
    assert [row["telegram_url"] for row in csv.DictReader(unknown.splitlines())] == ["", ""]
    assert [row["telegram_url"] for row in rows] == [links.url("a_bot", lead(1)), links.url("a_bot", lead(2))]


def test_leads_are_withdrawn_and_those_who_have_entered_are_named(
    launch: Terminal, valkey_url: str, tmp_path: Path
) -> None:
    launch.says("roster", "import", "launch", leads(tmp_path, 1, 2, 3))
    on(valkey_url, lambda store: store.call("HSET", store.keys.participations("launch"), 2, ENTERED))

    assert launch.says("roster", "withdraw", "launch", "1", "2", "9").splitlines() == [
        "1 lead withdrawn from launch",
        "stay, because they have entered: 2",
    ]
    assert held(launch) == [2, 3]
    assert "there is no webinar nowhere" in launch.refuses("roster", "withdraw", "nowhere", "1")
    assert "Invalid value" in launch.misunderstands("roster", "withdraw", "launch", "0")


def test_a_column_that_is_missing_leaves_what_is_known_and_an_empty_cell_clears_it(
    launch: Terminal, valkey_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "leads.csv"
    for text in ("lead_id,name,chat_id\n1,Anna,7\n2,Ivan,8\n", "lead_id,name\n1,\n2,Vanya\n"):
        file.write_text(text)
        launch.says("roster", "import", "launch", str(file))
    stored = on(valkey_url, lambda store: store.call("HGETALL", store.keys.roster("launch")))

    assert dict(pairs(stored)) == {
        b"1": b'{"lead_id":1,"candidate_chat_id":7}',
        b"2": b'{"lead_id":2,"name":"Vanya","candidate_chat_id":8}',
    }
