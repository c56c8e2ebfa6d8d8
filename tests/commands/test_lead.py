"""`room-server lead forget`: what it asks, what it says, and what the attendance shows afterwards."""

import json

import pytest

from room_server.core.room import RosterEntry, Status
from room_server.state.store import Store
from tests.commands.aftermath import WEBINAR, deliveries_of, on, over
from tests.support import AT, room, transactions
from tests.terminal import Terminal

PEOPLE = [RosterEntry(lead_id=lead, name=f"L{lead}", candidate_chat_id=100 + lead) for lead in (1, 2)]


@pytest.fixture
def url(valkey_url: str) -> str:
    """Lead 1 came, lead 2 left."""
    over(valkey_url, *PEOPLE)
    return valkey_url


def leads(terminal: Terminal) -> list[int]:
    """Who is in the attendance."""
    return [line["lead_id"] for line in json.loads(terminal.says("attendance", "export", WEBINAR, "--format", "json"))]


def test_it_prints_what_it_deleted_and_the_attendance_report_has_none_of_it(terminal: Terminal, url: str) -> None:
    output = terminal.says("lead", "forget", "1", "--yes")

    assert output.splitlines() == [
        "lead 1 is forgotten; deleted: roster entries 1, participations 1, messages 2, events 5",
        "for a day imports leave lead 1 out",
    ]
    assert leads(terminal) == [2]
    assert {name.partition(":")[0] for name in deliveries_of(url)} == {"2"}
    assert "leads      1: 1 entered, 0 completed" in terminal.says("webinar", "show", WEBINAR)


def test_a_second_time_there_is_nothing(terminal: Terminal, url: str) -> None:
    first = terminal.says("lead", "forget", "1", "--yes", "--webinar", WEBINAR)

    assert first.splitlines()[1] == "for a day imports into demo leave lead 1 out"
    assert terminal.says("lead", "forget", "1", "--yes").splitlines()[0] == "nothing is stored of lead 1"


@pytest.mark.usefixtures("url")
def test_it_asks_first(terminal: Terminal) -> None:
    asked = terminal.asks("n\n", "lead", "forget", "1")

    assert (asked.exit_code, asked.stdout) == (1, "")
    assert "lead 1 is known to demo; delete all of it for good? [y/N]: n" in asked.stderr
    assert leads(terminal) == [1, 2]

    assert "lead 1 is forgotten" in terminal.asks("y\n", "lead", "forget", "1").stdout
    assert leads(terminal) == [2]


def test_a_lead_of_a_running_webinar_is_refused_without_a_question(terminal: Terminal, valkey_url: str) -> None:
    async def work(store: Store) -> None:
        await transactions(store).create(room(WEBINAR, status=Status.LIVE, started_at=AT, on_air_since=AT))
        await store.call("HSET", store.keys.roster(WEBINAR), 1, b'{"lead_id":1}')

    on(valkey_url, work)
    for words in ((), ("--yes",)):
        assert "demo is running and knows lead 1" in terminal.refuses("lead", "forget", "1", *words)


def test_a_webinar_that_does_not_exist_is_an_error(terminal: Terminal) -> None:
    assert "there is no webinar nowhere" in terminal.refuses("lead", "forget", "1", "--webinar", "nowhere", "--yes")


def test_the_question_names_a_lead_that_no_webinar_knows(terminal: Terminal) -> None:
    assert "is known to no webinar, but may be named by events" in terminal.asks("n\n", "lead", "forget", "7").stderr


@pytest.mark.parametrize("number", ["0", "-1", "x", str(2**53)])
def test_a_number_that_is_no_lead_id_is_refused(terminal: Terminal, number: str) -> None:
    assert "Invalid value" in terminal.misunderstands("lead", "forget", "--", number)
