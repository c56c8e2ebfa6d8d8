"""`kill -9` of workers in the middle of a request: every event arrives, in order, and its id makes it once."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from room_server.core.site_delivery import MOST
from tests.site.receiver import SECRET, slow, take, take_and_crash
from tests.site.sending import Sending
from tests.state.processes import Beside, beside
from tests.support import SLACK, eventually, wait_until

LEASE_SECONDS = 10
TAKEN_OVER = 15
"""Seconds within which the contract promises that a dead worker's events go on."""


@asynccontextmanager
async def worker(events: Sending) -> AsyncIterator[Beside]:
    """`room-server worker`, as a process of its own."""
    made = events.settings
    environment = {
        "ROOM_SERVER_REDIS_URL": str(made.redis_url),
        "ROOM_SERVER_SITE_EVENTS_URL": made.site_events_url,
        "ROOM_SERVER_SITE_EVENTS_SECRET": SECRET,
    }
    async with beside("room_server", "worker", **environment) as process:
        yield process


async def holder(events: Sending) -> int:
    """The process id of the worker that has the lease."""
    standing = await events.standing()
    lease = await events.store.call("HGET", events.store.keys.receiver(events.tag, standing.receiver), "lease")
    return int(lease.split()[1].rsplit(b"-", 2)[1])


async def requests(events: Sending, count: int) -> None:
    """Return when the site has got so many."""
    await wait_until(lambda: len(events.site.requests) >= count, f"{count} requests came")


async def test_whoever_is_killed_in_a_request_nothing_is_lost_and_nothing_overtakes(
    events: Sending, soak: bool
) -> None:
    """Round after round a worker starts, sends, and is killed while its request is open or its answer on the way."""
    site = events.site
    async with worker(events):
        await events.known()
    rounds = 40 if soak else 5
    for number in range(rounds):
        ids = await events.enter(130)
        before = len(site.requests)
        site.usual = slow(0.05) if number % 2 else take
        site.next.append(take_and_crash if number % 3 == 0 else slow(0.3))
        await events.later(LEASE_SECONDS + 1)
        async with worker(events) as killed:
            await requests(events, before + 1 + number % 2)
            killed.kill()
    await events.later(4 * 3600)
    site.next.clear()
    async with worker(events):
        await events.heard(*ids)
        await events.until(state="ok")

    assert site.ids == await events.in_stream()
    assert site.most_open <= 2  # what a killed worker had sent may still be being answered
    again = len([event for request in site.requests for event in request.events]) - len(site.ids)
    assert 0 < again <= 2 * MOST * rounds  # no more than what was in flight


async def test_another_worker_takes_over_within_the_time_that_is_promised(events: Sending) -> None:
    """Two workers; the one that sends is killed. Nobody turns the clock here."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker(events)) for _ in range(2)]
        await events.known()
        for process in workers:
            await process.has_said(1)
        await events.heard(*await events.enter(1))
        events.site.next.append(slow(3600))
        ids = await events.enter(5)
        await wait_until(lambda: len(events.site.requests) == 2, "it is being sent")
        began = time.monotonic()
        os.kill(await holder(events), signal.SIGKILL)
        await events.heard(*ids)
        took = time.monotonic() - began

    assert took < TAKEN_OVER + SLACK
    assert events.site.ids == await events.in_stream()


async def test_a_frozen_worker_that_wakes_up_changes_nothing(events: Sending) -> None:
    """Another one has its lease by then; what it stores is no longer right, and is not stored."""
    answering = asyncio.Event()

    async def wait(site: object, request: object, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await take(site, request, writer)  # type: ignore[arg-type]

    async with worker(events) as frozen:
        await events.known()
        events.site.next.append(wait)
        ids = await events.enter(3)
        await wait_until(lambda: events.site.requests, "it is being sent")
        pid = await holder(events)
        os.kill(pid, signal.SIGSTOP)
        await events.later(LEASE_SECONDS + 1)
        async with events.delivering():
            await events.heard(*ids)
            more = await events.enter(3)
            await events.heard(*more)
            answering.set()
            os.kill(pid, signal.SIGCONT)
            last = await events.enter(3)
            await events.heard(*last)
        assert frozen.process.returncode is None

        async def caught_up() -> bool:
            standing = await events.standing()
            return standing.lag == 0 and standing.progress.sent == 9

        await eventually(caught_up, "each event is counted once")
    assert events.site.ids == await events.in_stream()
