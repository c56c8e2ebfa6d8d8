"""The house rules of ARCHITECTURE.md, walked rather than trusted."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "room_server"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LEAVES = frozenset(
    {"addresses", "errors", "problems", "clock", "ids", "rate_limit", "config", "process", "proxy", "shared_read"}
    | {"telemetry"}
)
"""What everyone but the core may import; they import each other only."""
EDGE = LEAVES | {"core", "state", "transactions", "attendance_report", "webinar_report", "operations", "auth"}
EVERYTHING = frozenset({"*"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset({"core", "errors"}),
    "state": LEAVES | {"core", "state"},
    "transactions": LEAVES | {"core", "state"},
    **dict.fromkeys(("attendance_report", "webinar_report"), LEAVES | {"core", "state"}),
    "jobs": LEAVES | {"core", "state", "transactions", "jobs"},
    "operations": LEAVES | {"core", "state", "transactions", "jobs", "telegram", "operations"},
    "channels": LEAVES | {"core", "state", "channels"},
    "telegram": LEAVES | {"core", "state", "transactions", "telegram"},
    "site": LEAVES | {"core", "state", "transactions", "site"},
    "auth": LEAVES | {"core", "jws"},
    "jws": frozenset(),
    "api": EDGE | {"api"},
    "protocols": LEAVES | {"protocols"},
    **dict.fromkeys((*LEAVES, "token_secret"), LEAVES),
    **dict.fromkeys(("__main__", "app", "cli", "commands", "demo", "demo_site", "worker"), EVERYTHING),
}
"""Who may import whom. A new module finds its place here first."""

NOT_IN_THE_CORE = {"asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "time", "uuid"}
SOURCE_LINES = 250
TEST_LINES = 400
FUNCTION_LINES = 40
ARGUMENTS = 4

UNPAIRED = {
    "__main__.py": "one line, which the tests of the command line run",
    "api/documents/operation.py": "values without a rule of their own",
    "core/decision_types.py": "values without a rule of their own",
}
"""Source files without a test file of their own, each with its reason."""


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text("utf-8"), str(path))


def place(path: Path) -> str:
    """A module's row in MAY_IMPORT: its package, or its own name."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that the file imports, those inside functions included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The rows of MAY_IMPORT that the file imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("room_server.")}


def name_of(path: Path) -> str:
    """How a failure shows a file."""
    return str(path.relative_to(ROOT))


def offenders(found: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The files of which something was found, and what."""
    return {name: sorted(what) for name, what in found.items() if what}


def allowed(path: Path) -> frozenset[str]:
    """What the file's place may import of its own package."""
    return frozenset() if path == SOURCE / "__init__.py" else MAY_IMPORT[place(path)]


def test_a_module_imports_only_what_its_place_allows() -> None:
    strangers = {name_of(path): own_imports(path) - allowed(path) for path in MODULES if allowed(path) != EVERYTHING}

    assert offenders(strangers) == {}


def test_every_place_that_has_rules_is_there() -> None:
    assert MAY_IMPORT.keys() == {place(path) for path in MODULES} - {"__init__"}


def outside(path: Path) -> list[str]:
    """The imports, the calls and the `async` and `await` of a file that reach beyond what it was given."""
    imported = {name.split(".")[0] for name in imports(path)} & NOT_IN_THE_CORE
    calls = re.findall(r"\b(?:open|print|input|now|utcnow|today)\(", path.read_text("utf-8"))
    waits = [node for node in ast.walk(tree(path)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    return [*imported, *calls, *(f"line {node.lineno}" for node in waits)]


def test_the_core_has_no_clock_no_chance_and_no_outside() -> None:
    core = sorted((SOURCE / "core").rglob("*.py"))

    assert core
    assert offenders({name_of(path): outside(path) for path in core}) == {}


def test_only_the_state_knows_a_redis_key() -> None:
    speakers = {place(path) for path in MODULES if re.search(r"[\"']rs:", path.read_text("utf-8"))}

    assert speakers == {"state"}


def test_a_file_can_be_read_in_one_sitting() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in [*MODULES, *TESTS]}
    most = {path: SOURCE_LINES if path.is_relative_to(SOURCE) else TEST_LINES for path in lines}

    assert {name_of(path): count for path, count in lines.items() if count > most[path]} == {}


def test_a_function_is_short_and_takes_few_arguments() -> None:
    functions = {f"{name_of(path)}:{node.name}": node for path in MODULES for node in ast.walk(tree(path))
                 if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip

    assert [name for name, node in functions.items() if length(node) > FUNCTION_LINES] == []
    assert [name for name, node in functions.items() if len(arguments(node)) > ARGUMENTS] == []


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines, without its decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """What it is to be given; `**more` of any size counts as none."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in {"self", "cls"}]


def has_a_test_file(path: Path) -> bool:
    """Whether the file that tests this one is where it belongs."""
    inside = path.relative_to(SOURCE)
    named = inside.parent.with_suffix(".py") if inside.name == "__init__.py" else inside
    return (ROOT / "tests" / named.with_name(f"test_{named.name}")).exists()


def test_a_source_file_has_a_test_file() -> None:
    code = [path for path in MODULES if len(tree(path).body) > 1]  # the others are a package's docstring

    assert [str(path.relative_to(SOURCE)) for path in code if not has_a_test_file(path)] == sorted(UNPAIRED)


def test_a_module_says_what_it_is_for() -> None:
    assert [name_of(path) for path in MODULES if not ast.get_docstring(tree(path))] == []


WATCHED = """
import importlib, sys, pkgutil
sys.dont_write_bytecode = True
import room_server

def watch(event, args):
    if event in {"socket.__new__", "socket.connect", "subprocess.Popen", "os.fork", "_thread.start_new_thread"}:
        seen.append((event, str(args)))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append((event, str(args)))

seen = []
sys.addaudithook(watch)
for module in pkgutil.walk_packages(room_server.__path__, "room_server."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        asyncio = sys.modules.get("asyncio")
        if asyncio and asyncio.events._get_running_loop():
            seen.append(("loop", module.name))
for line in seen:
    print(*line)
"""


def test_nothing_happens_on_import() -> None:
    """No socket, process, thread or file for writing, as the interpreter's own audit hooks see it."""
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == ""


def committed() -> list[Path]:
    """The files that are, or would be, in the repository; without git, all that are not hidden."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if listed.returncode:
        return [path for path in ROOT.rglob("[!.]*") if path.is_file() and "/." not in str(path.relative_to(ROOT))]
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


MACHINE_PATH = re.compile(rb"(?<![\w.~$}>/*-])/(?:work|home|root|Users|opt|mnt)/[a-z]")
REGISTRY = re.compile(
    rb"pypi\.org|pythonhosted|npmjs\.|--(?:extra-)?index-url|--find-links|registry\.[a-z]|devpi|artifactory|nexus",
    re.IGNORECASE,
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    searched = [path for path in committed() if path != Path(__file__) and path.suffix != ".png"]
    found = {
        f"{name_of(path)}: {hit[0].decode('utf-8', 'replace')}"
        for path in searched
        for pattern in (MACHINE_PATH, REGISTRY)
        for hit in pattern.finditer(path.read_bytes())
    }

    assert found == set()


def test_the_gate_runs_the_checks_and_the_readmes_test_command() -> None:
    lines = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    told = re.search(r"^(make test)\b", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    assert told is not None
    assert commands == ["make check", told[1]]
