"""A thousand connections that are begun and not gone on with: nobody waits for them, and they are gone in time."""

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx
import pytest

from room_server.server import BoundedHttp
from tests.conftest import settings_for
from tests.crowds import many_descriptors
from tests.raw import handshake, request
from tests.support import PATIENCE, TOKEN_SECRET, Site, next_state, room, serving, wait_until
from tests.terminal import running

DEADLINE = 4.0
EACH = 200


class Brisk(BoundedHttp):
    """The same bounds, sooner: long enough for a thousand connections to be made on a busy machine."""

    request_seconds = DEADLINE


@pytest.fixture
async def brisk(valkey_url: str) -> AsyncIterator[Site]:
    """A site with a webinar that waits four seconds for each request."""
    with many_descriptors():
        async with serving(settings_for(valkey_url, max_hooks_per_person=0), http=Brisk) as site:
            await site.store.create(room())
            yield site


class Counting(asyncio.Protocol):
    """One end of a connection that says something and then nothing more."""

    def __init__(self, said: bytes, gone: Callable[[bytes], None]) -> None:
        self._said = said
        self._gone = gone
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._said)

    def data_received(self, data: bytes) -> None:
        self._heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(self._heard)


async def test_a_thousand_half_open_connections_hold_up_nobody_and_end_in_time(brisk: Site) -> None:
    hook = request(brisk, "/hooks/core_webinar_set_status", "POST", brisk.bearer(), b'{"webinar_id":"w"}')
    begun = {
        "nothing": b"",
        "half a request": hook[:30],
        "half a head": hook[:-30],
        "half a body": hook[:-3],
        "half a handshake": handshake(brisk)[:-3],
    }
    host, _, port = brisk.address.partition(":")
    loop, heard, opened = asyncio.get_running_loop(), list[bytes](), []
    for said in [*begun.values()] * EACH:
        make = lambda said=said: Counting(said, heard.append)  # noqa: E731
        opened.append((await loop.create_connection(make, host, int(port)))[0])
    started = time.monotonic()

    for word in ("start", "stop"):
        assert (await brisk.status(word)).status_code == 200
    async with brisk.socket() as socket:
        assert (await next_state(socket))["status"] == "finished"
    assert heard == [], "they are all still there, and others were served"

    await wait_until(lambda: len(heard) == len(opened), "all are gone", DEADLINE + PATIENCE)
    assert time.monotonic() - started < DEADLINE + PATIENCE / 2
    told = [b"request_timeout" in answer for answer in heard]
    assert (told.count(True), told.count(False)) == (4 * EACH, EACH)
    assert [answer for answer in heard if not answer] == [b""] * EACH
    assert (await brisk.status("stop")).json()["duplicate"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux changes the limits of a process that runs")
async def test_a_process_without_free_descriptors_turns_away_and_recovers(valkey_url: str) -> None:
    settings = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    async with running("web", "--port", "0", **settings) as web, contextlib.AsyncExitStack() as silent:
        resource.prlimit(web.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        host, _, port = web.address.removeprefix("http://").partition(":")
        ends = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        for _, writer in ends:
            silent.callback(writer.transport.abort)
        await wait_until(lambda: sum(end.at_eof() for end, _ in ends) > 40, "those are turned away who do not fit")
        async with httpx.AsyncClient(base_url=web.address, timeout=PATIENCE) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/readyz")
            await silent.aclose()
            assert (await http.get("/readyz")).status_code == 200
        assert await web.end() == (0, "")
