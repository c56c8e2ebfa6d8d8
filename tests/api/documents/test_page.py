"""The commands of docs/interfaces.md, run as written against a real server."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from room_server.api.documents import openapi
from room_server.core.room import Status
from room_server.errors import CLOSE_CODES
from tests.support import AT, Site, room
from tests.test_examples import ROOT, example

PAGE = "docs/interfaces.md"


@pytest.fixture
async def live(site: Site) -> Site:
    """A site on which the page's webinar is live."""
    await site.transactions.create(room("launch", status=Status.LIVE, started_at=AT))
    return site


async def printed(site: Site, folder: Path, *words: str) -> str:
    """What a program prints in the environment that the page describes."""
    programs = Path(sys.executable).parent
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SITE": f"http://{site.address}",
        "TOKEN": site.token("speaker", "launch"),
    }
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE)
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode() + output.decode()
    return output.decode()


async def test_a_payload_is_looked_up(live: Site, tmp_path: Path) -> None:
    told = json.loads(await printed(live, tmp_path, "sh", "-eu", "-c", example(PAGE, "sh", "Entered")))

    assert told == openapi.document(None)["components"]["schemas"]["Entered"]


async def test_a_close_code_is_looked_up(live: Site, tmp_path: Path) -> None:
    told = await printed(live, tmp_path, "sh", "-eu", "-c", example(PAGE, "sh", "x-close-codes"))

    assert sorted(told.splitlines()) == sorted(f"{code.value} {says}" for code, (says, _) in CLOSE_CODES.items())


async def test_a_generated_client_reads_a_room(live: Site, tmp_path: Path) -> None:
    await printed(live, tmp_path, "sh", "-eu", "-c", example(PAGE, "sh", "openapi-python-client"))
    told = await printed(live, tmp_path, sys.executable, "-c", example(PAGE, "python", "room_state"))

    assert f"'status': '{Status.LIVE}'" in told
    assert "'webinar_id': 'launch'" in told


def test_the_page_names_what_the_documents_have_of_their_own() -> None:
    text = (ROOT / PAGE).read_text("utf-8")

    assert set(re.findall(r"`(x-[a-z-]+)`", text)) == {"x-codes", "x-refusals", "x-close-codes"}
