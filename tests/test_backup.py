"""`deploy/backup` and what the documents say of restoring: what was answered before the copy is there afterwards."""

import asyncio
import contextlib
import secrets
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

from redis.asyncio import Redis

from room_server.state.redis import embedded
from room_server.state.startup import open_state
from tests.conftest import answering
from tests.support import eventually, next_state, room, serving, settings_for, transactions
from tests.terminal import finished, running

COPIES = 2
BACKUP = Path(__file__).parents[1] / "deploy" / "backup"


async def backed_up(folder: Path, archive: Path) -> tuple[int, str]:
    """Exit status and complaints of the script."""
    process = await asyncio.create_subprocess_exec(str(BACKUP), str(folder), str(archive), stderr=PIPE)
    _, complaints = await process.communicate()
    return process.returncode or 0, complaints.decode()


def unpacked(archive: Path, folder: Path) -> None:
    """As the documents say."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-C", str(folder), "-xzf", str(archive)], check=True)


@contextlib.asynccontextmanager
async def own_server(folder: Path) -> AsyncIterator[str]:
    """A Redis that somebody set up as the documents ask, in this folder."""
    folder.mkdir(exist_ok=True)
    words = ["--port", "0", "--unixsocket", f"{folder}/s", "--dir", str(folder), "--save", ""]
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--logfile", f"{folder}/log"]
    process = await asyncio.create_subprocess_exec(embedded.find_binary(), *words, *durable)
    try:
        await asyncio.to_thread(answering, f"unix://{folder}/s")
        yield f"unix://{folder}/s"
    finally:
        process.kill()
        await process.wait()


async def test_an_embedded_installation_is_copied_while_it_runs_and_begins_elsewhere(tmp_path: Path) -> None:
    """Webinar, roster and attendance are there, and links that were handed out go on working."""
    old, new = {"ROOM_SERVER_DATA_DIR": str(tmp_path / "old")}, {"ROOM_SERVER_DATA_DIR": str(tmp_path / "new")}
    (tmp_path / "leads.csv").write_text("lead_id,name\n42,Ada\n", "utf-8")
    async with running("demo", "--port", "0", **old):
        assert (await finished("roster", "import", "demo", str(tmp_path / "leads.csv"), "--replace", **old))[0] == 0
        _, before, _ = await finished("attendance", "export", "demo", "--format", "json", **old)
        told = await backed_up(tmp_path / "old", tmp_path / "archive.tar.gz")
    unpacked(tmp_path / "archive.tar.gz", tmp_path / "new")
    _, after, _ = await finished("attendance", "export", "demo", "--format", "json", **new)
    kept = [(tmp_path / name / "token_secret").read_text() for name in ("old", "new")]

    assert told == (0, "")
    assert '"name":"Ada"' in before
    assert (before, kept[0]) == (after, kept[1])
    assert (tmp_path / "archive.tar.gz").stat().st_mode & 0o077 == 0


MOST_WRITES = 3000
"""A rewrite takes longer the more there is: without an end it would never catch up."""


async def test_a_copy_is_whole_whatever_is_written_and_rewritten_meanwhile(tmp_path: Path) -> None:
    archives = [tmp_path / f"{number}.tar.gz" for number in range(COPIES)]
    async with own_server(tmp_path / "old") as url, Redis.from_url(url) as client, Redis.from_url(url) as writer:
        await client.set("before", known := secrets.token_hex(100_000))
        copying = asyncio.create_task(copies(tmp_path / "old", archives, client))
        for _ in range(MOST_WRITES):
            if copying.done():
                break
            await writer.rpush("meanwhile", secrets.token_hex(10_000))
        await copying
    lengths = []
    for number, archive in enumerate(archives):
        unpacked(archive, tmp_path / f"new-{number}")
        async with own_server(tmp_path / f"new-{number}") as url, Redis.from_url(url) as client:
            assert await client.get("before") == known.encode()
            lengths.append(await client.llen("meanwhile"))

    assert 0 < lengths[0] <= lengths[-1]


async def copies(folder: Path, archives: list[Path], client: Redis) -> None:
    """Each made while the file is rewritten."""

    async def rests() -> bool:
        return not (await client.info("persistence"))["aof_rewrite_in_progress"]

    for archive in archives:
        await eventually(rests, "the last rewrite ends")
        await client.bgrewriteaof()
        assert await backed_up(folder, archive) == (0, "")


async def test_a_folder_without_a_file_is_said_to_be_none(tmp_path: Path) -> None:
    status, said = await backed_up(tmp_path, tmp_path / "archive.tar.gz")

    assert (status, "holds no appendonlydir" in said, list(tmp_path.iterdir())) == (1, True, [])


async def test_open_rooms_go_back_with_a_redis_that_was_restored(tmp_path: Path) -> None:
    """The web process stays up: it sees that Redis knows less than it, and makes the older state the newer one."""
    folder = tmp_path / "redis"
    async with contextlib.AsyncExitStack() as before:
        url = await before.enter_async_context(own_server(folder))
        async with open_state(settings_for(url)) as state:
            await transactions(state.store).create(room(title="as it was"))
        assert await backed_up(folder, tmp_path / "archive.tar.gz") == (0, "")
        async with serving(settings_for(url)) as site, site.socket("speaker") as held:
            first = await next_state(held)
            await site.status("start")
            live = await next_state(held)
            await before.aclose()
            (folder / "appendonlydir").rename(tmp_path / "put aside")
            unpacked(tmp_path / "archive.tar.gz", folder)
            async with own_server(folder):
                restored = await next_state(held)
                answer = await site.status("start")

    assert (first["status"], live["status"], restored["status"]) == ("scheduled", "live", "scheduled")
    assert first["epoch"] == live["epoch"] != restored["epoch"]
    assert answer.status_code == 200
