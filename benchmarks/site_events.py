"""Events to a site that takes 5 ms a request: how long after the evaluation it has all of them, and hooks meanwhile.

Each lead of the evaluation makes two events. Two runs after each other, on servers of their own: without a site, and
with one.
"""

import asyncio
import base64
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from benchmarks.evaluation import CALM_SECONDS, MOST_SECONDS, WORKER, Hooks, evaluated, prepare, process
from benchmarks.processes import free_port, percentile, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import valkey
from benchmarks.size import Size
from room_server.config import Settings
from room_server.state.site_events import standings
from room_server.state.startup import open_state
from room_server.state.store import Store

ANSWER_SECONDS = 0.005
EVENTS = (b'"type":"client_webinar_attendance_classified"', b'"type":"post_webinar_route"')
"""Of each lead."""
TIMES = 2.0
"""The site has everything within so many times the time of an evaluation without a site."""
SLOWER = 1.25
"""A hook's p99 is at most so many times that of an evaluation without a site: two runs are never quite the same."""


class Result(NamedTuple):
    """One run."""

    evaluated: float
    """Seconds from the stop until all leads are classified."""
    heard: float
    """Seconds from the stop until the site has all events; without a site, the same as `evaluated`."""
    requests: int
    busy: list[float]
    """Seconds that each hook took from the stop on, until the later of both."""


class Site:
    """Counts the evaluation's events."""

    def __init__(self) -> None:
        self.requests = 0
        self.events = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                await asyncio.sleep(ANSWER_SECONDS)  # what the site takes
                self.requests += 1
                self.events += sum(body.count(event) for event in EVENTS)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()  # the worker has ended, or the run has


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[Site]:
    """The site, for as long as the block runs."""
    site = Site()
    async with await asyncio.start_server(site.serve, "127.0.0.1", port):
        yield site


def measure(leads: int, with_site: bool) -> Result:
    """One run."""
    port = free_port()
    told = {
        "ROOM_SERVER_SITE_EVENTS_URL": f"http://127.0.0.1:{port}/events",
        "ROOM_SERVER_SITE_EVENTS_SECRET": "whsec_" + base64.b64encode(b"s" * 32).decode(),
    }
    with valkey() as url:
        asyncio.run(prepare(url, leads))
        with (
            process(url, "web", "--port", "0", ROOM_SERVER_EVALUATION_GRACE="0") as (_, address),
            process(url, "worker", **WORKER, **(told if with_site else {})),
        ):
            return asyncio.run(observe(url, address, leads, port if with_site else 0))


async def observe(url: str, address: str, leads: int, port: int) -> Result:
    """The stop, and hooks until everyone is classified and the site has heard of it."""
    hooks, stopper = Hooks(address), Hooks(address)
    for name in ("ended", "live"):
        hooks.send("core_webinar_set_status", {"webinar_id": name, "status": "start"}, "speaker")
    async with open_state(Settings(redis_url=url)) as state, listening(port or free_port()) as site:
        if port:
            await known(state.store)
        hooks.start()
        await asyncio.sleep(CALM_SECONDS)  # as before every evaluation that is measured
        calm, begun = len(hooks.took), time.perf_counter()
        await asyncio.to_thread(
            stopper.send, "core_webinar_set_status", {"webinar_id": "ended", "status": "stop"}, "speaker"
        )
        await evaluated(state.store)
        seconds = time.perf_counter() - begun
        async with asyncio.timeout(MOST_SECONDS):
            while port and site.events < len(EVENTS) * leads:  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.01)
        heard = time.perf_counter() - begun
        hooks.ends.set()
        await asyncio.to_thread(hooks.join)
    return Result(seconds, heard if port else seconds, site.requests, hooks.took[calm:])


async def known(store: Store) -> None:
    """Return when the site has its place. Raises TimeoutError."""
    async with asyncio.timeout(MOST_SECONDS):
        while not await standings(store):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)


def find(size: Size) -> Findings:
    """Without a site, and with one, in turn."""
    leads = size.site_leads
    runs: dict[bool, list[Result]] = {False: [], True: []}
    for number in range(size.rounds):
        for with_site, done in runs.items():
            say(f"evaluation of {leads:,} leads {'with' if with_site else 'without'} a site, round {number + 1}")
            done.append(measure(leads, with_site))
    return told(leads, runs)


def told(leads: int, runs: dict[bool, list[Result]]) -> Findings:
    """The table and the goals."""
    rows = [
        [
            "with a site that takes 5 ms" if with_site else "without a site",
            spread([one.evaluated for one in done], ".1f", " s"),
            spread([one.heard for one in done], ".1f", " s") if with_site else "–",
            spread([one.requests for one in done], ",.0f") if with_site else "–",
            spread_of_milliseconds([percentile(one.busy, 0.99) for one in done]),
        ]
        for with_site, done in runs.items()
    ]
    pairs = list(zip(runs[True], runs[False], strict=True))
    ratios = [told.heard / alone.heard for told, alone in pairs]
    slower = [percentile(told.busy, 0.99) / percentile(alone.busy, 0.99) for told, alone in pairs]
    goals = [
        Goal(f"{len(EVENTS) * leads:,} events are with the site, of an evaluation without one", f"≤ {TIMES:g} times",
             spread(ratios), statistics.median(ratios) <= TIMES),
        Goal("a live webinar's hooks meanwhile, p99 of that without a site", f"≤ {SLOWER:g} times",
             spread(slower), statistics.median(slower) <= SLOWER),
    ]  # fmt: skip
    head = ["", "until all are classified", "until the site has all events", "requests", "a hook's p99 meanwhile"]
    title = f"Events of an evaluation of {leads:,} leads to the site, {len(pairs)} rounds"
    return Findings([Table(title, head, rows)], goals)
