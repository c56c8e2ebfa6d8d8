"""`room-server worker` as a process: what it says, what it refuses, how it ends."""

import asyncio
import contextlib
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.outage import own_redis
from tests.support import PATIENCE, wait_until
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.conftest import api, outgoing
from tests.telegram.outgoing import Outgoing
from tests.terminal import WAITS, Terminal, clean, finished, running, starting

SOURCE = Path(__file__).parents[2] / "room_server"
__all__ = ["api", "outgoing"]


async def test_a_worker_prints_ready_sends_and_ends_on_sigterm(
    outgoing: Outgoing, api: BotApi, valkey_url: str
) -> None:
    await outgoing.put(70011)
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
                   "ROOM_SERVER_TELEGRAM_BASE_URL": api.url, "ROOM_SERVER_LOG_FORMAT": "json"}  # fmt: skip
    async with running("worker", **environment) as worker:
        await outgoing.until(70011, "sent")
        status, log = await worker.end()

    assert (worker.address, status) == ("worker", 0)
    assert '"message":"telegram: attendance of w: sent"' in log
    assert [word for word in ("70011", TOKEN, "123456") if word in log] == []


async def test_a_worker_ends_in_order_when_redis_is_gone() -> None:
    async with own_redis() as server, running("worker", ROOM_SERVER_REDIS_URL=server.url) as worker:
        await server.kill()
        status, log = await worker.end()

        assert (status, "Traceback" in log) == (0, False)


async def test_a_worker_with_a_broken_text_does_not_begin(tmp_path: Path, valkey_url: str) -> None:
    """Whoever edits the file of texts hears of it at once, and not message by message."""
    shutil.copytree(SOURCE, tmp_path / "room_server", ignore=shutil.ignore_patterns("__pycache__"))
    texts = tmp_path / "room_server" / "telegram" / "texts" / "en.toml"
    texts.write_text(
        texts.read_text("utf-8").replace("recording = ", "recrding = ").replace("<b>{name}</b>", "<b>{nmae}")
    )
    environment = clean(ROOM_SERVER_REDIS_URL=valkey_url, PYTHONPATH=str(tmp_path))
    words = [sys.executable, "-m", "room_server", "worker"]

    process = await create_subprocess_exec(*words, env=environment, cwd=tmp_path, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            _, complaints = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    assert process.returncode == 1
    assert complaints.decode().splitlines()[-1].startswith("Error: the Telegram texts cannot be used: ")
    for word in ("ru.recrding is missing", "en.recording is missing", "{nmae} is no place", "<b> is not closed"):
        assert word in complaints.decode()


async def test_settings_that_are_wrong_are_named_and_nothing_begins() -> None:
    wrong = {"ROOM_SERVER_TELEGRAM_BASE_URL": "telegram", "ROOM_SERVER_EVALUATION_GRACE": "soon"}

    status, out, complaints = await finished("worker", **wrong)

    assert (status, out) == (1, "")
    assert [name in complaints for name in wrong] == [True, True]


async def test_it_waits_for_redis_and_then_works() -> None:
    async with own_redis() as server:
        await server.kill()
        async with starting("worker", ROOM_SERVER_REDIS_URL=server.url) as waiting:
            await wait_until(lambda: WAITS in waiting.told(), "it says what it waits for", PATIENCE)
            await server.start()
            worker = await waiting.ready()
            status, printed = await worker.end()

    assert (worker.address, status, printed.count(WAITS)) == ("worker", 0, 1)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_at_once_while_it_waits(tmp_path: Path, sent: signal.Signals) -> None:
    async with starting("worker", ROOM_SERVER_REDIS_URL=f"unix://{tmp_path}/none") as worker:
        await wait_until(lambda: WAITS in worker.told(), "it waits", PATIENCE)
        status, printed = await worker.end(sent)

    assert (status, len(printed.splitlines())) == (0, 1)


def test_help_shows_an_example(terminal: Terminal) -> None:
    assert "ROOM_SERVER_TELEGRAM_TOKEN=123:abc room-server worker" in terminal.says("worker", "--help")


def test_it_takes_no_arguments(terminal: Terminal) -> None:
    assert "Got unexpected extra argument (launch)" in terminal.misunderstands("worker", "launch")
