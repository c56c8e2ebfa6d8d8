"""The documents' examples for sites, run as they stand against a real server."""

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from room_server.core.room import RosterEntry, Status
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from tests.support import AT, HOOK_SECRET, TOKEN_SECRET, Site, room
from tests.test_docs import PAGES, blocks

ROOT = Path(__file__).parents[1]
PHP = shutil.which("php")

WORDPRESS = """
define('ROOM_SERVER_URL', getenv('SITE'));
define('ROOM_SERVER_TOKEN_SECRET', getenv('ROOM_SERVER_TOKEN_SECRET'));
define('ROOM_SERVER_HOOK_SECRET', getenv('ROOM_SERVER_HOOK_SECRET'));
function wp_remote_post(string $url, array $request) {
    $headers = [];
    foreach ($request['headers'] as $name => $value) { $headers[] = "$name: $value"; }
    $options = ['method' => 'POST', 'header' => $headers, 'content' => $request['body']];
    echo file_get_contents($url, false, stream_context_create(['http' => $options]));
}
function wp_remote_get(string $url, array $request) {
    $headers = [];
    foreach ($request['headers'] as $name => $value) { $headers[] = "$name: $value"; }
    $body = file_get_contents($url, false, stream_context_create(['http' => ['header' => $headers]]));
    return ['body' => $body, 'code' => (int) explode(' ', $http_response_header[0])[1]];
}
function wp_remote_retrieve_response_code(array $answer) { return $answer['code']; }
function wp_remote_retrieve_body(array $answer) { return $answer['body']; }
"""
"""What WordPress has and plain PHP has not."""


