"""`room-server webinar clone`: the same plan and roster under a new id."""

import json

from room_server.core.room import RosterEntry
from room_server.state import roster
from room_server.state.store import Store
from tests.commands.aftermath import WEBINAR, on, over
from tests.terminal import Terminal

AT = ("--at", "2030-11-29T18:00", "--tz", "Europe/Moscow")
PEOPLE = (RosterEntry(lead_id=1, name="Анна", candidate_chat_id=5), RosterEntry(lead_id=2, partner_chat_id=6))


def entries_of(url: str, webinar_id: str) -> list[RosterEntry]:
    async def read(store: Store) -> list[RosterEntry]:
        return sorted([one async for one in roster.entries(store, webinar_id)], key=lambda entry: entry.lead_id)

    found: list[RosterEntry] = on(url, read)
    return found


def test_the_plan_and_the_roster_are_taken_over_and_nothing_that_happened(terminal: Terminal, valkey_url: str) -> None:
    over(valkey_url, *PEOPLE, description="Two hours", recording_url="https://example.org/recording")

    said = terminal.says("webinar", "clone", WEBINAR, "again", *AT)

    assert said == "again is scheduled; its roster holds 2\n"
    assert entries_of(valkey_url, "again") == list(PEOPLE)
    record = json.loads(terminal.says("webinar", "show", "again", "--json"))
    assert record["attendance"]["entered"] == 0
    wanted = {"scheduled_at": "2030-11-29T15:00:00Z", "description": "Two hours", "recording_url": None}
    assert wanted.items() <= record.items()
    assert entries_of(valkey_url, WEBINAR) == list(PEOPLE)


def test_neither_what_is_not_there_is_cloned_nor_what_is_there_replaced(terminal: Terminal, valkey_url: str) -> None:
    assert "(webinar_unknown)" in terminal.refuses("webinar", "clone", "nowhere", "again", *AT)
    over(valkey_url, *PEOPLE)
    terminal.says("webinar", "create", "again", "--title", "Other", *AT)

    assert "(webinar_exists)" in terminal.refuses("webinar", "clone", WEBINAR, "again", *AT)
    assert entries_of(valkey_url, "again") == []
