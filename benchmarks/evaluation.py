"""After the end: leads per second from the stop to the last classification, the worker's memory, and hooks meanwhile.

`python -m benchmarks.evaluation [LEADS…]` (1,000, 10,000 and 100,000). For each number a server, a web process and a
worker of their own, all as in production: each lead is classified, routed and put into the outbox with three messages,
each step durable, while the worker writes to a Telegram that is not there, at its pace.
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.planning import Plan, new_room
from room_server.core.room import RosterEntry
from room_server.state import roster
from room_server.state.evaluation import Evaluations
from room_server.state.opening import open_state
from room_server.state.store import Store, new_epoch

SECRET = "a-secret-of-the-benchmarks-long-enough"
SIZES = (1_000, 10_000, 100_000)
CALM_SECONDS = 3.0
GAP = 0.01
"""Seconds between two hooks."""
BATCH = 10_000


class Result(NamedTuple):
    """What one number of leads came to."""

    leads: int
    seconds: float
    memory: tuple[float, float]
    """The worker's, in MB: when it was ready, and at most."""
    calm: list[float]
    busy: list[float]
    """Seconds that each hook took, before and during the evaluation."""


@contextmanager
def process(*words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `room-server` process that is ready, and what it said last; killed with the block."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_SERVER_")}
    child = subprocess.Popen(
        [sys.executable, "-m", "room_server", *words],
        env={**known, "PYTHONUNBUFFERED": "1", "ROOM_SERVER_TOKEN_SECRET": SECRET, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        line = next(line for line in child.stdout if line.startswith("ready "))
        yield child, line.split()[1]
    finally:
        child.kill()
        child.wait()


class Hooks(threading.Thread):
    """A client that enters one lead after the other, a hundred a second, and keeps how long each took."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._line = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        self.took: list[float] = []
        self.ends = threading.Event()

    def run(self) -> None:
        """Until `ends`."""
        number = 0
        while not self.ends.wait(GAP):
            number += 1
            payload = {"webinar_id": "live", "lead_id": number, "timestamp": 1}
            self.took.append(self.send("client_webinar_entered", payload, "system"))

    def send(self, name: str, payload: dict[str, object], role: str) -> float:
        """How long one hook took."""
        claims = {"sub": role, "role": Role(role), "webinar_id": "*"}
        token = auth.issue(Settings(token_secret=SECRET), claims, 3600)
        body, headers = json.dumps(payload), {"Authorization": f"Bearer {token}"}
        begun = time.perf_counter()
        self._line.request("POST", f"/hooks/{name}", body, headers)
        answer = self._line.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return time.perf_counter() - begun


def memory_of(pid: int, field: str) -> float:
    """MB of a process: `VmRSS` now, `VmHWM` at most (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:")) / 1024


def measure(leads: int) -> Result:
    """Everything for one number of leads."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        asyncio.run(prepare(folder, leads))
        here = {"ROOM_SERVER_DATA_DIR": folder, "ROOM_SERVER_EVALUATION_GRACE": "0"}
        nobody = {"ROOM_SERVER_TELEGRAM_TOKEN": "123:abc", "ROOM_SERVER_TELEGRAM_BASE_URL": "http://127.0.0.1:9"}
        with process("web", "--port", "0", **here) as (_, address), process("worker", **here, **nobody) as (worker, _):
            return asyncio.run(observe(folder, leads, address, worker.pid))


async def prepare(folder: str, leads: int) -> None:
    """A webinar with a roster, and one beside it that is live while the other is evaluated."""
    async with open_state(Settings(data_dir=folder)) as state:
        plan = Plan(title="Benchmark", scheduled_at=utc_now(), recording_url="https://example.org/recording")
        for name in ("ended", "live"):
            await state.store.create(new_room(name, new_epoch(), plan, draft=False))
        for start in range(0, leads, BATCH):
            numbers = range(start + 1, min(start + BATCH, leads) + 1)
            await roster.adopt(state.store, "ended", [lead(number) for number in numbers], replace=False)


def lead(number: int) -> RosterEntry:
    """Somebody with a chat, whose partner has one."""
    return RosterEntry(lead_id=number, name=f"Lead {number}", candidate_chat_id=number, partner_chat_id=-number)


async def observe(folder: str, leads: int, address: str, worker: int) -> Result:
    """Hooks in the calm; then the stop, and hooks until everyone is classified."""
    hooks = Hooks(address)
    for name, word in (("ended", "start"), ("live", "start")):
        hooks.send("core_webinar_set_status", {"webinar_id": name, "status": word}, "speaker")
    stopper = Hooks(address)
    before = memory_of(worker, "VmRSS")
    hooks.start()
    await asyncio.sleep(CALM_SECONDS)  # what is measured
    calm = len(hooks.took)
    begun = time.perf_counter()
    stopper.send("core_webinar_set_status", {"webinar_id": "ended", "status": "stop"}, "speaker")
    async with open_state(Settings(data_dir=folder)) as state:
        await evaluated(state.store)
        seconds = time.perf_counter() - begun
        hooks.ends.set()
        await asyncio.to_thread(hooks.join)
        done = await state.store.ask("HGET", state.store.keys.tally("ended"), "classified")
    assert int(done) == leads
    return Result(leads, seconds, (before, memory_of(worker, "VmHWM")), hooks.took[:calm], hooks.took[calm:])


async def evaluated(store: Store) -> None:
    """Return when nothing is on the schedule any more."""
    evaluations = Evaluations(store)
    while await evaluations.pending("ended") is not None:  # noqa: ASYNC110 - another process is waited for
        await asyncio.sleep(0.02)


def percentiles(took: list[float]) -> str:
    """The median and the 99th percentile in milliseconds, and of how many."""
    ordered = sorted(took)
    p50, p99 = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"{p50:6.1f} {p99:7.1f} ({len(ordered)})"


@click.command()
@click.argument("sizes", type=click.IntRange(min=1), nargs=-1)
def main(sizes: tuple[int, ...]) -> None:
    """Measure and print a table."""
    click.echo("   leads  seconds  leads/s   worker MB      hooks before, p50 p99 ms      hooks during")
    for leads in sizes or SIZES:
        done = measure(leads)
        ready, most = done.memory
        click.echo(
            f"{leads:8,} {done.seconds:8.1f} {leads / done.seconds:8,.0f}   {ready:5.0f} → {most:4.0f}   "
            f"{percentiles(done.calm):>24}      {percentiles(done.busy)}"
        )


if __name__ == "__main__":
    main()
