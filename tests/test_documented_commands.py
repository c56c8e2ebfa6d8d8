"""Every line of the documents and of the commands' own help that runs the product is run, page by page, on real state.

`tests/test_docs.py` looks whether they can be understood; here they must succeed.
"""

import contextlib
import re
import shlex
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from redis import Redis

from room_server.clock import utc_now
from room_server.core.decision_types import Command
from room_server.core.messages import Actor, DeliveryStatus, MessageKind, Role, SetStatus
from room_server.core.room import RosterEntry, Status
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.store import Store
from tests.commands.aftermath import on
from tests.site.receiver import SECRET
from tests.site.sending import known
from tests.support import AT, TOKEN_SECRET, room, transactions
from tests.terminal import COMMANDS, Terminal, running
from tests.test_docs import PAGES, ROOT, blocks, command

STAY = {"web", "worker", "demo"}
"""Commands that end when they are told to."""
NEEDED = {
    "schedule": Status.DRAFT,
    "cancel": Status.SCHEDULED,
    "pause": Status.LIVE,
    "resume": Status.PAUSED,
    "stop": Status.LIVE,
}
"""What `room-server webinar …` is about when it is not over yet."""
SOON = (utc_now() + timedelta(days=7)).isoformat()
"""The times of the examples pass, and links end."""
FILES = {
    "leads.csv": "lead_id,name,candidate_chat_id,partner_chat_id,locale\n42,Ada,4242,,en\n43,,,,\n",
    "three.csv": "lead_id,name\n901,Ada\n902,Ben\n903,Cem\n",
    "texts.toml": '[en]\nattendance_attended = "{name} stayed for “{title}”."\n',
}
"""What the lines read."""


class Line(NamedTuple):
    """One line that runs the product."""

    environment: dict[str, str]
    words: list[str]
    into: str
    """The file that takes what it prints, if any."""


def lines(text: str) -> Iterator[Line]:
    """Those of an example, in their order."""
    joined = re.sub(r"\\\n\s*", "", text)
    for given, told in re.findall(r"^\s*((?:[A-Z_]+=\S* )*)room-server(?: (.*))?$", joined, re.MULTILINE):
        local = re.sub(r"--at \S+(?= --tz)", f"--at {SOON[:19]}", told)
        what, _, into = re.sub(r"--at \S+(?! --tz|\S)", f"--at {SOON}", local).partition(" > ")
        environment = dict(word.split("=", 1) for word in given.split())
        yield Line(environment, shlex.split(what, comments=True), into.strip())


def documented() -> dict[str, list[Line]]:
    """Each page's lines, and each command's."""
    pages = {
        str(page.relative_to(ROOT)): [line for block in blocks(page, "sh") for line in lines(block)] for page in PAGES
    }
    helped = {" ".join(("--help", *path)): list(lines(command(path).help or "")) for path in [(), *COMMANDS]}
    return {name: found for name, found in {**pages, **helped}.items() if found}


class _Taking(BaseHTTPRequestHandler):
    """A site that takes every event."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    """Where events are taken, by a thread: the commands of these tests run in this one."""
    with HTTPServer(("127.0.0.1", 0), _Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


DOCUMENTED = documented()
STAYING = {str(line): line for found in DOCUMENTED.values() for line in found if line.words and line.words[0] in STAY}


async def _waiting(store: Store, status: Status) -> None:
    """A webinar in this state, with a roster."""
    on_air = AT if status is Status.LIVE else None
    started = AT if status in {Status.LIVE, Status.PAUSED} else None
    await transactions(store).create(room("launch", status=status, started_at=started, on_air_since=on_air))
    people = [RosterEntry(lead_id=42, candidate_chat_id=4242), RosterEntry(lead_id=43)]
    await roster.import_roster(store, "launch", people, replace=False)


async def _over(store: Store) -> None:
    """A webinar that is over, evaluated, and one of its messages parked; and a site that hears of it."""
    await known(store, "https://site.example/room-events", off_since=1)
    await _waiting(store, Status.LIVE)
    speaker = Actor(role=Role.SPEAKER, subject="speaker", webinar_id="launch")
    await transactions(store).apply(
        Command(id="stop", actor=speaker, hook=SetStatus(webinar_id="launch", status="stop"))
    )
    await Evaluations(transactions(store)).run_pending("launch")
    held = await Outbox(store).load("launch", f"42:{MessageKind.FOLLOW_UP}")
    assert held is not None
    parked = replace(held.delivery, status=DeliveryStatus.PARKED, at=AT, error="TimedOut: Timed out")
    assert await Outbox(store).update("launch", held, parked, FollowOn()) is not None


def prepare(url: str, line: Line) -> None:
    """The webinar that the line is about, as the line needs it; the line that creates it finds an empty server."""
    with Redis.from_url(url) as client:
        client.flushall()
    match line.words:
        case ["webinar", "create", *_]:
            pass
        case ["webinar", "set", *_] if "--at" in line.words:
            on(url, lambda store: _waiting(store, Status.SCHEDULED))
        case ["webinar", verb, *_] if verb in NEEDED:
            on(url, lambda store: _waiting(store, NEEDED[verb]))
        case _:
            on(url, _over)


def needs_another(line: Line, known: set[str]) -> bool:
    """Whether the line cannot go on from where the page stands."""
    if line.words[:1] != ["webinar"]:
        return not known
    verb, names = line.words[1], set(line.words[2:3])
    return not known or verb in NEEDED or (verb == "create" and bool(names & known))


@pytest.mark.parametrize("page", sorted(DOCUMENTED))
def test_the_lines_of_a_page_succeed_one_after_the_other(
    page: str, valkey_url: str, site_url: str, tmp_path: Path
) -> None:
    terminal = Terminal(valkey_url)
    terminal.environment |= {"ROOM_SERVER_SITE_EVENTS_URL": site_url, "ROOM_SERVER_SITE_EVENTS_SECRET": SECRET}
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    there: set[str] = set()
    for line in DOCUMENTED[page]:
        if line.words[:1] and line.words[0] in STAY:
            continue
        if needs_another(line, there):
            prepare(valkey_url, line)
            there = set()
        there |= {"launch", *line.words[2:3]}
        with contextlib.chdir(tmp_path):
            result = terminal.asks("y\n", *line.words)
        assert result.exit_code == 0, f"{line.words}: {result.output}"
        assert result.stdout_bytes or not line.into


@pytest.mark.parametrize("line", sorted(STAYING))
async def test_what_stays_is_started_and_ends(line: str, valkey_url: str, tmp_path: Path) -> None:
    """On another address and any port; Telegram and whatever else is told of stay unasked."""
    environment, words, _ = STAYING[line]
    port = [] if words[0] == "worker" else ["--port", "0"]
    kept = [word for before, word in zip(["", *words], words, strict=False) if "--port" not in {before, word}]
    here = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_TELEGRAM_BASE_URL": "http://127.0.0.1:9",
        "ROOM_SERVER_DATA_DIR": str(tmp_path),
    }
    async with running(*kept, *port, **{**environment, **here}) as process:
        status, said = await process.end()

    assert status in {0, -15}, said
    assert "Traceback" not in said
