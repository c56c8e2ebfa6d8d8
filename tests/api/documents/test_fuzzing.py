"""Schemathesis fuzzes the server by its OpenAPI document: valid and slightly wrong requests, some without a token."""

import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from pathlib import Path

import msgspec

from room_server.api.documents.operations import HOOKS, OPERATIONS
from room_server.core.messages import Role
from tests.api.documents.test_answers import prepare
from tests.support import Site, serving, settings_for

SITES = [*(path for path, row in HOOKS.items() if Role.SYSTEM in row.roles), "/webinars/{webinar_id}/attendance"]
"""What the site's backend may."""
SYSTEM = msgspec.json.encode(SITES).decode()
CONFIGURATION = f"""
[[operations]]
include-path = {SYSTEM}
headers = {{ Authorization = "Bearer SYSTEM" }}
[[operations]]
exclude-path = {SYSTEM}
headers = {{ Authorization = "Bearer SPEAKER" }}
[[operations]]
include-path = "/static/{{path}}"
parameters = {{ "path.path" = "app.css" }}
"""
AT_THE_BOUNDS = ("--phases", "coverage")
"""Each value at, and just beyond, what the document allows."""
AT_RANDOM = ("--phases", "coverage,fuzzing", "--max-examples", "300")
ARGUMENTS = (
    ("--generation-deterministic",),
    ("--continue-on-failure", "--no-color"),
)


async def attack(site: Site, folder: Path, *phases: str) -> tuple[int | None, str]:
    """The program's exit code and its output."""
    system, speaker = site.token("system", "*"), site.token("speaker", "*")
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.replace("SYSTEM", system).replace("SPEAKER", speaker), "utf-8")
    program = Path(sys.executable).with_name("schemathesis")
    words = [*(word for argument in ARGUMENTS for word in argument), *phases]
    process = await create_subprocess_exec(
        str(program),
        *("--config-file", str(configuration), "run", f"http://{site.address}/openapi.json", *words),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "attacker", "PYTHONPATH": str(Path(__file__).parent)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_nothing_that_the_document_leads_to_contradicts_it(valkey_url: str, tmp_path: Path, soak: bool) -> None:
    async with serving(settings_for(valkey_url, max_hooks_per_person=0, max_reads_per_person=0)) as site:
        await prepare(site)
        verdict, printed = await attack(site, tmp_path, *(AT_RANDOM if soak else AT_THE_BOUNDS))
        answered = set(site.inside.hooks.by_code())

    assert verdict == 0, printed
    tested = re.search(r"Tested: (\d+)", printed)
    assert tested is not None
    assert int(tested[1]) == sum(map(len, OPERATIONS.values())) - 1  # where it read the document it asks no more
    assert {"ok", "invalid_payload", "malformed_body", "unauthenticated"} <= answered
