"""Before the start and after the end of a webinar, beside a live one: what registering and evaluating its leads costs.

For each number of leads a Valkey, a web process and a worker of their own, all as in production: the leads are
registered by hooks of 500, one after the other; after the stop each lead is classified, routed and put into the outbox
with three messages, each step durable, while the worker writes to a Telegram that is not there, at its pace.
"""

import asyncio
import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.processes import OTHERS, await_ready, module, percentile, program, say
from benchmarks.report import Findings, Goal, Table, spread, spread_of_milliseconds
from benchmarks.servers import ENVIRONMENT, PRODUCT, SETTINGS, valkey
from benchmarks.size import Size
from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.planning import Plan, new_room
from room_server.core.registration import MAX_LEADS
from room_server.core.room import RosterEntry
from room_server.ids import new_epoch
from room_server.state import roster
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.support import transactions

CALM_SECONDS = 3.0
MOST_SECONDS = 600.0
"""What is waited for in another process takes no longer, on however slow a machine."""
GAP = 0.01
"""Seconds between two hooks."""
BATCH = 10_000
WORKER = {
    "ROOM_SERVER_EVALUATION_GRACE": "0",
    "ROOM_SERVER_TELEGRAM_TOKEN": "123:abc",
    "ROOM_SERVER_TELEGRAM_BASE_URL": "http://127.0.0.1:9",
}
"""The settings of the worker."""


LINEAR = 0.80
"""The leads a second of the largest number, of those of the number before it; to reach."""


class Result(NamedTuple):
    """What one number of leads came to, once."""

    leads: int
    registration: float
    """Seconds from the first hook that registers leads to the answer to the last."""
    evaluation: float
    """Seconds from the stop to the last classification."""
    memory: tuple[float, float]
    """The worker's, in MB: when it was ready, and at most."""
    calm: list[float]
    registering: list[float]
    evaluating: list[float]
    """Seconds that each hook of the live webinar took, before, during the registration and during the evaluation."""


@contextmanager
def process(url: str, *words: str, **environment: str) -> Iterator[tuple[int, str]]:
    """A `room-server` process that is ready, and the address that it said last; killed with the block."""
    made = {**ENVIRONMENT, "ROOM_SERVER_REDIS_URL": url, **environment}
    with program([*module(PRODUCT), *words], made, OTHERS if words[0] == "worker" else {0}) as child:
        yield child.pid, await_ready(child)


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
        token = auth.issue(SETTINGS, {"sub": role, "role": Role(role), "webinar_id": "*"}, 3600)
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
    with valkey() as url:
        asyncio.run(prepare(url, 0))
        web = process(url, "web", "--port", "0", ROOM_SERVER_EVALUATION_GRACE="0")
        with web as (_, address), process(url, "worker", **WORKER) as (worker, _):
            return asyncio.run(observe(url, leads, address, worker))


async def prepare(url: str, leads: int) -> None:
    """A webinar with so many leads, and one beside it that is live while something is done with leads of the other."""
    async with open_state(Settings(redis_url=url)) as state:
        plan = Plan(title="Benchmark", scheduled_at=utc_now(), recording_url="https://example.org/recording")
        for name in ("ended", "live"):
            await transactions(state.store).create(new_room(name, new_epoch(), plan, draft=False))
        for start in range(0, leads, BATCH):
            numbers = range(start + 1, min(start + BATCH, leads) + 1)
            people = [RosterEntry(**lead(number)) for number in numbers]
            await roster.import_roster(state.store, "ended", people, replace=False)


def register(address: str, leads: int) -> float:
    """Register so many leads by as few hooks as may be, one after the other; how long that took."""
    client, begun = Hooks(address), time.perf_counter()
    for start in range(0, leads, MAX_LEADS):
        numbers = range(start + 1, min(start + MAX_LEADS, leads) + 1)
        people = [lead(number) for number in numbers]
        client.send("core_roster_register", {"webinar_id": "ended", "leads": people}, "system")
    return time.perf_counter() - begun


