"""The embedded server beside one of its own: the same hooks, the same fsync, two ways to start and to reach it."""

import itertools
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.hooks import fresh
from benchmarks.processes import OTHERS, cpu_seconds, free_port, load, move, say
from benchmarks.report import Findings, Goal, Table, spread
from benchmarks.servers import Server, Speaker, running, valkey
from benchmarks.size import Size
from room_server.state.redis.embedded import socket_path

CALLERS = 64
SHARE = 0.95
"""Of the hooks that a server of its own takes, to reach."""
EMBEDDED, OWN = "embedded: no ROOM_SERVER_REDIS_URL", "a server of its own, by TCP"


class Rates(Struct):
    """One server, and hooks a second of it in each round; CPU seconds of the web process for each."""

    server: Server
    rates: list[float]
    costs: list[float]

    def send(self, leads: Sequence[int]) -> None:
        """One round."""
        requests, cpu = self.server.entered(leads), cpu_seconds(self.server.pid)
        done = load(self.server.port, min(CALLERS, len(requests)), requests)
        self.rates.append(len(requests) / done.seconds)
        self.costs.append((cpu_seconds(self.server.pid) - cpu) / len(requests))


@contextmanager
def embedded() -> Iterator[Server]:
    """Our server with its embedded one, which is put on the other cores as any other is."""
    with tempfile.TemporaryDirectory(prefix="rs-") as name:
        folder = Path(name).resolve()
        with running({"ROOM_SERVER_DATA_DIR": name}) as server:
            move(int((folder / "server").read_text()), OTHERS)
            yield Server(server.port, server.pid, f"unix://{socket_path(folder)}")


@contextmanager
def own() -> Iterator[Server]:
    """Our server with a Valkey that was started before, reached as one on another machine is."""
    port = free_port()
    with valkey(port), running({"ROOM_SERVER_REDIS_URL": f"redis://127.0.0.1:{port}"}) as server:
        yield server


def find(size: Size) -> Findings:
    """Both in turn; the first round of each is for warming."""
    leads = itertools.count(1)
    with ExitStack() as stack:
        made = {name: Rates(stack.enter_context(opener()), [], []) for name, opener in
                {EMBEDDED: embedded, OWN: own}.items()}  # fmt: skip
        for one in made.values():
            Speaker(one.server)
        for number in range(size.rounds + 1):
            say(f"embedded, round {number} of {size.rounds}")
            for one in made.values():
                one.send(fresh(leads, size.hooks))
    return told({name: Rates(one.server, one.rates[1:], one.costs[1:]) for name, one in made.items()})


def told(made: dict[str, Rates]) -> Findings:
    """The table and the goal."""
    base = made[OWN].rates
    shares = {name: [rate / other for rate, other in zip(one.rates, base, strict=True)] for name, one in made.items()}
    rows = [
        [
            name,
            spread(shares[name]),
            spread(one.rates, ",.0f"),
            spread([cost * 1e6 for cost in one.costs], ".0f", " µs"),
        ]
        for name, one in made.items()
    ]
    title = f"The embedded server beside one of its own: hooks of {CALLERS} callers, {len(base)} rounds"
    table = Table(title, ["", "of its own", "hooks/s", "CPU of each"], rows)
    goal = Goal("hooks of the embedded server, of those with a server of its own", f"≥ {SHARE:.2f}",
                spread(shares[EMBEDDED]), statistics.median(shares[EMBEDDED]) >= SHARE)  # fmt: skip
    return Findings([table], [goal])
