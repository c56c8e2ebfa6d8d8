"""A Cluster of three primaries for tests: the embedded program, loopback ports, ready within a second or two."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from room_server.state import embedded
from room_server.state.keys import SLOTS

PATIENCE = 20.0
TICK = 0.02


@contextlib.contextmanager
def cluster() -> Iterator[list[int]]:
    """The ports of three primaries that share the slots, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder, contextlib.ExitStack() as stack:
        ports = free_ports(6)
        nodes = [stack.enter_context(primary(Path(folder) / str(port), ports)) for port in ports[:3]]
        form([stack.enter_context(Redis(port=port)) for port in nodes])
        yield nodes


def url_of(ports: list[int]) -> str:
    """The address of a Cluster, all its servers named."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def primary(folder: Path, ports: list[int]) -> Iterator[int]:
    """One server; the second half of `ports` is for the servers' own talk."""
    port = int(folder.name)
    folder.mkdir()
    settings = {
        "port": port,
        "cluster-port": ports[ports.index(port) + len(ports) // 2],
        "cluster-enabled": "yes",
        "cluster-node-timeout": 2000,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
    }
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([embedded.find_binary(), *words], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def form(nodes: list[Any]) -> None:
    """Share the slots out, introduce the servers to each other, and wait until all agree."""
    for number, node in enumerate(nodes):
        _until(node.ping)
        first, last = (SLOTS * place // len(nodes) for place in (number, number + 1))
        node.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
        node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        there = node.get_connection_kwargs()["port"]
        bus = node.config_get("cluster-port")["cluster-port"]
        nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", there, bus)
    for node in nodes:
        _until(partial(_is_whole, node, len(nodes)))


def _is_whole(node: Any, count: int) -> bool:
    told = node.execute_command("CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and int(told["cluster_size"]) == count)


def _until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(RedisError, OSError):
            if true():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the Cluster was not formed")
        time.sleep(TICK)  # bounded by the deadline