def example(name: str, language: str, holding: str = "") -> str:
    """The example of a page in a language, the one that holds these words."""
    text = (ROOT / name).read_text("utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (chosen,) = [block for block in found if holding in block]
    return str(chosen)


async def output(site: Site, *words: str) -> str:
    """What a program prints, in the environment that the documents speak of."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SITE": f"http://{site.address}",
        "TOKEN": site.token("organizer", "launch"),
        "ROOM_SERVER_REDIS_URL": str(site.settings.redis_url),
        "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
    }
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=PIPE, stderr=PIPE)
    printed, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return printed.decode()


async def hooked(site: Site, language: str, hook: str) -> str:
    """What the example prints that sends this hook by the page's own function."""
    code = "\n".join(
        example("docs/site.md", language, holding) for holding in (SENDER[language], CALL[language] + hook)
    )
    words = {"sh": ("sh", "-eu", "-c"), "python": (sys.executable, "-W", "error", "-c"), "php": (str(PHP), "-r")}
    return await output(site, *words[language], WORDPRESS + code if language == "php" else code)


SENDER = {"sh": "room_hook() {", "python": "def room_hook(", "php": "function room_hook("}
CALL = {"sh": "room_hook ", "python": 'room_hook("', "php": "room_hook('"}
"""How the page's function is defined and called in each language."""


@pytest.fixture
async def live(site: Site) -> Site:
    """A site on which the examples' webinar is live."""
    await site.transactions.create(room("launch", status=Status.LIVE, started_at=AT))
    return site


def entered(lead_id: int) -> dict[str, Any]:
    """The answer to a lead's first entering."""
    return {"webinar_id": "launch", "duplicate": False, "lead_id": lead_id}


async def test_a_hook_in_shell_starts_a_webinar(site: Site) -> None:
    await site.transactions.create(room("launch"))

    answer = json.loads(await output(site, "sh", "-eu", "-c", example("README.md", "sh", "curl")))

    assert (answer["status"], answer["duplicate"]) == ("live", False)


async def test_a_signed_hook_in_shell_enters_a_lead(live: Site) -> None:
    assert json.loads(await hooked(live, "sh", "client_webinar_entered")) == entered(44)


async def test_a_signed_hook_in_python_enters_a_lead(live: Site) -> None:
    assert json.loads(await hooked(live, "python", "client_webinar_entered")) == entered(43)


async def test_a_rooms_state_is_read_in_shell(live: Site) -> None:
    state = await output(live, "sh", "-eu", "-c", example("docs/site.md", "sh", "/state"))

    assert json.loads(state) == (await live.state(webinar_id="launch")).json()


@pytest.mark.skipif(PHP is None, reason="php is not installed here")
async def test_a_signed_hook_in_php_enters_a_lead(live: Site) -> None:
    assert json.loads(await hooked(live, "php", "client_webinar_entered")) == entered(42)


LANGUAGES = ["sh", "python", pytest.param("php", marks=pytest.mark.skipif(PHP is None, reason="php is not installed"))]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_webinar_is_planned_and_people_are_registered(site: Site, language: str) -> None:
    await hooked(site, language, "core_webinar_plan")
    await hooked(site, language, "core_roster_register")

    planned = (await site.store.load("launch")).room
    assert planned is not None
    assert (planned.status, planned.scheduled_at.isoformat()) == (Status.SCHEDULED, "2030-11-22T15:00:00+00:00")
    people = {entry.lead_id: entry.name async for entry in roster.entries(site.store, "launch")}
    assert people == {42: "Анна" if language == "php" else "Anna", 43: ""}


@pytest.mark.parametrize("page", ["README.md", "docs/site.md"])
@pytest.mark.skipif(PHP is None, reason="php is not installed here")
async def test_a_link_made_in_php_is_let_in(live: Site, page: str) -> None:
    code = WORDPRESS + example(page, "php", "room_link") + "echo room_link(7, 'launch', time());"

    await lets_in(live, await output(live, str(PHP), "-r", code))


async def test_a_link_made_in_python_is_let_in(live: Site) -> None:
    code = (
        example("docs/site.md", "python", "room_link") + "import time; print(room_link(7, 'launch', int(time.time())))"
    )

    await lets_in(live, (await output(live, sys.executable, "-W", "error", "-c", code)).strip())


async def lets_in(site: Site, link: str) -> None:
    """The link is the room's, and its token opens the room's socket."""
    address, _, token = link.partition("#token=")
    assert address == f"http://{site.address}/room/launch"
    async with site.socket(webinar_id="launch", token=token) as socket:
        assert json.loads(await socket.recv())["status"] == "live"


async def evaluated(site: Site) -> None:
    """Lead 7 stayed to the end, lead 8 did not come."""
    people = [RosterEntry(lead_id=7), RosterEntry(lead_id=8)]
    await roster.import_roster(site.store, "launch", people, replace=False)
    await site.entered(7, "launch")
    await site.status("stop", "launch")
    await site.completed(7, "launch")
    await Evaluations(site.transactions).run_pending("launch")


CAME = ["7 came", "8 did not come"]


async def test_attendance_is_read_in_python(live: Site) -> None:
    await evaluated(live)

    printed = await output(live, sys.executable, "-W", "error", "-c", example("docs/site.md", "python", "attendance"))

    assert printed.splitlines() == CAME


@pytest.mark.skipif(PHP is None, reason="php is not installed here")
async def test_attendance_is_read_in_php(live: Site) -> None:
    await evaluated(live)

    printed = await output(live, str(PHP), "-r", WORDPRESS + example("docs/site.md", "php", "room_attendance"))

    assert printed.splitlines() == CAME


async def test_nobody_is_said_to_be_absent_before_the_lead_is_classified(live: Site) -> None:
    """In both languages: `attended` is null until then."""
    await live.entered(7, "launch")
    python = [sys.executable, "-W", "error", "-c", example("docs/site.md", "python", "attendance")]
    php = [str(PHP), "-r", WORDPRESS + example("docs/site.md", "php", "room_attendance")] if PHP else python

    assert [(await output(live, *words)).splitlines() for words in (python, php)] == [["7 is not classified yet"]] * 2


async def test_attendance_is_saved_in_shell(live: Site, tmp_path: Path) -> None:
    await evaluated(live)
    code = f"cd {tmp_path}; " + example("docs/site.md", "sh", "text/csv")

    await output(live, "sh", "-eu", "-c", code)

    lines = (tmp_path / "attendance.csv").read_text("utf-8-sig").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["lead_id", "7", "8"]


def test_no_page_of_a_site_is_told_to_run_a_command() -> None:
    """The web server's user has neither the command nor its settings."""
    in_php = [block for page in PAGES for block in blocks(page, "php")]
    assert in_php
    assert [block for block in in_php if re.search(r"\b(shell_exec|exec|system|passthru|proc_open)\(", block)] == []
