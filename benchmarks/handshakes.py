"""Handshakes a second: ours, each with a token of its own that is verified, beside an endpoint that lets everyone in.

The load is a C program on another core; what it reaches with the floor shows how far it is from being the limit. What
one core can do follows from the CPU seconds that the server needed, whether it was ever idle or not.
"""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from msgspec import Struct

from benchmarks.processes import (
    await_files,
    await_port,
    compiled,
    cpu_seconds,
    free_port,
    knock,
    module,
    open_files,
    program,
    say,
)
from benchmarks.report import Findings, Goal, Table
from benchmarks.servers import handshake, serving
from benchmarks.size import Size

AT_ONCE = 200
OURS, ENDPOINT, FLOOR = "room-server, a token each", "Starlette endpoint, no token", "floor: accepts and answers, in C"
TO_REACH, TIMES = 5_000, 3.0


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

    def of_a_core(self) -> float:
        """Handshakes a second of one core that does nothing else."""
        return 1 / max(statistics.median(self.costs), 1e-9)


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
    """The table and the goals."""
    rows = [
        [
            gate.name,
            f"{statistics.median(gate.rates):,.0f}",
            f"{statistics.median(gate.costs) * 1e6:.0f} µs",
            f"{gate.of_a_core():,.0f}" if gate.name != FLOOR else "–",
            f"{statistics.median(gate.clients):.0%}",
        ]
        for gate in gates
    ]
    head = ["", "handshakes/s, by the clock", "CPU of each", "of one core a second", "the client's core"]
    title = f"Handshakes, {AT_ONCE} under way at once, median of {len(gates[0].rates)} rounds"
    rate = partial(statistics.median)
    ours, endpoint = gates[0], gates[1]
    times = statistics.median(one / other for one, other in zip(ours.rates, endpoint.rates, strict=True))
    goals = [
        Goal("authenticated handshakes a second", f"≥ {TO_REACH:,}", f"{rate(ours.rates):,.0f}",
             rate(ours.rates) >= TO_REACH),
        Goal("the same beside a Starlette endpoint without authentication", f"≥ {TIMES:g} times", f"{times:.2f} times",
             times >= TIMES),
    ]  # fmt: skip
    return Findings([Table(title, head, rows)], goals)
