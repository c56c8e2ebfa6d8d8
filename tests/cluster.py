"""A Cluster of three primaries for tests: the embedded program, loopback ports, ready within a second or two."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from room_server.state.keys import SLOTS
from room_server.state.redis import embedded
from tests.support import PATIENCE

TICK = 0.02


@contextlib.contextmanager
def cluster() -> Iterator[list[int]]:
    """The ports of three primaries that share the slots, for as long as the block runs."""
    with processes(3) as started:
        yield form(list(started)[:3])


@contextlib.contextmanager
def processes(
    count: int, environments: Sequence[Mapping[str, str]] = (), /, **more: object
) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Servers that are not introduced to each other yet, by port; each may be frozen or killed by the test.

    `environments` has one for each, added to that of the tests; `more` are settings of all. Whoever starts one again
    puts it into the dict.
    """
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        ports = free_ports(2 * count)
        started = {
            port: start(Path(folder) / str(port), ports, environment, **more)
            for port, environment in zip(ports[:count], environments or [{}] * count, strict=True)
        }
        try:
            yield started
        finally:
            for process in started.values():
                process.kill()
                process.wait()


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


def start(folder: Path, ports: list[int], environment: Mapping[str, str], **more: object) -> subprocess.Popen[bytes]:
    """One server; the second half of `ports` is for the servers' own talk."""
    port = int(folder.name)
    folder.mkdir()
    settings = {
        "port": port,
        "cluster-port": ports[ports.index(port) + len(ports) // 2],
        "cluster-enabled": "yes",
        "cluster-node-timeout": 2000,
        "cluster-require-full-coverage": "no",
        "repl-diskless-sync-delay": 0,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        **more,
    }
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    return subprocess.Popen(
        [embedded.find_binary(), *words], stdout=subprocess.DEVNULL, env={**os.environ, **environment}
    )


def form(ports: list[int]) -> list[int]:
    """Share the slots out, introduce the servers to each other, and wait until all agree."""
    with contextlib.ExitStack() as stack:
        nodes: list[Any] = [stack.enter_context(Redis(port=port)) for port in ports]
        for number, node in enumerate(nodes):
            until(node.ping)
            first, last = (SLOTS * place // len(nodes) for place in (number, number + 1))
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            _introduce(nodes[0], node)
        for node in nodes:
            until(partial(_is_whole, node, len(nodes)))
    return ports


def _introduce(first: Any, node: Any) -> None:
    port = node.get_connection_kwargs()["port"]
    first.execute_command("CLUSTER MEET", "127.0.0.1", port, node.config_get("cluster-port")["cluster-port"])


def follow(ports: list[int], follower: int, leader: int) -> None:
    """Let the server at port `follower` join as the replica of a primary, and wait until it has what that has."""
    with Redis(port=ports[0]) as first, Redis(port=follower) as node, Redis(port=leader) as followed:
        until(node.ping)
        _introduce(first, node)
        until(lambda: _id(followed) in _text(node))
        until(lambda: node.cluster("REPLICATE", _id(followed)))
        until(lambda: node.info("replication")["master_link_status"] == "up")


def take_over(follower: int) -> None:
    """The replica takes its primary's place, whatever that thinks of it."""
    with Redis(port=follower) as node:
        node.cluster("FAILOVER", "TAKEOVER")
        until(lambda: node.role()[0] == b"master")


def move(number: int, ports: list[int], target: int) -> None:
    """A slot and all its keys change to the primary at port `target`, if they are not there already."""
    with contextlib.ExitStack() as stack:
        nodes: dict[int, Any] = {port: stack.enter_context(Redis(port=port)) for port in ports}
        if _holds(nodes[target], number):
            return
        found: list[int] = []

        def has_one_holder() -> bool:
            found[:] = [port for port in ports if port != target and _holds(nodes[port], number)]
            return len(found) == 1

        until(has_one_holder)
        source = found[0]
        nodes[target].cluster("SETSLOT", number, "IMPORTING", _id(nodes[source]))
        nodes[source].cluster("SETSLOT", number, "MIGRATING", _id(nodes[target]))
        while keys := nodes[source].execute_command("CLUSTER GETKEYSINSLOT", number, 100):
            nodes[source].migrate("127.0.0.1", target, keys, 0, 5000)
        for port in (target, source, *ports):
            nodes[port].cluster("SETSLOT", number, "NODE", _id(nodes[target]))
        until(lambda: _agree(list(nodes.values())))


def _agree(nodes: list[Any]) -> bool:
    """Whether all know the same owners and epochs: else one could take a slot back by old news, and drop its keys."""
    views = [_view(node.execute_command("CLUSTER", "NODES").decode()) for node in nodes]
    return all(view == views[0] for view in views)


def _view(text: str) -> set[tuple[str, ...]]:
    """Each server's id, epoch and slots, by the lines of CLUSTER NODES."""
    return {(words[0], words[6], *words[8:]) for words in map(str.split, text.splitlines())}


def _id(node: Any) -> str:
    return str(node.cluster("MYID").decode())


def _text(node: Any) -> str:
    return str(node.execute_command("CLUSTER NODES"))


def _holds(node: Any, number: int) -> bool:
    ranges = node.execute_command("CLUSTER SLOTS")
    return any(first <= number <= last and leader[2].decode() == _id(node) for first, last, leader, *_ in ranges)


def _is_whole(node: Any, count: int) -> bool:
    told = node.execute_command("CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and int(told["cluster_size"]) == count)


def until(true: Callable[[], Any]) -> None:
    """Return when it is true; a server that does not answer yet is asked again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(RedisError, OSError):
            if true():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the Cluster was not formed")
        time.sleep(TICK)  # bounded by the deadline
