"""The `room-server` command as a whole: what it offers, how it helps, how it refuses."""

import asyncio
import re
import shlex
from asyncio.subprocess import PIPE
from importlib.metadata import version

import pytest

from room_server.cli import LONGEST_WORD, legible
from tests.support import PATIENCE
from tests.terminal import COMMAND, COMMANDS, Terminal, clean, finished


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


async def typed(line: str, **environment: str) -> tuple[int, str, str]:
    """What a shell makes of a line: exit status, stdout, stderr. `$R` is the command."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", line), env=clean(R=shlex.join(COMMAND), **environment), stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(PATIENCE):
        out, complaints = await process.communicate()
    return process.returncode or 0, out.decode("cp1251", "replace"), complaints.decode()


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
async def test_a_closed_stream_is_nothing_to_it(valkey_url: str, closed: str) -> None:
    """The sockets of the event loop must not get the numbers of what is closed."""
    status, _, complaints = await typed(f"$R webinar list {closed}", ROOM_SERVER_REDIS_URL=valkey_url)

    assert (status, complaints.replace("no webinars yet; make one with: room-server webinar create --help\n", "")) == (
        0, "",
    )  # fmt: skip


async def test_a_disk_that_is_full_is_said_in_one_line(valkey_url: str) -> None:
    for command in ("webinar list --json", "token issue --role speaker --webinar w"):
        secret = "a-secret-of-the-tests-that-is-long-enough"
        status, _, complaints = await typed(
            f"$R {command} > /dev/full", ROOM_SERVER_REDIS_URL=valkey_url, ROOM_SERVER_TOKEN_SECRET=secret
        )

        assert (status, complaints) == (1, "Error: the output cannot be written: No space left on device\n")


async def test_a_reader_that_leaves_is_nothing_to_complain_of(valkey_url: str) -> None:
    _, out, complaints = await typed("$R webinar list --help | head -1", ROOM_SERVER_REDIS_URL=valkey_url)

    assert (out.startswith("Usage: "), complaints) == (True, "")


async def test_what_a_terminal_cannot_show_is_no_failure(valkey_url: str) -> None:
    given = {"ROOM_SERVER_REDIS_URL": valkey_url, "PYTHONIOENCODING": "cp1251"}
    create = "$R webinar create w --title 'Ж🎉' --at 2030-11-22T18:00:00Z && $R webinar list"
    status, out, complaints = await typed(create, **given)

    assert (status, complaints) == (0, "")
    assert out.endswith("Ж\\U0001f389\n")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no answer from redis://u:p@h:1/0", "no answer from redis://…@h:1/0"),
        ("'redis://h?db=1&password=p'", "'redis://h?db=1&password=…'"),
        ("line 1: \x1b[2J\x9b1m\r\nline 2", "line 1: \\x1b[2J\\x9b1m\\r\nline 2"),
        ("a " + "x" * (LONGEST_WORD + 1), "a " + "x" * LONGEST_WORD + "…"),
        ("write to a@b.org, see https://example.org", "write to a@b.org, see https://example.org"),
    ],
)
def test_an_error_is_legible_and_shows_no_password(message: str, shown: str) -> None:
    assert legible(message) == shown
