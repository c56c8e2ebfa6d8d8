"""Every option and argument of every command, given what is odd or unlawful: it is taken, or one sentence names it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import pytest

from room_server.cli import main
from tests.terminal import Terminal

SECRET = "Pa55word-of-nobody"
ODD = [
    *("", " ", "\t", "-1", "0", "00", "+5", "1e3", "nan", "1_000", "٣", "9" * 30, "x" * 5000, "a" * 300),
    *("a\nb", "\x1b[31mred", "\x9b1m", "\u202e", "\udcff", "Ж", "🎉", "%s", "{0}", "$(id)", "none", "*", "-", "--help"),
    *(f"https://u:{SECRET}@h", f"//{SECRET}@h", f"redis://:{SECRET}@127.0.0.1:1", f"redis://u:{SECRET}@[::1"),
    *(f"redis://127.0.0.1:1?password={SECRET}", "redis://", "redis+sentinel://a/", "unix:///nonexistent"),
    *("http://[::1", "http://h:99999", "https://h:0", "http://", "https:///x", "http:// h", "http://h\nx", "HTTPS://H"),
    *("https://пример.рф/", "javascript:alert(1)", "https://h/\udcff", "//", "/", "..", "/nonexistent/x"),
    *("/dev/null", "/dev/zero", "/proc/self/mem", "127.1", "256.1.1.1", "localhost", "[::]", "::", "h..x", "ж" * 80),
    *("2030-13-01", "2030-11-22", "2030-11-22T18:00", "20301122T180000Z", "0001-01-01T00:00:00+14:00", "now"),
    *("9999-12-31T23:59:59-14:00", "UTC", "europe/moscow", "../UTC", "localtime", "s", "0s", "99999d", "1 d", "1D"),
]
LAWFUL = {
    **{"webinar_id": "w", "new_id": "copy", "title": "T", "scheduled_at": "2030-11-22T18:00:00Z", "role": "speaker"},
    "lead_id": "5",
}
"""What a command is given for the parameters that it needs, while one of them is tried."""
SERVING = ("web", "worker", "demo")
"""Commands that would go on for ever; `serve_all` tries their options in a process of its own."""
WHERE = {"redis_url", "data_dir"}
"""Parameters of every command: the first is tried with one of them, the second by a list of its own."""


class Told(NamedTuple):
    """How a command ended that was given a value."""

    command: str
    parameter: str
    value: str
    status: int
    stderr: str


def leaves(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


LEAVES = dict(leaves(main))
TRIED = [path for path in LEAVES if path[0] not in SERVING]


def tried(command: click.Command, path: tuple[str, ...]) -> list[click.Parameter]:
    """The parameters of a command that take a value."""
    takes = [one for one in command.params if not getattr(one, "is_flag", False)]
    return [one for one in takes if one.name not in WHERE or (one.name == "redis_url" and path == ("webinar", "list"))]


def words(command: click.Command, parameter: click.Parameter, value: str, file: str = "") -> list[str]:
    """What is typed after the command: what it needs, and the value."""
    given = {one.name: LAWFUL.get(str(one.name), file) for one in command.params if one.required}
    given[parameter.name] = value
    options = [f"{one.opts[0]}={given[one.name]}" for one in command.params if one.name in given and is_option(one)]
    arguments = [given[one.name] for one in command.params if one.name in given and not is_option(one)]
    return [*options, "--", *arguments]


def is_option(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option)


def fault(told: Told, parameter: click.Parameter) -> str | None:
    """What is wrong with an outcome."""
    errors = re.findall(r"^Error: .*", told.stderr, re.MULTILINE)
    names = [*parameter.opts, str(parameter.name), parameter.make_metavar(CONTEXT).strip("[]"), told.value.strip()[:40]]
    if SECRET in told.stderr or "Traceback" in told.stderr or len(told.stderr) > 1500:
        return f"it shows too much: {told.stderr[-300:]}"
    if told.status not in {0, 1, 2} or not told.stderr.replace("\n", "").replace("\t", "").isprintable():
        return f"status {told.status}: {told.stderr!r}"
    if told.status and len(errors) != 1:
        return f"no sentence: {told.stderr}"
    is_refusal = re.search(r"\((webinar|lead|state)_\w+\)$", told.stderr)  # of the product, for a value that is lawful
    if told.status and not is_refusal and not any(name and name in told.stderr for name in names):
        return f"it does not name the parameter: {errors[0]}"
    return None


CONTEXT = click.Context(main)


@pytest.fixture
def terminal(valkey_url: str) -> Terminal:
    """A terminal on a server with a webinar."""
    made = Terminal(valkey_url)
    made.says("webinar", "create", "w", "--title", "T", "--at", "2030-11-22T18:00:00Z")
    return made


@pytest.mark.parametrize("path", TRIED, ids=" ".join)
def test_whatever_a_parameter_is_given_it_is_taken_or_named_in_one_sentence(
    terminal: Terminal, path: tuple[str, ...], tmp_path: Path, soak: bool
) -> None:
    """In the short form a third of the values, another third for each parameter and command."""
    command, found = LEAVES[path], {}
    (tmp_path / "leads.csv").write_text("lead_id\n9\n")
    for number, parameter in enumerate(tried(command, path)):
        for value in ODD if soak else ODD[(TRIED.index(path) + number) % 3 :: 3]:
            typed = words(command, parameter, value, str(tmp_path / "leads.csv"))
            result = terminal.asks("y\n", *path, *typed)
            assert result.exception is None or isinstance(result.exception, SystemExit), (path, parameter.name, value)
            told = Told(" ".join(path), str(parameter.name), value, result.exit_code, result.stderr)
            if wrong := fault(told, parameter):
                found[parameter.name, value[:40]] = wrong

    assert found == {}


def serve_all() -> None:
    """Run the commands that serve on a Redis that they refuse, with each odd value; print the outcomes as JSON."""
    terminal, told = Terminal(sys.argv[1]), []
    for path, command in LEAVES.items():
        for parameter in tried(command, path) if path[0] in SERVING else ():
            for value in ODD:
                result = terminal.run(*path, *words(command, parameter, value), ROOM_SERVER_PARTITIONS="7")
                told.append(Told(" ".join(path), str(parameter.name), value, result.exit_code, result.stderr))
    sys.stdout.buffer.write(msgspec.json.encode([one._replace(value=ascii(one.value)) for one in told]))


def test_a_command_that_serves_takes_or_names_its_options_too(terminal: Terminal, valkey_url: str) -> None:
    code = "from tests.test_options import serve_all; serve_all()"
    command = [sys.executable, "-W", "error", "-c", code, valkey_url]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[1])
    outcomes = msgspec.json.decode(done.stdout, type=list[Told])
    parameters = {(path[0], one.name): one for path in LEAVES if path[0] in SERVING for one in LEAVES[path].params}

    refuses = "Error: ROOM_SERVER_PARTITIONS is 7"
    others = [told for told in outcomes if refuses not in told.stderr]
    taken = {(told.parameter, told.value) for told in outcomes if refuses in told.stderr}
    assert {told.parameter for told in outcomes} == {"host", "port", "workers"}
    assert {("host", "'localhost'"), ("host", "'[::]'"), ("host", "'::'"), ("port", "'0'")} <= taken
    assert ("host", "''") not in taken
    wrong = {told: fault(told, parameters[told.command, told.parameter]) for told in others}
    assert [(told, said) for told, said in wrong.items() if said] == []


@pytest.mark.parametrize("value", ["", "/dev/null", "/proc/x", "a" * 300, "\udcff", "a\0b"])
def test_a_data_folder_that_cannot_be_is_named(value: str) -> None:
    result = Terminal("").run("webinar", "list", "--data-dir", value)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ROOM_SERVER_DATA_DIR: ")
    assert result.stderr.count("\n") == 1


def nested(folder: Path) -> Path:
    """A file that a parser cannot read to its end without a great many calls."""
    made = folder / "nested"
    made.write_text("a = " + "[" * 100_000)
    return made


def test_a_file_that_cannot_be_read_is_named(terminal: Terminal, tmp_path: Path) -> None:
    unlawful = [tmp_path, tmp_path / "none", Path("/proc/self/mem"), Path("/dev/zero"), nested(tmp_path)]
    for words_before in (("webinar", "set", "w", "--texts"), ("roster", "import", "w")):
        for file in unlawful:
            result = terminal.run(*words_before, str(file))
            said = result.stderr
            assert result.exit_code in {1, 2}, file
            assert said.count("Error: ") == 1, said
            assert str(file) in said or "--texts" in said, said


def test_a_file_whose_name_is_no_text_is_read(terminal: Terminal, tmp_path: Path) -> None:
    odd = tmp_path / "\udcff.csv"
    odd.write_text("lead_id\n9\n")

    assert "1 lead imported" in terminal.says("roster", "import", "w", str(odd))


def test_what_fails_shows_no_password_and_no_control_character(terminal: Terminal) -> None:
    said: Any = terminal.misunderstands("token", "issue", "--role", "x", "--webinar", f"\x1b[2J//u:{SECRET}@h")

    assert SECRET not in said
    assert "\x1b" not in said
