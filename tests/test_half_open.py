"""Thousands of connections that stop half-way delay no other, and are closed in time."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import httpx
import pytest

from room_server.protocols.bounded_http import BoundedHttp
from tests.crowds import many_descriptors
from tests.raw import handshake, request
from tests.support import PATIENCE, TOKEN_SECRET, Site, eventually, next_state, room, serving, settings_for, wait_until
from tests.terminal import running


class Patient(BoundedHttp):
    """The same protocol, with time for each request as long as for a test."""

    request_seconds = PATIENCE


class Hasty(BoundedHttp):
    """The same protocol with short timeouts."""

    request_seconds = 1.0


@asynccontextmanager
async def site_of(url: str, http: type[BoundedHttp]) -> AsyncIterator[Site]:
    """A site with a webinar, with the limit of open files raised as far as the system allows."""
    with many_descriptors():
        async with serving(settings_for(url, max_hooks_per_person=0), http=http) as site:
            await site.transactions.create(room())
            yield site


class Counting(asyncio.Protocol):
    """The client's end of a connection that sends something and then nothing more."""

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


@asynccontextmanager
async def half_open(site: Site, each: int) -> AsyncIterator[list[bytes]]:
    """So many connections of each kind while the block runs, and what the closed ones received."""
    hook = request(site, "/hooks/core_webinar_set_status", "POST", site.bearer(), b'{"webinar_id":"w"}')
    begun = {
        "nothing": b"",
        "half a request": hook[:30],
        "half a head": hook[:-30],
        "half a body": hook[:-3],
        "half a handshake": handshake(site)[:-3],
    }
    host, _, port = site.address.partition(":")
    loop, heard = asyncio.get_running_loop(), list[bytes]()
    async with contextlib.AsyncExitStack() as opened:
        for said in [*begun.values()] * each:
            make = lambda said=said: Counting(said, heard.append)  # noqa: E731
            opened.callback((await loop.create_connection(make, host, int(port)))[0].abort)
        yield heard


@pytest.fixture
def each(soak: bool) -> int:
    """How many connections there are of each kind."""
    return 200 if soak else 40


async def test_half_open_connections_delay_no_other(valkey_url: str, each: int) -> None:
    async with site_of(valkey_url, Patient) as site, half_open(site, each) as heard:
        for word in ("start", "stop"):
            assert (await site.status(word)).status_code == 200
        async with site.socket() as socket:
            assert (await next_state(socket))["status"] == "finished"
        assert heard == [], "they are all still there, and others were served"


async def test_half_open_connections_end_in_time_with_a_reason_for_those_that_sent_something(
    valkey_url: str, each: int
) -> None:
    async with site_of(valkey_url, Hasty) as site, half_open(site, each) as heard:
        await wait_until(lambda: len(heard) == 5 * each, "all are gone")
        told = [b"request_timeout" in answer for answer in heard]
        assert (told.count(True), told.count(False)) == (4 * each, each)
        assert [answer for answer in heard if not answer] == [b""] * each
        assert (await site.status("start")).json()["duplicate"] is False


async def is_ready(http: httpx.AsyncClient) -> bool:
    """Whether the process answers and is ready."""
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/readyz")).status_code == 200
    return False


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux changes the limits of a process that runs")
async def test_a_process_without_free_descriptors_turns_away_and_recovers(valkey_url: str) -> None:
    settings = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    settings["ROOM_SERVER_MAX_SOCKETS"] = "500"  # so few that no machine lets too few files be open
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
            await eventually(lambda: is_ready(http), "there are descriptors again")
        assert await web.end() == (0, "")
