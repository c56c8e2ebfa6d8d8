"""Who is measured beside whom when all sockets of a room are told: the floor, our server, and peers.

Each has a core to itself, and its keepalive pings are off, so that nobody disturbs the next.
"""

import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.compiling import PEERS, compiled
from benchmarks.crowd import DistantCrowd
from benchmarks.peers import installed
from benchmarks.processes import NOTHING, await_port, free_port, module, program
from benchmarks.servers import Speaker, handshake, serving, valkey

FRAME = 400
"""Bytes of the peers' frames: about a room state's."""
FLOOR, OURS, RECEIPTS = "floor: a bare `send()` loop in C", "room-server", "room-server, with receipts"
BY_WRITE, RECEIPTS_BY_WRITE = "room-server, without io_uring", "room-server, with receipts, without io_uring"
UWS = "uWebSockets.js, told directly"


class Peer(Struct):
    """Something that fans out: how to tell it to, and the crowd that listens."""

    pid: int
    crowd: DistantCrowd
    tell: Callable[[], object]
    breathes: bool = False
    """Whether its crowd must show between the rounds that it is there: ours."""
    name: str = ""
    memory: float = 0.0
    """Bytes a socket."""
    breathed: float = 0.0
    cpu: list[float] = msgspec.field(default_factory=list)
    """CPU seconds of each round."""


Opened = AbstractContextManager[Peer]


@contextmanager
def told_by_line(
    command: Sequence[str], path: str = "/", opening: bytes = b"", environment: Mapping[str, str] = NOTHING
) -> Iterator[Peer]:
    """A program `… PORT SIZE …` that sends when a line comes on its standard input."""
    port = free_port()
    words = [str(port) if word == "PORT" else word for word in command]
    with program(words, environment) as child:
        await_port(port, child)
        yield Peer(child.pid, DistantCrowd(port, [handshake(port, path)], opening), partial(line, child))


def line(child: subprocess.Popen[bytes]) -> None:
    """Tell it."""
    assert child.stdin is not None
    child.stdin.write(b"go\n")
    child.stdin.flush()


@contextmanager
def room_server(leads: int, *, answers: bool, writer: str = "auto") -> Iterator[Peer]:
    """Our server, told by the CTA hook as a speaker does; each socket is another lead's."""
    with serving(writer=writer) as server:
        crowd = DistantCrowd(server.port, server.handshakes(range(1, leads + 1)), answers=answers)
        yield Peer(server.pid, crowd, Speaker(server).change, breathes=True)


def python(name: str) -> Opened:
    """One of the peers that this project's own environment can run."""
    return told_by_line([*module(f"benchmarks.peers.{name}"), "PORT", str(FRAME)])


def node(name: str) -> Opened:
    """A peer that needs nothing but node."""
    return told_by_line(["node", str(PEERS / f"{name}.cjs"), "PORT", str(FRAME)], environment=installed.node())


@contextmanager
def socketio() -> Iterator[Peer]:
    """Its clients ask to be let into the namespace after the handshake (`40`)."""
    environment = installed.node()
    with valkey() as url:
        command = ["node", str(PEERS / "socketio.cjs"), "PORT", str(FRAME), url.removeprefix("unix://")]
        path = "/socket.io/?EIO=4&transport=websocket"
        with told_by_line(command, path, masked(b"40"), environment) as made:
            yield made


@contextmanager
def centrifuge() -> Iterator[Peer]:
    """The library of Centrifugo. Its clients say `connect`, and are subscribed by that."""
    binary = installed.centrifuge()
    with valkey() as url, told_by_line([str(binary), "PORT", str(FRAME), url], opening=masked(b'{"id":1}')) as made:
        yield made


def masked(text: bytes) -> bytes:
    """A client's short text frame, masked with 0."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


@contextmanager
def nchan() -> Iterator[Peer]:
    """Told by HTTP, through Redis. Debian's nginx insists on a folder in /var: it gets one that nobody else sees."""
    server, extension = installed.nchan()
    port, redis = free_port(), free_port()
    with valkey(redis), tempfile.TemporaryDirectory(prefix="rs-") as folder:
        text = (PEERS / "nchan.conf").read_text()
        for name, value in {"MODULE": extension, "FOLDER": folder, "PORT": port, "REDIS": redis}.items():
            text = text.replace(name, str(value))
        (Path(folder) / "conf").write_text(text)
        nginx = f"mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec {server} -p {folder} -c conf -e stderr"
        with program(["unshare", "--mount", "sh", "-c", nginx]) as child:
            await_port(port, child)
            speaker = socket.create_connection(("127.0.0.1", port))
            yield Peer(child.pid, DistantCrowd(port, [handshake(port)]), partial(post, speaker, port))


def post(speaker: socket.socket, port: int) -> None:
    """Tell nchan."""
    head = [f"POST /tell HTTP/1.1\r\nHost: 127.0.0.1:{port}", f"Content-Length: {FRAME}", "Accept: text/json"]
    speaker.sendall(("\r\n".join([*head, "", ""]) + "x" * FRAME).encode())
    answer = speaker.recv(65536)
    assert answer.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")), answer


def everyone(sockets: int) -> dict[str, Callable[[], Opened]]:
    """Who is measured; the floor comes first."""
    return {
        FLOOR: lambda: told_by_line([compiled("floor"), "PORT", str(FRAME)]),
        OURS: lambda: room_server(sockets, answers=False),
        RECEIPTS: lambda: room_server(sockets, answers=True),
        BY_WRITE: lambda: room_server(sockets, answers=False, writer="write"),
        RECEIPTS_BY_WRITE: lambda: room_server(sockets, answers=True, writer="write"),
        UWS: lambda: node("uws"),
        "nchan, through Redis": nchan,
        "centrifuge (Go), through Redis": centrifuge,
        "node `ws`, told directly": lambda: node("ws"),
        "`websockets.broadcast()`, told directly": lambda: python("broadcast"),
        "Socket.IO, through its Redis adapter": socketio,
        "Starlette endpoint, told directly": lambda: python("endpoint"),
    }
