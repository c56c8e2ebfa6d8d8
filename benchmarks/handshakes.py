"""Handshakes a second: ours, each with a token of its own that is verified, beside an endpoint that lets everyone in.

The load is a C program on another core; what it reaches with the floor shows how far it is from being the limit.
"""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from benchmarks.compiling import compiled
from benchmarks.processes import (
    await_files,
    await_port,
    cpu_seconds,
    free_port,
    knock,
    module,
    open_files,
    program,
    say,
)
from benchmarks.report import Findings, Goal, Table, spread
from benchmarks.servers import handshake, serving
from benchmarks.size import Size

AT_ONCE = 200
OURS, ENDPOINT, FLOOR = "room-server, a token each", "Starlette endpoint, no token", "floor: accepts and answers, in C"
TIMES = 3.5
"""Ours beside the endpoint, to reach."""


class Gate(Struct):
    """Something that answers handshakes, and what its rounds came to."""

    name: str
    port: int
    pid: int
    requests: Sequence[bytes]
    rates: list[float]
    """Handshakes a second, by the clock."""
    costs: list[float]
    """CPU seconds of the server for each."""
    clients: list[float]
    """Share of a core that the client needed."""

    def knock(self) -> None:
        """One round: all handshakes, then all sockets closed."""
        files, cpu = open_files(self.pid), cpu_seconds(self.pid)
        done = knock(self.port, min(AT_ONCE, len(self.requests)), self.requests)
        self.costs.append((cpu_seconds(self.pid) - cpu) / len(self.requests))
        self.rates.append(len(self.requests) / done.seconds)
        self.clients.append(done.client_cpu / done.seconds)
        await_files(self.pid, files + 3)

    def times(self, other: "Gate") -> list[float]:
        """Its speed, of another's in the same rounds."""
        return [one / base for one, base in zip(self.rates, other.rates, strict=True)]


def find(size: Size) -> Findings:
    """Both and the floor, in turn; the first round of each is for warming."""
    with ExitStack() as stack:
        gates = opened(stack, size.handshakes)
        for number in range(size.rounds + 1):
            say(f"handshakes, round {number} of {size.rounds}")
            for gate in gates:
                gate.knock()
    for gate in gates:
        del gate.rates[0], gate.costs[0], gate.clients[0]
    return told(gates)


def opened(stack: ExitStack, number: int) -> list[Gate]:
    """The three, running."""
    ours = stack.enter_context(serving())
    gates = [Gate(OURS, ours.port, ours.pid, ours.handshakes(range(1, number + 1)), [], [], [])]
    endpoint = module("benchmarks.peers.endpoint")
    for name, command, more in ((ENDPOINT, endpoint, ["keepalive"]), (FLOOR, [compiled("floor")], [])):
        port = free_port()
        child = stack.enter_context(program([*command, str(port), "1", *more]))
        await_port(port, child)
        gates.append(Gate(name, port, child.pid, [handshake(port)] * number, [], [], []))
    return gates


def told(gates: Sequence[Gate]) -> Findings:
    """The table and the goal."""
    ours, endpoint, _ = gates
    rows = [
        [
            gate.name,
            spread(gate.times(endpoint)),
            spread(gate.rates, ",.0f"),
            spread([cost * 1e6 for cost in gate.costs], ".0f", " µs"),
            f"{statistics.median(gate.clients):.0%}",
        ]
        for gate in gates
    ]
    head = ["", "of the endpoint's", "handshakes/s", "CPU of each", "the client's core"]
    title = f"Handshakes, {AT_ONCE} under way at once, {len(ours.rates)} rounds"
    times = ours.times(endpoint)
    goal = Goal("authenticated handshakes beside a Starlette endpoint without authentication", f"≥ {TIMES:g} times",
                spread(times), statistics.median(times) >= TIMES)  # fmt: skip
    return Findings([Table(title, head, rows)], [goal])
