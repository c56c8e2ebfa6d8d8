"""A whole webinar of a thousand sockets: what the server counts of each lead, beside what the leads themselves did.

They come late, leave with a word or without, open a second tab, come back; the webinar pauses; a process is killed.
"""

import asyncio
import os
import random
import signal
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import NamedTuple, cast

import httpx

from room_server import attendance_report, auth
from room_server.channels.watch_recorder import FLUSH_SECONDS
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core import watch_time
from room_server.core.decision_types import Command, OperatorAction
from room_server.core.room import Room
from room_server.state.redis.pipeline import pairs
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.webinar_report import report
from tests.crowds import many_descriptors
from tests.support import OPERATOR, PATIENCE, SLACK, TOKEN_SECRET, room, settings_for, transactions, wait_until
from tests.terminal import Running, running

LEADS = 800
"""Some of them open a second tab, and all whose process dies come back: a thousand sockets and more."""
UNSTORED = FLUSH_SECONDS + SLACK
"""Seconds before a kill of which what was seen may be lost."""
UNREAD = 1.0
"""Seconds before a peer vanishes whose words the kernel may throw away unread."""


class Visit(asyncio.Protocol):
    """One socket of a lead, that answers pings; it knows when it was surely there. Times are Unix seconds."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._inbox = b""
        self.began = time.time()
        self.opened = 0.0
        self.answers: list[float] = []
        """When it answered the server."""
        self.ended = 0.0
        self.end = "open"
        """How it ended: `close`, `vanish`, or `lost` with its process."""
        self.killed_at = inf
        """When its process was killed."""
        self.transport: asyncio.Transport | None = None
        self.over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        if not self.opened:
            head, found, rest = self._inbox.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), data
            self.opened, self._inbox = time.time(), rest
        while len(self._inbox) >= 4:
            size, at = (self._inbox[1], 2) if self._inbox[1] < 126 else (int.from_bytes(self._inbox[2:4]), 4)
            if len(self._inbox) < at + size:
                return
            first, payload, self._inbox = self._inbox[0], self._inbox[at : at + size], self._inbox[at + size :]
            if first == 0x89:
                self._say(0x8A, payload)

    def _say(self, first: int, payload: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(bytes((first, 0x80 + len(payload), 0, 0, 0, 0)) + payload)
            self.answers.append(time.time())

    def leave(self, how: str) -> None:
        """With a close frame once the socket is open, or without a word."""
        if self.end == "open" and self.transport is not None:
            self.end = how
            if how == "close" and self.opened:
                self._say(0x88, (1001).to_bytes(2))
            else:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = time.time()
        self.end = "lost" if self.end == "open" else self.end
        self.over.set()

    def surely(self) -> tuple[float, float]:
        """From when until when the server must have seen it."""
        until = min(self.ended - (UNREAD if self.end == "vanish" else 0), self.killed_at - UNSTORED)
        return self.opened, max((at for at in self.answers if at <= until), default=0.0)

    def perhaps(self) -> tuple[float, float]:
        """From when until when the server may have seen it."""
        return self.began, self.ended


class Script(NamedTuple):
    """When somebody comes, in seconds after the start; for how long; how the visit ends."""

    begins: float
    lasts: float
    ends: str


def script(chance: random.Random, length: float) -> list[Script]:
    """What one lead does: one to three visits, some with a tab beside them."""
    visits = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        visit = Script(chance.uniform(-1, length), chance.expovariate(2 / length), chance.choice(["close", "vanish"]))
        visits += [visit] * (2 if chance.random() < 0.2 else 1)
    return visits


class Webinar:
    """Two processes, the leads' visits, and the hooks of a speaker."""

    def __init__(self, settings: Settings, processes: list[Running], chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._doomed: list[Visit] = []
        """The visits to the last of the processes."""
        self.ports = [int(web.address.rpartition(":")[2]) for web in processes]
        self.visits: dict[int, list[Visit]] = {lead: [] for lead in range(1, LEADS + 1)}
        self.is_over = False

    def everybody(self) -> list[Visit]:
        """All visits so far."""
        return [visit for visits in self.visits.values() for visit in visits]

    async def play(self, lead: int, planned: Script) -> None:
        """One visit; who loses its socket to a dead process comes back until its time is over."""
        await asyncio.sleep(planned.begins + 1)
        until = time.time() + planned.lasts
        while time.time() < until and not self.is_over:
            visit = await self._visit(lead)
            if visit is None:
                continue
            left = asyncio.get_running_loop().call_later(max(until - time.time(), 0), visit.leave, planned.ends)
            await visit.over.wait()
            left.cancel()

    async def _visit(self, lead: int) -> Visit | None:
        token = auth.issue(self._settings, {"sub": str(lead), "role": "attendee", "webinar_id": "w"}, 3600)
        lines = ["GET /rooms/w/socket HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Protocol: room.v1, room.bearer.{token}"]
        visit = Visit("\r\n".join([*lines, "", ""]).encode())
        try:
            port = self._chance.choice(self.ports)
            await asyncio.get_running_loop().create_connection(lambda: visit, "127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            return None
        self.visits[lead].append(visit)
        if port == self.ports[-1]:
            self._doomed.append(visit)
        return visit

    def kill(self, doomed: Running) -> None:
        """`kill -9` of the last process."""
        for visit in self._doomed:
            visit.killed_at = time.time()
        self.ports.pop()
        self._doomed.clear()
        doomed.process.send_signal(signal.SIGKILL)

    async def speak(self, name: str, **fields: object) -> None:
        """A hook of the speaker, to the process that lives."""
        claims = {"sub": "s", "role": "speaker", "webinar_id": "w"}
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            address = f"http://127.0.0.1:{self.ports[0]}/hooks/{name}"
            bearer = {"Authorization": f"Bearer {auth.issue(self._settings, claims, 600)}"}
            answer = await http.post(address, json={"webinar_id": "w", **fields}, headers=bearer)
        answer.raise_for_status()

    async def changes(self, seconds: float) -> None:
        """A change every two seconds: its receipts tell who is there."""
        for number in range(int(seconds / 2)):
            await self.speak("core_webinar_set_cta_visibility", visible=number % 2 == 0)
            await asyncio.sleep(2)


def web(url: str) -> AbstractAsyncContextManager[Running]:
    more = {"ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0", "ROOM_SERVER_DRAIN_SECONDS": "1"}
    return running("web", "--port", "0", ROOM_SERVER_REDIS_URL=url, ROOM_SERVER_TOKEN_SECRET=TOKEN_SECRET, **more)


async def held(webinar: Webinar, store: Store, doomed: Running, length: float) -> None:
    """The start, a kill, a pause, the end; everybody who is still there hears of it."""
    await webinar.speak("core_webinar_set_status", status="start")
    await webinar.changes(length * 0.3)
    webinar.kill(doomed)
    await webinar.changes(length * 0.2)
    for trigger in ("pause", "resume"):
        command = Command(id=trigger, actor=OPERATOR, hook=OperatorAction("w", trigger))
        await transactions(store).apply(command)
        await asyncio.sleep(length * 0.1)
    await webinar.changes(length * 0.3)
    await webinar.speak("core_webinar_set_status", status="stop")
    webinar.is_over = True


def slots(known: Room, interval: tuple[float, float]) -> set[int]:
    """The slots of the time on air that an interval of Unix time touches."""
    found = 0
    ends = [*(stretch.from_ms for stretch in known.stretches[1:]), known.on_air_ms]
    for stretch, end_ms in zip(known.stretches, ends, strict=True):
        begin = stretch.since.timestamp()
        first, last = max(interval[0], begin), min(interval[1], begin + (end_ms - stretch.from_ms) / 1000)
        if first <= last:
            ahead = stretch.from_ms - begin * 1000
            found |= watch_time.span(first * 1000 + ahead, last * 1000 + ahead)
    return slots_of(watch_time.within(found, known.on_air_ms))


def slots_of(bitmap: int) -> set[int]:
    """The numbers of the slots."""
    return {slot for first, last in watch_time.runs(bitmap) for slot in range(first, last + 1)}


def union(known: Room, intervals: Iterator[tuple[float, float]]) -> set[int]:
    return set().union(*(slots(known, interval) for interval in intervals))


async def test_every_lead_is_counted_as_long_as_it_was_there(valkey_url: str, soak: bool) -> None:
    length, chance, settings = 180.0 if soak else 24.0, random.Random(16), settings_for(valkey_url)
    with many_descriptors():
        async with open_state(settings) as state, web(valkey_url) as survivor, web(valkey_url) as doomed:
            await transactions(state.store).create(room(scheduled_at=utc_now()))
            webinar = Webinar(settings, [survivor, doomed], chance)
            async with asyncio.TaskGroup() as tasks:
                for lead in webinar.visits:
                    for planned in script(chance, length):
                        tasks.create_task(webinar.play(lead, planned))
                await held(webinar, state.store, doomed, length)
                await asyncio.sleep(3)  # the receipts of the end
                for visit in webinar.everybody():
                    visit.leave("close")
            await wait_until(lambda: all(visit.over.is_set() for visit in webinar.everybody()), "all have left")
            assert (await survivor.end())[0] == 0
            await compare(webinar, state.store)


async def compare(webinar: Webinar, store: Store) -> None:
    """What the server stored beside what the leads did: each slot that they were surely in, and at most one more for
    each visit than those that they may have been in, since a busy server hears of an end late.
    """
    known = (await store.load("w")).room
    assert known is not None
    bitmaps = {int(lead): bitmap for lead, bitmap in pairs(await store.call("HGETALL", store.keys.watch("w")))}
    told, people = (await report(store, "w")).audience, Counter[int]()
    for lead, visits in webinar.visits.items():
        seen = slots_of(watch_time.from_bytes(bitmaps.get(lead, b"")))
        people.update(seen & slots_of(watch_time.within(-1, known.on_air_ms)))
        assert union(known, (visit.surely() for visit in visits)) <= seen, lead
        assert len(seen - union(known, (visit.perhaps() for visit in visits))) <= len(visits), lead
    assert len(webinar.everybody()) >= 1000
    assert [point.leads for point in told] == [people[slot] for slot in range(len(told))]
    for row in await attendance_report.rows_of(store, "w", list(webinar.visits)):
        assert row.watched_s * 1000 <= known.on_air_ms
