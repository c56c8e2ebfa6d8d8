"""The examples in the guide for whoever is on call, typed into a real shell beside a real server and a real Redis."""

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from room_server.core.room import RosterEntry, Status
from room_server.state import roster
from tests.conftest import answering
from tests.support import AT, TOKEN_SECRET, Site, room, serving, settings_for
from tests.test_docs import ROOT, blocks

EXAMPLES = blocks(ROOT / "docs" / "on-call.md", "sh")
TYPED = [
    block for block in EXAMPLES if re.search(r"^(curl|redis-cli|TOKEN|room-server webinar stop)", block, re.MULTILINE)
]
"""Those that are more than what tests/test_documented_commands.py runs, or need a webinar that is live."""
NOT_THERE = shutil.which("redis-server") is None or shutil.which("redis-cli") is None


@pytest.fixture
async def troubled(tmp_path: Path) -> AsyncIterator[tuple[Site, Path]]:
    """A site with a webinar that nobody stopped, on a Redis that is set up by a file and keeps nothing."""
    (tmp_path / "redis.conf").write_text(f'port 0\nunixsocket {tmp_path}/s\ndir {tmp_path}\nsave ""\n', "utf-8")
    redis = await asyncio.create_subprocess_exec("redis-server", str(tmp_path / "redis.conf"), stdout=DEVNULL)
    try:
        await asyncio.to_thread(answering, f"unix://{tmp_path}/s")
        async with serving(settings_for(f"unix://{tmp_path}/s")) as site:
            await site.transactions.create(room("launch", status=Status.LIVE, started_at=AT, on_air_since=AT))
            await roster.import_roster(site.store, "launch", [RosterEntry(lead_id=42)], replace=False)
            yield site, tmp_path
    finally:
        redis.kill()
        await redis.wait()


async def typed(site: Site, folder: Path, block: str) -> str:
    """What the shell shows; each line of the example must succeed."""
    here = block.replace("localhost:8000", site.address).replace("redis-cli", f"redis-cli -s {folder}/s")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ROOM_SERVER_REDIS_URL": str(site.settings.redis_url),
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
    }
    process = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", here),
        env=environment, cwd=folder, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    printed, complaints = await process.communicate()
    assert process.returncode == 0, f"{block}{complaints.decode()}"
    return printed.decode()


@pytest.mark.skipif(NOT_THERE, reason="redis-server and redis-cli are not installed here")
async def test_every_example_works_as_it_stands(troubled: tuple[Site, Path]) -> None:
    said = {block: await typed(*troubled, block) for block in TYPED}

    _, folder = troubled
    (stopped,) = [answer for block, answer in said.items() if "webinar stop" in block]
    (mended,) = [answer for block, answer in said.items() if "config set" in block]
    assert stopped == "launch is finished\n"
    assert mended.split() == ["OK", "OK", "OK"]
    assert "appendonly yes" in (folder / "redis.conf").read_text()
    assert '"ready":true' in said[EXAMPLES[0]]
    assert "ERR" not in "".join(said.values())
