"""Fan-out: from the hook's request, through Redis with fsync, to the last of N sockets; beside the floor and peers.

`python -m benchmarks.fanout [SOCKETS]`. The process that writes has a core to itself, the crowd and Redis the others.
Each peer is measured ROUNDS times in turn with the floor, so that a noisy moment hits all; medians are printed.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import httpx
from msgspec import Struct

from benchmarks.crowd import DistantCrowd
from room_server import auth
from room_server.config import Settings

ROUNDS = 7
FRAME = 400
"""Bytes of the peers' frames: about a room state's."""
SECRET = "a-secret-of-the-benchmarks-long-enough"


class Peer(Struct):
    """Something that fans out: how to tell it to, and the crowd that listens."""

    name: str
    pid: int
    crowd: DistantCrowd
    tell: Callable[[], None]
    memory: float = 0.0
    joined: float = 0.0


@contextmanager
def program(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child process with the first core to itself, ended with the block."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(child.pid, {0})
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def peer(name: str, command: list[str], port: int, sockets: int) -> Iterator[Peer]:
    """A program that sends when a line comes on its standard input."""
    with program([*command, str(port), str(FRAME)]) as child:
        await_port(port)
        made = Peer(name, child.pid, DistantCrowd(port, "/"), lambda: line(child))
        gather(made, sockets)
        yield made


def line(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.write(b"go\n")
    child.stdin.flush()


@contextmanager
def room_server(name: str, port: int, sockets: int, answers: bool) -> Iterator[Peer]:
    """Our server on its embedded Valkey; told by the CTA hook, as a speaker does."""
    with tempfile.TemporaryDirectory() as data:
        environment = {"ROOM_SERVER_TOKEN_SECRET": SECRET, "ROOM_SERVER_MAX_SOCKETS_PER_PERSON": "0",
                       "ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0", "ROOM_SERVER_DATA_DIR": data,
                       "ROOM_SERVER_MAX_SOCKETS": "0"}  # fmt: skip
        os.environ.update(environment)
        server = [sys.executable, "-m", "room_server"]
        subprocess.run([*server, "webinar", "create", "w", "--title", "W", "--at", "2030-01-01T00:00:00Z",
                        "--cta-label", "Join", "--cta-url", "https://example.org/join"],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        with program([*server, "web", "--port", str(port)]) as child, httpx.Client() as http:
            await_port(port)
            unpin_children(child.pid)
            settings = Settings(token_secret=SECRET)
            attendee = auth.issue(settings, {"sub": "1", "role": "attendee", "webinar_id": "w"}, 3600)
            speaker = auth.issue(settings, {"sub": "s", "role": "speaker", "webinar_id": "w"}, 3600)
            visible = iter(range(10**9))

            def tell() -> None:
                body = {"webinar_id": "w", "visible": next(visible) % 2 == 0}
                headers = {"Authorization": f"Bearer {speaker}"}
                address = f"http://127.0.0.1:{port}/hooks/core_webinar_set_cta_visibility"
                http.post(address, json=body, headers=headers).raise_for_status()

            crowd = DistantCrowd(port, "/rooms/w/socket", f"room.v1, room.bearer.{attendee}", answers=answers)
            made = Peer(name, child.pid, crowd, tell)
            gather(made, sockets)
            yield made


def unpin_children(pid: int) -> None:
    """Redis gets the other cores: it is not what is measured."""
    others = set(range(1, os.cpu_count() or 1)) or {0}
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        command = status.read_bytes()
        if b"valkey" in command and int(status.parent.name) != pid:
            os.sched_setaffinity(int(status.parent.name), others)


def gather(made: Peer, sockets: int) -> None:
    """Let the crowd in, and note what it costs."""
    before = resident(made.pid)
    made.joined = sockets / made.crowd.join(sockets)
    time.sleep(1)
    made.memory = (resident(made.pid) - before) / sockets
    for _ in range(2):  # warm
        round_of(made)


def round_of(made: Peer) -> float:
    """Seconds from telling until the last socket has heard."""
    heard = made.crowd.hear()
    began = time.perf_counter()
    made.tell()
    return heard() - began


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("RssAnon"):
            return int(row.split()[1]) * 1024
    return 0


def await_port(port: int) -> None:
    """Return when someone listens."""
    for _ in range(400):
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
        except httpx.ConnectError:
            time.sleep(0.05)
        except httpx.HTTPError:
            return
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")


def floor() -> list[str]:
    """The C program, where there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise click.ClickException("the floor is a C program: install a compiler (Debian: apt install gcc)")
    source = Path(__file__).parent / "peers" / "floor.c"
    binary = Path(tempfile.mkdtemp()) / "floor"
    subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return [str(binary)]


@click.command()
@click.argument("sockets", type=int, default=10_000)
def main(sockets: int) -> None:
    """Measure the fan-out to SOCKETS sockets."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
    module = [sys.executable, "-m"]
    with ExitStack() as stack:
        made = [
            stack.enter_context(peer("floor: bare send() in C", floor(), 19001, sockets)),
            stack.enter_context(room_server("room-server", 19002, sockets, answers=False)),
            stack.enter_context(room_server("room-server, receipts", 19003, sockets, answers=True)),
            stack.enter_context(
                peer("websockets.broadcast()", [*module, "benchmarks.peers.broadcast"], 19004, sockets)
            ),
            stack.enter_context(peer("Starlette endpoint", [*module, "benchmarks.peers.endpoint"], 19005, sockets)),
        ]
        times: dict[str, list[float]] = {one.name: [] for one in made}
        for _ in range(ROUNDS):
            for one in made:
                times[one.name].append(round_of(one))
    print_table(made, times, sockets)


def print_table(made: list[Peer], times: dict[str, list[float]], sockets: int) -> None:
    """One line a peer; the ratio is to the floor of the same rounds."""
    base = times[made[0].name]
    click.echo(f"{sockets} sockets, median of {ROUNDS} rounds")
    click.echo(f"{'':28}{'last socket':>12}{'frames/s':>12}{'of floor':>10}{'bytes/socket':>14}{'handshakes/s':>14}")
    for one in made:
        median = statistics.median(times[one.name])
        ratio = statistics.median(floor / own for floor, own in zip(base, times[one.name], strict=True))
        click.echo(
            f"{one.name:28}{median * 1000:>9.1f} ms{sockets / median:>12,.0f}{ratio:>10.2f}"
            f"{one.memory:>14,.0f}{one.joined:>14,.0f}"
        )


if __name__ == "__main__":
    main()
