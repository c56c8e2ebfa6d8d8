"""Child processes that are measured: on a core of their own, awaited, weighed, and ended with their block."""

import contextlib
import ctypes
import itertools
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import click
from msgspec import Struct

from benchmarks.compiling import compiled

CORES = os.cpu_count() or 1
FIRST = {0}
"""The core of what is measured."""
OTHERS = set(range(1, CORES)) or FIRST
"""The cores of everything else: Redis, the crowds, the load."""
PATIENCE = 60.0
"""Seconds to wait for what must come."""
NOTHING: Mapping[str, str] = {}
GOODBYE_SECONDS = 5
REST_SECONDS, REST_SHARE = 0.05, 0.03
"""A process that takes less than this share of a core for so long has nothing to do."""
_ports = itertools.count(19001)
_errors: dict[int, IO[bytes]] = {}


class Load(Struct, frozen=True):
    """What a load came to."""

    seconds: float
    client_cpu: float
    """Seconds of a core that the client itself needed: when it comes near `seconds`, the client was the limit."""
    refused: int
    """Answers with another status than the one expected."""
    took: list[float]
    """Seconds that each answer took."""


def say(what: str) -> None:
    """Progress, for whoever waits."""
    click.echo(what, err=True)


def make_room() -> None:
    """Let this process and its children open as many files as the system allows, and leave the first core."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, OTHERS)


@contextlib.contextmanager
def program(
    command: Sequence[str], environment: Mapping[str, str] = NOTHING, cores: set[int] = FIRST
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process on `cores`, all its threads from the first on; what it prints can be read."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_SERVER_")}
    made = {**known, "PYTHONUNBUFFERED": "1", **environment}
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # what is started has them, too
        try:
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=made)
        finally:
            os.sched_setaffinity(0, own)
        _errors[child.pid] = errors
        try:
            yield child
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End it; who has children of its own is given the time to end them."""
    if children(child.pid):
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GOODBYE_SECONDS)
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):  # what nobody reads any more
            if pipe is not None:
                pipe.close()


def module(name: str) -> list[str]:
    """The command that runs a Python module."""
    return [sys.executable, "-m", name]


def free_port() -> int:
    """A port that nobody has, below those that clients get."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError  # the count has no end


def await_port(port: int, child: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """Return when someone listens. Raises ClickException when the child ends before, TimeoutError."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise click.ClickException(f"it ended at once: {last_words(child.pid)}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)  # bounded by the deadline
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")


def await_ready(child: subprocess.Popen[bytes]) -> str:
    """The address of a `room-server` process, once it says that it is ready. Raises RuntimeError when it ends."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(b"ready "):
            return line.split()[1].decode()
    raise RuntimeError(f"room-server ended at once: {last_words(child.pid)}")


def last_words(pid: int) -> str:
    """The first line of trouble that a process told of."""
    errors = _errors[pid]
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines()]
    return next((line for line in lines if "rror" in line or "emerg" in line), "it did not say why")


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def resident(pid: int) -> int:
    """Bytes of memory that a process and its children have for themselves (RssAnon)."""
    found = 0
    for own in (pid, *children(pid)):
        for row in Path(f"/proc/{own}/status").read_text().splitlines():
            if row.startswith("RssAnon"):
                found += int(row.split()[1]) * 1024
    return found


def move(pid: int, cores: set[int]) -> None:
    """Let a process and its children run on these cores only, all their threads."""
    for own in (pid, *children(pid)):
        for task in Path(f"/proc/{own}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended, or is the kernel's own
                os.sched_setaffinity(int(task.name), cores)


def cpu_seconds(pid: int) -> float:
    """Seconds that a process and its children have run, their time in the kernel included (clock_getcpuclockid(3))."""
    seconds = 0.0
    for own in (pid, *children(pid)):
        clock = ctypes.c_int()
        if failed := ctypes.CDLL(None).clock_getcpuclockid(own, ctypes.byref(clock)):
            raise ProcessLookupError(failed, f"process {own} has no clock")
        seconds += time.clock_gettime(clock.value)
    return seconds


def runnable(pid: int) -> bool:
    """Whether a thread of the process or of its children runs, or would if others did not hold its core."""
    for task in (task for own in (pid, *children(pid)) for task in Path(f"/proc/{own}/task").iterdir()):
        with contextlib.suppress(OSError):  # it has ended
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def await_rest(pid: int) -> None:
    """Return when the process has nothing to do any more. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = cpu_seconds(pid)
        time.sleep(REST_SECONDS)  # what is measured: whether it does anything in that time
        if cpu_seconds(pid) - before < REST_SHARE * REST_SECONDS and not runnable(pid):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the process does not come to rest")


def open_files(pid: int) -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def await_files(pid: int, most: int) -> None:
    """Return when the process has closed what its peers have left. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while open_files(pid) > most:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{open_files(pid) - most} sockets stay open")
        time.sleep(0.05)  # bounded by the deadline
    time.sleep(0.2)  # the last file is closed before its memory is given back


def knock(port: int, callers: int, requests: Sequence[bytes]) -> Load:
    """Send handshakes, so many under way at once, each on a connection of its own that stays open until the end."""
    return _loaded([str(port), str(callers), "fresh", "101", "0"], requests)


def load(port: int, callers: int, requests: Sequence[bytes], gap: float = 0) -> Load:
    """Send requests from so many callers; `gap`: seconds that a caller waits before each."""
    return _loaded([str(port), str(callers), "keep", "200", str(int(gap * 1e6))], requests)


def pace(port: int, requests: Sequence[bytes], seconds: float) -> Load:
    """Send requests evenly over so many seconds, each on its own connection; times count from when each was due."""
    gap = int(seconds / len(requests) * 1e6)
    return _loaded([str(port), str(len(requests)), "paced", "200", str(gap)], requests)


def _loaded(words: list[str], requests: Sequence[bytes]) -> Load:
    told = b"".join(struct.pack("=I", len(request)) + request for request in requests)
    done = subprocess.run([compiled("load"), *words], input=told, stdout=subprocess.PIPE, check=True)
    first, *took = done.stdout.decode().splitlines()
    seconds, client, refused = first.split()
    return Load(float(seconds), float(client), int(refused), [int(word) / 1e6 for word in took])


def percentile(took: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(took)
    return ordered[round(share * (len(ordered) - 1))]