def lead(number: int) -> dict[str, Any]:
    """Somebody with a chat, whose partner has one."""
    return {"lead_id": number, "name": f"Lead {number}", "candidate_chat_id": number, "partner_chat_id": -number}


async def observe(url: str, leads: int, address: str, worker: int) -> Result:
    """Hooks in the calm, and while leads are registered; then the stop, and hooks until everyone is classified."""
    hooks = Hooks(address)
    for name in ("ended", "live"):
        hooks.send("core_webinar_set_status", {"webinar_id": name, "status": "start"}, "speaker")
    stopper = Hooks(address)
    before = memory_of(worker, "VmRSS")
    hooks.start()
    await asyncio.sleep(CALM_SECONDS)  # what is measured
    calm = len(hooks.took)
    registration = await asyncio.to_thread(register, address, leads)
    registered = len(hooks.took)
    begun = time.perf_counter()
    stopper.send("core_webinar_set_status", {"webinar_id": "ended", "status": "stop"}, "speaker")
    async with open_state(Settings(redis_url=url)) as state:
        await evaluated(state.store)
        evaluation = time.perf_counter() - begun
        hooks.ends.set()
        await asyncio.to_thread(hooks.join)
        done = await state.store.call("HGET", state.store.keys.tally("ended"), "classified")
    assert int(done) == leads
    took = (hooks.took[:calm], hooks.took[calm:registered], hooks.took[registered:])
    return Result(leads, registration, evaluation, (before, memory_of(worker, "VmHWM")), *took)


async def evaluated(store: Store) -> None:
    """Return when nothing is on the schedule any more. Raises TimeoutError."""
    schedule = EvaluationSchedule(store)
    async with asyncio.timeout(MOST_SECONDS):
        while await schedule.pending("ended") is not None:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


def find(size: Size) -> Findings:
    """Each number of leads in turn."""
    done: dict[int, list[Result]] = {leads: [] for leads in size.leads}
    for number in range(size.rounds):
        for leads, rounds in done.items():
            say(f"registration and evaluation of {leads:,} leads, round {number + 1} of {size.rounds}")
            rounds.append(measure(leads))
    head = ["", "registered a second, 500 a hook", "classified a second after the stop", "the worker at most",
            "a hook's p99 before", "while they are registered", "while they are classified"]  # fmt: skip
    name = f"Beside a live webinar: registration, then classification, routing and messages, {size.rounds} rounds"
    rows = [[f"{leads:,} leads", *row(rounds)] for leads, rounds in done.items()]
    return Findings([Table(name, head, rows)], goals(list(done.values())))


def row(rounds: Sequence[Result]) -> list[str]:
    """The figures of one number of leads."""
    took = [[getattr(one, name) for one in rounds] for name in ("calm", "registering", "evaluating")]
    return [
        spread([one.leads / one.registration for one in rounds], ",.0f"),
        spread([one.leads / one.evaluation for one in rounds], ",.0f"),
        spread([one.memory[1] for one in rounds], ".0f", " MB"),
        *(spread_of_milliseconds([percentile(hooks, 0.99) for hooks in kind]) for kind in took),
    ]


def goals(done: Sequence[Sequence[Result]]) -> list[Goal]:
    """Whether time grows as the leads do, and what a live webinar feels of it; about the largest number."""
    middle, most = done[-2], done[-1]
    speeds = {
        what: [own.leads / getattr(own, what) / (base.leads / getattr(base, what))
               for own, base in zip(most, middle, strict=True)]
        for what in ("registration", "evaluation")
    }  # fmt: skip
    slower = [percentile(one.registering, 0.99) / percentile(one.evaluating, 0.99) for one in most]
    return [
        *(
            Goal(f"{what} of {most[0].leads:,} leads: leads a second, of those with {middle[0].leads:,}",
                 f"≥ {LINEAR:.2f}", spread(speed), statistics.median(speed) >= LINEAR)
            for what, speed in speeds.items()
        ),
        Goal(f"a live webinar's hooks while {most[0].leads:,} leads are registered, p99 of that while they are "
             "classified", "≤ 1 times", spread(slower), statistics.median(slower) <= 1),
    ]  # fmt: skip
