"""The example receivers, run as they stand: what their table holds is what happened, in order, once."""

import asyncio
import shutil
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from room_server.site.batch import Batch, headers
from tests.cluster import free_ports
from tests.site.receiver import SECRET, SiteReceiver
from tests.site.sending import Sending, sending
from tests.site.test_batch import batch
from tests.support import PATIENCE, eventually
from tests.terminal import clean

FOLDER = Path(__file__).parents[2] / "examples"
PHP = shutil.which("php")
OLD = "whsec_" + "A" * 43 + "="
KEY = b"the secret of the site's events!"
LANGUAGES = ["python", pytest.param("php", marks=pytest.mark.skipif(PHP is None, reason="php is not installed here"))]


class Example:
    """A running example: where it listens, and its table."""

    def __init__(self, url: str, database: Path) -> None:
        self.url = url
        self._database = database

    def rows(self) -> list[str]:
        """The ids in the table, in the order in which they came."""
        with closing(sqlite3.connect(self._database, timeout=PATIENCE)) as opened:
            return [name for (name,) in opened.execute("SELECT id FROM events ORDER BY number")]

    async def post(self, made: Batch, key: bytes = KEY, stamp: int = 0) -> int:
        """The status of the answer to a batch."""
        signed = headers(made, [key], stamp or int(time.time()))
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.post(self.url, content=made.body, headers=signed, timeout=PATIENCE)).status_code


@asynccontextmanager
async def example(language: str, folder: Path) -> AsyncIterator[Example]:
    """The example of this language, for as long as the block runs."""
    (port,) = free_ports(1)
    database = folder / "events.db"
    environment = {"ROOM_SERVER_SITE_EVENTS_SECRET": f"{OLD} {SECRET}", "EVENTS_DATABASE": str(database)}
    words = [sys.executable, "-W", "error", str(FOLDER / "receive_events.py"), str(database), "--port", str(port)]
    if language == "php":
        words = [str(PHP), "-S", f"127.0.0.1:{port}", str(FOLDER / "receive_events.php")]
    process = await asyncio.create_subprocess_exec(*words, env=clean(**environment), stdout=PIPE, stderr=PIPE)
    try:
        await eventually(lambda: listens(port, process), "it listens")
        yield Example(f"http://127.0.0.1:{port}/events", database)
    finally:
        process.kill()
        await process.communicate()


async def listens(port: int, process: Process) -> bool:
    assert process.returncode is None
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_caller_that_says_nothing_keeps_no_event_away(language: str, tmp_path: Path) -> None:
    async with example(language, tmp_path) as running:
        target = httpx.URL(running.url)
        _, silent = await asyncio.open_connection(target.host, target.port)
        try:
            async with asyncio.timeout(PATIENCE):
                assert await running.post(batch(1)) == 204
        finally:
            silent.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_request_in_chunks_is_taken(language: str, tmp_path: Path) -> None:
    """As a proxy may send it on; a 413 would say of good events that they are refused."""
    made = batch(1)

    async def chunks() -> AsyncIterator[bytes]:
        yield made.body[:100]
        yield made.body[100:]

    async with example(language, tmp_path) as running, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(running.url, content=chunks(), headers=headers(made, [KEY], int(time.time())))

        assert (answer.status_code, running.rows()) == (204, ["e:w:1"])


async def test_a_chunk_whose_size_is_negative_ends_the_body(tmp_path: Path) -> None:
    """It would be read until the caller ends, however much comes. (PHP's server refuses it by itself.)"""
    async with example("python", tmp_path) as running, asyncio.timeout(PATIENCE):
        url = httpx.URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"401"
        writer.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_table_holds_each_event_once_in_order(language: str, tmp_path: Path, valkey_url: str) -> None:
    async with example(language, tmp_path) as running, sending(valkey_url, SiteReceiver(running.url)) as events:
        async with events.delivering():
            await events.enter(230)
            await eventually(lambda: taken(events, 230), "all are taken")
        again = batch(1, 2)
        assert [await running.post(again), await running.post(again)] == [204, 204]

        assert running.rows() == [*await events.in_stream(), "e:w:1", "e:w:2"]


async def taken(events: Sending, count: int) -> bool:
    return (await events.standing()).progress.sent == count


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_is_forged_or_stale_is_refused_and_stored_nowhere(language: str, tmp_path: Path) -> None:
    made, now = batch(1), int(time.time())
    other = made._replace(body=made.body.replace(b"e:w:1", b"e:w:2"))
    async with example(language, tmp_path) as running:
        assert await running.post(made) == 204
        refused = [
            await running.post(other, b"z" * 32),
            await running.post(other, stamp=now - 3600),
            await running.post(other, stamp=now + 3600),
        ]
        signed = headers(made, [KEY], now)
        for changed in ({"webhook-signature": "v1,"}, {"webhook-id": "another"}, {"webhook-timestamp": "soon"}):
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.post(running.url, content=made.body, headers={**signed, **changed})
            refused.append(answer.status_code)

        assert refused == [401] * 6
        assert running.rows() == ["e:w:1"]
