"""The `room-server` command as a whole: what it offers, how it helps, how it refuses."""

import re
from importlib.metadata import version

import pytest

from tests.terminal import COMMANDS, Terminal, finished


@pytest.fixture
def terminal() -> Terminal:
    """A terminal without a server."""
    return Terminal("redis://127.0.0.1:1")


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_help_has_an_example_of_the_command(terminal: Terminal, command: tuple[str, ...]) -> None:
    said = terminal.says(*command, "--help")

    assert "Example" in said
    assert re.search(rf"^ .*{' '.join(['room-server', *command])}\b", said, re.MULTILINE)
    assert terminal.says(*command, "-h") == said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_does_not_exist_or_an_option_that_it_lacks_is_wrong_usage(
    terminal: Terminal, command: tuple[str, ...]
) -> None:
    complaint = terminal.misunderstands(*command, "--no-such-option")

    assert "No such option" in complaint


def test_a_word_that_is_no_command_is_wrong_usage(terminal: Terminal) -> None:
    assert "No such command 'wbinar'" in terminal.misunderstands("wbinar", "list")


def test_the_version_is_the_packages(terminal: Terminal) -> None:
    assert terminal.says("--version") == f"room-server, version {version('room-server')}\n"


def test_every_command_that_needs_the_state_can_be_told_where_it_is(terminal: Terminal) -> None:
    groups = {path[:-1] for path in COMMANDS if path[:-1]}
    for command in COMMANDS:
        if command not in groups:
            said = terminal.says(*command, "--help")
            assert "--redis-url" in said
            assert "--data-dir" in said


async def test_it_runs_as_a_module_and_its_refusals_leave_no_traceback() -> None:
    status, out, complaints = await finished("webinar", "list", "--redis-url", "redis://127.0.0.1:1")

    assert (status, out) == (1, "")
    assert complaints.startswith("Error: ROOM_SERVER_REDIS_URL: no answer from ")
    assert "Traceback" not in complaints
