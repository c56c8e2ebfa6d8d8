"""Instructions of a hook, by valgrind's cachegrind: unlike seconds, they are the same on a slower or a busy machine.

A run counts from the start of the process to its end. So each server runs three times: with a few hooks, and with many
more from one caller and from 64. The difference, divided by the number of hooks, is what one costs. The kernel's work
is not in it.
"""

import itertools
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.compiling import compiled
from benchmarks.hooks import LINE, OURS, PEERS, POOL
from benchmarks.processes import FIRST, OTHERS, await_port, free_port, load, module, program, say
from benchmarks.report import Findings, Table
from benchmarks.servers import ENVIRONMENT, SECRET, Server, Speaker, running, valkey
from benchmarks.size import Size

COUNTED = (OURS, LINE, POOL)
CALLERS = (1, 64)
WARMING = 100
SLOW = 300.0
"""Seconds that a start or an end may take on a busy machine."""
TITLE, HEAD = "Instructions of a hook", ["", "1 caller", "64 callers"]
SAME_HASHES = {"PYTHONHASHSEED": "0"}
"""So that two starts do the same."""


def find(size: Size) -> Findings:
    """Our server and two plain endpoints, at the same time: nothing here depends on the clock."""
    if shutil.which("valgrind") is None:
        return Findings([Table(TITLE, HEAD, [], "Not counted: install valgrind (Debian: `valgrind`).")])
    number = size.hooks // 16
    compiled("load")  # before several threads would
    with ThreadPoolExecutor(len(COUNTED)) as threads:
        counted = dict(zip(COUNTED, threads.map(partial(of, number=number), COUNTED), strict=True))
    rows = [
        [name, *(f"{count:,.0f}" + ("" if name == OURS else f" ({count / ours:.2f} of ours)")
                 for count, ours in zip(counts, counted[OURS], strict=True))]
        for name, counts in counted.items()
    ]  # fmt: skip
    return Findings([Table(TITLE, HEAD, rows, f"The mean of {number} hooks, a token each, outside of the kernel.")])


def of(name: str, number: int) -> list[float]:
    """Instructions of each hook, with one caller and with many."""
    few = whole_run(name, 1, 0)
    return [(whole_run(name, callers, number) - few) / number for callers in CALLERS]


def whole_run(name: str, callers: int, number: int) -> int:
    """Instructions from the start of a server to its end, with so many hooks behind a few for warming."""
    say(f"counting instructions: {name}, {number} hooks, {callers} at once")
    leads = itertools.count(1)
    with valkey() as url, tempfile.TemporaryDirectory(prefix="rs-") as folder:
        with running({"ROOM_SERVER_REDIS_URL": url}, cores=OTHERS) as ours:
            Speaker(ours)
        log = Path(folder) / "log"
        with counting(command(name, url), {"ROOM_SERVER_REDIS_URL": url}, log) as server:
            for at_once, hooks in ((1, WARMING), (callers, number)):
                if hooks:
                    done = load(server.port, at_once, server.entered(list(itertools.islice(leads, hooks))))
                    assert done.refused == 0
        found = re.search(r"I\s+refs:\s+([\d,]+)", log.read_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def command(name: str, url: str) -> list[str]:
    """How to start a server, on a port that stands for PORT."""
    if name == OURS:
        return [*module("benchmarks.peers.unhurried"), "web", "--port", "PORT"]
    return [*module("benchmarks.peers.plain_hooks"), "PORT", url, SECRET, *PEERS[name]]


@contextmanager
def counting(words: Sequence[str], settings: Mapping[str, str], log: Path) -> Iterator[Server]:
    """A server under cachegrind, which writes what it counted to `log` when the block ends."""
    port = free_port()
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    told = [*valgrind, f"--log-file={log}", *(str(port) if word == "PORT" else word for word in words)]
    with program(told, {**ENVIRONMENT, **settings, **SAME_HASHES}, cores=OTHERS | FIRST) as child:
        await_port(port, child, SLOW)
        yield Server(port, child.pid, settings["ROOM_SERVER_REDIS_URL"])
        child.send_signal(signal.SIGTERM)
        child.wait(SLOW)
