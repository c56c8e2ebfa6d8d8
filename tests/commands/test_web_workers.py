"""`room-server web --workers N`: one address for all, and whatever becomes of one worker, the others go on."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
from redis.asyncio import Redis
from uvicorn.supervisors.multiprocess import Process
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server import auth
from room_server.commands.web_workers import Workers
from room_server.config import Settings
from room_server.protocols.bounded_http import uvicorn_config
from tests.commands.test_serve import post
from tests.outage import own_redis
from tests.support import AT, PATIENCE, TOKEN_SECRET, eventually, next_state, state_where, wait_until
from tests.terminal import WAITS, Running, finished, running


async def test_a_hook_at_one_of_two_workers_is_heard_by_sockets_on_both(valkey_url: str) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    at = ("--at", AT.isoformat())
    assert (await finished("webinar", "create", "demo", "--title", "Launch", *at, **environment))[0] == 0
    async with (
        running("web", "--port", "0", "--workers", "2", **environment) as site,
        contextlib.AsyncExitStack() as stack,
    ):
        sockets = []
        await wait_until(lambda: len(workers_of(site.process.pid)) == 2, "both workers are there")
        for worker in workers_of(site.process.pid):
            with frozen(worker):  # so the other one answers
                sockets.append(await stack.enter_async_context(on_socket(site)))
                assert (await next_state(sockets[-1]))["status"] == "scheduled"
        assert len(sockets) == 2
        link = f"#token={token('speaker')}"
        assert (await post(site, "core_webinar_set_status", link, {"status": "start"})).status_code == 200
        await asyncio.gather(*(state_where(one, status="live", version=2) for one in sockets))
        status, complaints = await site.end()
        assert (status, "Traceback" in complaints) == (0, False)


@contextlib.asynccontextmanager
async def two_workers(url: str) -> AsyncIterator[tuple[Running, int, int]]:
    """A site of two workers, both of which serve."""
    environment = {"ROOM_SERVER_REDIS_URL": url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    unlimited = {"ROOM_SERVER_MAX_READS_PER_PERSON": "0"}
    async with running("web", "--port", "0", "--workers", "2", **environment, **unlimited) as site:
        one, other = await wait_until(lambda: two_of(site), "both workers are there", PATIENCE)
        await serves(site, one)
        await serves(site, other)
        yield site, one, other


def two_of(site: Running) -> list[int]:
    """The site's workers, when there are two."""
    return found if len(found := workers_of(site.process.pid)) == 2 else []


async def serves(site: Running, worker: int) -> None:
    """A worker says that it lives, which it does once it has started; whoever is asked knows of all."""

    async def is_counted() -> bool:
        async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
            answer = await http.get("/monitor/counts", headers={"Authorization": f"Bearer {token('monitor')}"})
        return worker in {int(node["node"].rsplit("-", 2)[1]) for node in answer.json().get("nodes", [])}

    await eventually(is_counted, f"worker {worker} serves", PATIENCE)


async def replaced(site: Running, worker: int) -> int:
    """A worker is killed; the one that takes its place."""
    before = set(workers_of(site.process.pid))
    os.kill(worker, signal.SIGKILL)
    found: set[int] = await wait_until(lambda: set(two_of(site)) - before, "another takes its place", PATIENCE)
    return found.pop()


async def answers(site: Running) -> int:
    """The status with which whoever serves says that it lives."""
    async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
        return (await http.get("/healthz")).status_code


async def test_a_worker_that_ends_while_redis_is_unreachable_is_replaced_and_the_others_stay() -> None:
    async with own_redis() as server, two_workers(server.url) as (site, one, other):
        await server.kill()
        new = await replaced(site, one)
        await wait_until(lambda: WAITS in site.told(), "it waits", PATIENCE)
        assert await answers(site) == 200
        assert set(workers_of(site.process.pid)) == {new, other}
        await server.start()
        await serves(site, new)

        await server.kill()
        await replaced(site, other)
        await wait_until(lambda: site.told().count(WAITS) == 2, "the next one waits", PATIENCE)
        status, printed = await site.end()

    assert (status, "Traceback" in printed) == (0, False)


async def test_a_worker_that_cannot_start_ends_no_other_unless_none_serves() -> None:
    async with (
        own_redis() as server,
        two_workers(server.url) as (site, one, other),
        Redis.from_url(server.url) as client,
    ):
        await client.config_set("requirepass", "changed")
        os.kill(one, signal.SIGKILL)
        await wait_until(lambda: site.told().count("does not take us") >= 2, "it cannot start", PATIENCE)
        assert await answers(site) == 200
        assert other in workers_of(site.process.pid)

        for worker in workers_of(site.process.pid):
            os.kill(worker, signal.SIGKILL)
        status, printed = await site.ended()

    assert (status, printed.splitlines()[-1]) == (1, "Error: the server could not start; the log says why")


class HardOfHearing(Process):
    """A worker that is deaf to the first SIGTERM."""

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it can hear; end at the second."""
        heard = itertools.count()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7) if next(heard) else None)
        self.child_conn.send(b"")
        while True:
            signal.pause()


async def test_a_worker_that_missed_sigterm_gets_another() -> None:
    """As one that is told while it starts: uvicorn notes the signal, and acts on it when the start is over."""
    worker = HardOfHearing(uvicorn_config("room_server.app:from_environment", workers=1), [])
    workers = Workers.__new__(Workers)
    workers.processes = [worker]
    worker.start()
    try:
        assert worker.parent_conn.poll(PATIENCE)
        workers.terminate_all()
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(workers.join_all)
    finally:
        worker.kill()

    assert worker.exitcode == 7


def token(role: str) -> str:
    """A token for the demo, signed as the processes verify."""
    return auth.issue(Settings(token_secret=TOKEN_SECRET), {"sub": role, "role": role, "webinar_id": "demo"}, 60)


def on_socket(site: Running) -> connect:
    """A moderator's socket on the demo."""
    offered = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token('moderator')}")]
    return connect(f"{site.address.replace('http', 'ws')}/rooms/demo/socket", subprotocols=offered)


def workers_of(parent: int) -> list[int]:
    """The worker processes of a server (Linux's /proc)."""
    workers = []
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):  # it has ended since
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                workers.append(int(child))
    return workers


@contextlib.contextmanager
def frozen(process: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
