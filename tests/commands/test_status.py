"""The operator's changes of state: what they do, what they refuse, and what they print."""

import pytest

from room_server.core.room import RosterEntry
from tests.commands.aftermath import WEBINAR, deliveries_of, ended, on
from tests.commands.test_webinar import shown
from tests.support import AT as SINCE
from tests.support import room, transactions
from tests.terminal import Terminal


@pytest.fixture
def launch(terminal: Terminal) -> Terminal:
    """A terminal beside a scheduled webinar."""
    terminal.says("webinar", "create", "launch", "--title", "Launch", "--at", "2026-11-22T18:00:00+03:00")
    return terminal


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("pause", "webinar_state_invalid_pause"),
        ("resume", "webinar_state_invalid_resume"),
        ("stop", "webinar_state_invalid_stop"),
        ("archive", "webinar_state_invalid_archive"),
    ],
)
def test_an_act_that_the_state_does_not_allow_is_refused_with_its_code(launch: Terminal, act: str, code: str) -> None:
    assert f"({code})" in launch.refuses("webinar", act, "launch")


def test_a_transition_to_the_present_status_prints_already(launch: Terminal) -> None:
    assert launch.says("webinar", "schedule", "launch") == "launch is already scheduled\n"


@pytest.mark.parametrize("act", ["schedule", "pause", "resume", "stop", "archive", "cancel"])
def test_what_is_not_there_is_unknown(terminal: Terminal, act: str) -> None:
    assert terminal.refuses("webinar", act, "nowhere") == "Error: there is no webinar nowhere (webinar_unknown)\n"


def test_a_cancelled_webinar_says_so_until_it_has_a_new_time(launch: Terminal) -> None:
    assert launch.says("webinar", "cancel", "launch") == "launch is cancelled\n"
    assert launch.says("webinar", "cancel", "launch") == "launch is already cancelled\n"
    assert launch.says("webinar", "list").split()[1] == "cancelled"
    assert "\ncancelled " in launch.says("webinar", "show", "launch")
    assert launch.says("webinar", "set", "launch", "--title", "L") == "launch is scheduled, cancelled, version 3\n"

    assert launch.says("webinar", "set", "launch", "--at", "2026-11-29T18:00:00Z") == "launch is scheduled, version 4\n"
    assert shown(launch)["cancelled_at"] is None


def test_a_webinar_that_has_begun_is_not_cancelled_but_stopped_once(terminal: Terminal, valkey_url: str) -> None:
    on(valkey_url, lambda store: transactions(store).create(room(WEBINAR, status="live", on_air_since=SINCE)))
    assert "(webinar_state_invalid_cancel)" in terminal.refuses("webinar", "cancel", WEBINAR)

    assert terminal.says("webinar", "stop", WEBINAR) == f"{WEBINAR} is finished\n"
    assert terminal.says("webinar", "stop", WEBINAR) == f"{WEBINAR} is already finished\n"
    assert shown(terminal, WEBINAR)["evaluation"] is not None


def test_archive_evaluates_first_what_waits_for_its_grace(terminal: Terminal, valkey_url: str) -> None:
    """Afterwards the room is closed for good, and nobody may be left without a classification and a message."""
    ended(valkey_url, RosterEntry(lead_id=2, candidate_chat_id=5), RosterEntry(lead_id=3))
    before = shown(terminal, WEBINAR)
    assert before["status"] == "finished"
    assert before["evaluation"] is not None

    assert terminal.says("webinar", "archive", WEBINAR) == f"{WEBINAR} is archived\n"
    after = shown(terminal, WEBINAR)
    assert (after["status"], after["evaluation"]) == ("archived", None)
    assert {name: stored.delivery.status for name, stored in deliveries_of(valkey_url).items() if name[0] == "2"} == {
        "2:attendance": "no_chat",
        "2:follow_up": "queued",
        "2:recording": "held",
    }
    assert {name[0] for name in deliveries_of(valkey_url)} == {"1", "2", "3"}
