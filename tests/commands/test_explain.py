"""`room-server attendance explain`: what a person is told who asks why a lead counts or not."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from room_server.commands.explain import explanation
from room_server.core.attendance_rule import AttendedBy
from room_server.core.decision_types import Facts
from room_server.core.room import Participation, Status
from room_server.core.watch_time import span
from tests.support import AT, room
from tests.terminal import Terminal

MINUTE = 60_000


def lines(watched_minutes: int = 41, known: Participation | None = None, **fields: Any) -> dict[str, str]:
    """What is said of a lead of a webinar of 62 minutes."""
    standing = room(status=Status.FINISHED, started_at=AT, finished_at=AT, on_air_ms=62 * MINUTE, **fields)
    facts = Facts(room=standing, participation=known, slots=span(0, watched_minutes * MINUTE))
    return dict(explanation(standing, facts, AT))


def test_a_lead_is_counted_by_what_it_watched_and_what_was_needed() -> None:
    known = Participation(lead_id=7, entered_at=AT, attended=True)
    said = lines(known=known, attended_by=AttendedBy.WATCHED, min_watch="60%")

    assert said == {
        "watched": "41:00 of 62:00 minutes",
        "needed": "watching at least 60% of the time on air: 37:12 minutes",
        "entered": f"{AT:%Y-%m-%d %H:%M:%S} UTC",
        "completed": "no",
        "attended": "yes",
    }


def test_each_rule_is_said_in_words() -> None:
    said = {rule: lines(attended_by=rule, min_watch="30m")["needed"] for rule in AttendedBy}

    assert said == {
        AttendedBy.COMPLETED: "staying to the end",
        AttendedBy.WATCHED: "watching 30m: 30:00 minutes",
        AttendedBy.BOTH: "staying to the end and watching 30m: 30:00 minutes",
        AttendedBy.EITHER: "staying to the end or watching 30m: 30:00 minutes",
    }


def test_who_is_not_classified_is_not_decided_and_who_is_so_stays_so() -> None:
    assert lines()["attended"] == "not decided yet"
    assert lines(known=Participation(lead_id=7, attended=False))["attended"] == "no"


def test_the_time_on_air_goes_on_while_live() -> None:
    live = room(status=Status.LIVE, started_at=AT, on_air_since=AT)
    said = dict(explanation(live, Facts(room=live, slots=span(0, MINUTE)), AT + timedelta(minutes=2)))

    assert said["watched"] == "1:00 of 2:00 minutes"


def test_the_command_asks_the_store(terminal: Terminal, tmp_path: Path) -> None:
    terminal.says("webinar", "create", "launch", "--title", "Launch", "--at", "2030-11-22T18:00:00Z")

    unknown = terminal.refuses("attendance", "explain", "launch", "7")
    assert unknown == "Error: LEAD 7 is not on the roster of launch, and was never there\n"
    file = tmp_path / "leads.csv"
    file.write_text("lead_id\n7\n")
    terminal.says("roster", "import", "launch", str(file))
    assert terminal.says("attendance", "explain", "launch", "7").startswith("watched    0:00 of 0:00 minutes\n")
    assert "webinar_unknown" in terminal.refuses("attendance", "explain", "nowhere", "7")
