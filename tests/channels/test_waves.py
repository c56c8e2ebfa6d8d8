"""Crowds of sockets that come, hear a change and leave, wave after wave, each of other leads: nothing of them remains.

Measured by every allocation of a process, and by the memory that the system has given to it.
"""

import asyncio
import gc
import sys
import time
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import pytest

from room_server import auth
from room_server.channels.socket import RoomSocket
from room_server.process import CROWD, REST_SECONDS
from room_server.state.startup import open_state
from tests.crowds import change, many_descriptors, memory
from tests.support import PATIENCE, TOKEN_SECRET, Site, room, serving, settings_for, transactions, wait_until
from tests.terminal import running

AT_ONCE = 100
"""Handshakes under way at the same time."""
WARM = 2
"""Waves in which tables, caches and lists of spare objects get their size."""
KEPT = 16 * 1024
"""Bytes that may remain of all later waves together, however many they are."""
AIR = 2 * 2**20
"""Bytes by which the allocator may need more for one wave than for another of the same size."""


class Guest(asyncio.Protocol):
    """A socket that answers pings, as a browser does."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.states = 0
        """Room states that it got."""
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.states += data.count(b'"epoch"')
        if data[-10:-8] == b"\x89\x08":
            self.transport.write(b"\x8a\x88\0\0\0\0" + data[-8:])

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def leave(self, *, word: bool) -> None:
        """With a close frame, or without a word."""
        if word:
            self.transport.write(b"\x88\x82\0\0\0\0" + (1001).to_bytes(2, "big"))
        else:
            self.transport.abort()


def request(url: str, lead: int) -> bytes:
    """The lead's handshake, with a token of its own."""
    token = auth.issue(settings_for(url), {"sub": str(lead), "role": "attendee", "webinar_id": "w"}, 600)
    lines = ["GET /rooms/w/socket HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}", "Sec-WebSocket-Version: 13"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Protocol: room.v1, room.bearer.{token}", "", ""]).encode()


async def heard(guests: list[Guest], states: int) -> None:
    """Return when each has got so many."""
    await wait_until(lambda: all(guest.states >= states for guest in guests), f"all have got {states} states")


@asynccontextmanager
async def wave(url: str, port: int, leads: range, *, words: bool = False) -> AsyncIterator[None]:
    """These leads come; after the block they have left without a word or, if `words`, half of them with one."""
    loop = asyncio.get_running_loop()
    guests: list[Guest] = []
    for start in range(0, len(leads), AT_ONCE):
        fresh = [Guest(request(url, lead)) for lead in leads[start : start + AT_ONCE]]
        for guest in fresh:
            await loop.create_connection(lambda guest=guest: guest, "127.0.0.1", port)  # type: ignore[misc]
        await heard(fresh, 1)
        guests += fresh
    async with open_state(settings_for(url)) as state:
        await change(state.store)
    await heard(guests, 2)
    yield
    for number, guest in enumerate(guests):
        guest.leave(word=words and number % 2 == 0)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(guest.lost.wait() for guest in guests))


def forget_attributes() -> None:
    """Empty CPython's cache of attributes that were looked up, which fills over many requests: to 4,096 names."""
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()


async def stay(seconds: float) -> None:
    """The sockets are open for so long."""
    until = time.monotonic() + seconds
    await wait_until(lambda: time.monotonic() > until, "they have stayed for a while")


@contextmanager
def traced() -> Iterator[None]:
    """Within the block every allocation of this process is known."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


async def rested(site: Site) -> tracemalloc.Snapshot:
    """What this process holds once the sockets are gone and what was seen of them is stored."""
    hub, admission = site.inside.hub, site.inside.admission
    await wait_until(lambda: not admission.total, "all sockets are gone")
    await site.inside.watch.flush()
    gc.collect()
    forget_attributes()

    assert [found for found in gc.get_objects() if isinstance(found, RoomSocket)] == []
    assert (hub.groups, hub.seen.leads, len(site.inside.timers), len(admission.persons)) == ({}, 0, 0, 0)
    return tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)])


async def test_nothing_in_the_process_belongs_to_a_lead_that_has_left(valkey_url: str, soak: bool) -> None:
    """By every allocation of the process, those of the callers included."""
    waves, sockets = (50, 500) if soak else (6, 100)
    held: list[tracemalloc.Snapshot] = []
    with many_descriptors(), traced():
        async with serving(settings_for(valkey_url)) as site:
            await site.transactions.create(room())
            await site.status("start")
            port = int(site.address.rpartition(":")[2])
            for number in range(1, waves + 1):
                leads = range(number * sockets + 1, (number + 1) * sockets + 1)
                async with wave(valkey_url, port, leads, words=True):
                    assert site.inside.admission.total == sockets
                held.append(await rested(site))
            grown = held[-1].compare_to(held[WARM - 1], "lineno")

    assert sum(one.size_diff for one in grown) <= KEPT, "\n".join(map(str, grown[:20]))


@asynccontextmanager
async def process(url: str) -> AsyncIterator[tuple[int, int]]:
    """The port and the id of a web process, with webinar `w`."""
    environment = {"ROOM_SERVER_REDIS_URL": url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    with many_descriptors():
        async with open_state(settings_for(url)) as state, running("web", "--port", "0", **environment) as web:
            await transactions(state.store).create(room())
            yield int(web.address.rpartition(":")[2]), web.process.pid


async def test_memory_comes_back_when_a_crowd_has_left(valkey_url: str) -> None:
    """Not all of it: what CPython's allocator has taken, it keeps for the next crowd."""
    async with process(valkey_url) as (port, pid):
        empty = memory(pid)
        async with wave(valkey_url, port, range(1, 2 * CROWD + 1)):
            await stay(4 * REST_SECONDS)  # so that the process sees how many they are
            full = memory(pid)
        await wait_until(
            lambda: memory(pid) <= full - (full - empty) // 5, f"of {full - empty} bytes a fifth comes back"
        )


@pytest.mark.long
async def test_a_process_does_not_grow_with_the_waves(valkey_url: str, soak: bool) -> None:
    """A hundred of them, of 200,000 leads together."""
    assert soak
    sockets, inside = 2 * CROWD, []
    async with process(valkey_url) as (port, pid):
        for number in range(100):
            async with wave(valkey_url, port, range(number * sockets + 1, (number + 1) * sockets + 1)):
                inside.append(memory(pid))

    assert max(inside[WARM:]) - inside[WARM - 1] <= AIR, inside
