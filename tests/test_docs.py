"""The documents say what is so: settings, commands, codes, and lines that can be run."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from room_server.cli import main
from room_server.config import PREFIX, Settings
from room_server.core.messages import EMITTED, INBOUND, DeliveryStatus, Role
from room_server.core.room import Status
from room_server.errors import CLOSE_CODES, PROBLEMS
from tests.terminal import COMMANDS

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
README = PAGES[0].read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line.replace(r"\|", "\0") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines]


def blocks(page: Path, language: str) -> list[str]:
    """The examples in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    listed = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(README) if cells[0].startswith(f"`{PREFIX}")}
    defaults = {
        PREFIX + field.name.upper(): f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for field in msgspec.structs.fields(Settings)
    }

    assert listed == {name: "–" if value in {"None", ""} else value for name, value in defaults.items()}


def test_every_limit_says_where_it_counts() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (section,) = re.findall(r"^## Limits\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    counted = {cells[0].strip("`"): cells[2] for cells in rows(section) if cells[0].startswith("`")}
    limits = {
        PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings) if field.name.startswith("max_")
    }

    assert counted == dict.fromkeys(limits, "each process")


def command_lines() -> Iterator[str]:
    """Every line of the documents and of the commands' own help that runs the product."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            yield from runs(block)
    for path in [(), *COMMANDS]:
        yield from runs(command(path).help or "")


def runs(text: str) -> list[str]:
    """The lines that begin with the command, settings before it allowed."""
    joined = re.sub(r"\\\n\s*", "", text)
    return re.findall(r"^\s*(?:[A-Z_]+=\S* )*(room-server(?: .*)?)$", joined, re.MULTILINE)


def command(path: tuple[str, ...]) -> click.Command:
    """The command at these words."""
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_line_that_runs_the_product_can_be_run(line: str, tmp_path: Path) -> None:
    """Parsed, not run: each file that it reads is there, and empty."""
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    found: click.Command = main
    while words and isinstance(found, click.Group) and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    if words in (["--help"], ["--version"]):
        return
    assert not isinstance(found, click.Group)
    here = [str(file) if (file := touched(tmp_path, word)) else word for word in words]
    found.make_context(None, here, parent=click.Context(main, **main.context_settings))


def touched(folder: Path, word: str) -> Path | None:
    """An empty file for a word that names one."""
    if not re.fullmatch(r"[\w-]+\.(csv|json|toml)", word):
        return None
    file = folder / word
    file.touch()
    return file


def test_every_command_is_in_the_readme() -> None:
    listed = set()
    for cells in rows(README):
        first, *others = re.findall(r"`([a-z -]+)`", cells[0])[:5] or [""]
        words = tuple(first.removeprefix("room-server ").split())
        listed |= {words, *((*words[:-1], other) for other in others)}
    groups = {path[:-1] for path in COMMANDS}

    assert {path for path in COMMANDS if path not in groups} <= listed


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_documents_lead_to_files_and_sections_that_exist() -> None:
    links = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))]
    here = [(page, *target.partition("#")[::2]) for page, target in links if not target.startswith("https://")]
    found = {(page.parent / name if name else page, section) for page, name, section in here}

    assert [str(file) for file, _ in found if not file.exists()] == []
    assert [(str(file), section) for file, section in found if section and section not in sections(file)] == []


def test_lines_are_as_long_as_in_the_code() -> None:
    lines = [line for page in PAGES for line in page.read_text("utf-8").splitlines()]

    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


def test_every_code_is_in_the_documents_with_its_status_and_what_to_do() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    listed = {cells[0].strip("`"): cells[1:] for cells in rows(text) if cells[0].startswith("`")}

    assert {code: int(status) for code, (status, _) in listed.items()} == {
        code: problem.status for code, problem in PROBLEMS.items()
    }
    assert all(advice.endswith(".") for _, advice in listed.values())


def test_every_close_code_is_in_the_documents_with_what_to_do_and_why() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    listed = {int(cells[0]): cells[1:] for cells in rows(text) if cells[0].isdigit()}

    assert {code: verdict for code, (verdict, _) in listed.items()} == {
        code.value: verdict.value for code, (verdict, _) in CLOSE_CODES.items()
    }
    for code, (_, reason) in CLOSE_CODES.items():
        assert reason in listed[code.value][1]


def test_the_domain_names_every_state_role_hook_and_state_code() -> None:
    text = (ROOT / "docs" / "domain.md").read_text("utf-8")
    named = {*Status, *Role, *INBOUND, *EMITTED, *(code for code in PROBLEMS if code.startswith("webinar_state"))}

    assert {name for name in named if name not in text} == set()


@pytest.mark.parametrize("section", ["States of a webinar", "Roles", "Hooks and their payloads", "Classification"])
def test_the_sections_that_the_code_cites_are_there(section: str) -> None:
    assert f"## {section}\n" in (ROOT / "docs" / "domain.md").read_text("utf-8")


def test_the_tree_of_the_architecture_is_the_tree() -> None:
    (drawn,) = blocks(ROOT / "ARCHITECTURE.md", "")
    there = [path for path in (ROOT / "room_server").iterdir() if not path.name.startswith("__")]

    expected = {f"{path.name}/" if path.is_dir() else path.name for path in there if path.suffix in {"", ".py"}}
    assert set(re.findall(r"^  (\S+)", drawn, re.MULTILINE)) == expected


def defined(path: Path) -> set[str]:
    """The functions, classes and constants of a module, methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            inside = node.body if isinstance(node, ast.ClassDef) else []
            names |= {
                f"{node.name}.{one.name}" for one in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


def test_what_the_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = re.findall(r"`([a-z_/]+\.py)`\s+`([A-Za-z_.]+)`", text)
    files = re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|lua))`", text)

    assert len(named) > 30
    assert [(file, name) for file, name in named if name not in defined(ROOT / "room_server" / file)] == []
    assert [file for file in files if not any((ROOT / root / file).exists() for root in ("room_server", "."))] == []


def test_the_changelog_is_kept() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_page_about_telegram_tells_of_every_state_of_a_message() -> None:
    text = (ROOT / "docs" / "telegram.md").read_text("utf-8")

    assert [cells[0].strip("`") for cells in rows(text) if cells[0].startswith("`")] == list(DeliveryStatus)


def test_what_is_claimed_of_security_names_a_test_that_is_there() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text("utf-8"))

    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []
