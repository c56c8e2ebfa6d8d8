"""A crowd of read-only WebSocket clients in one process, as light as Python allows: epoll and raw bytes."""

import contextlib
import itertools
import os
import resource
import select
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import Any

PATIENCE = 60.0
"""Seconds to wait for what must come."""
AT_ONCE = 200
"""Handshakes under way at the same time."""
IP_BIND_ADDRESS_NO_PORT = 24
"""Linux: the port is chosen when it is known whereto."""
PORTS = 5_000
"""Sockets from one address."""
PING = b"\x89\x08"
"""How our server's pings begin; eight bytes follow."""
PONG = b"\x8a\x88\0\0\0\0"
"""How the answer to such a ping begins, masked with 0."""
BREATH = b"\x8a\x80\0\0\0\0"
"""A pong that nobody asked for: a sign of life that is no receipt."""


class Crowd:
    """Sockets that are open and read everything that comes; `answers` sends pongs.

    Their handshakes are `requests`, over and over; `opening` is what each sends once it was let in.
    """

    def __init__(self, port: int, requests: Sequence[bytes], opening: bytes = b"", *, answers: bool = False) -> None:
        self._address = ("127.0.0.1", port)
        self._requests = itertools.cycle(requests)
        self._opening = opening
        self._answers = answers
        self._epoll = select.epoll()
        self._dialled = 0
        self._owing: set[int] = set()
        """Sockets that have heard something whose ping is not answered yet."""
        self._asked: dict[int, bytes] = {}
        """The payload of the ping that each is still to answer."""
        self.sockets: dict[int, socket.socket] = {}

    def join(self, number: int) -> None:
        """Open so many more sockets, and read what comes first."""
        for start in range(0, number, AT_ONCE):
            fresh: dict[int, socket.socket] = {}
            for _ in range(min(AT_ONCE, number - start)):
                one = self._dial()
                one.sendall(next(self._requests))
                fresh[one.fileno()] = one
            for one in fresh.values():
                head = one.recv(65536)
                if not head.startswith(b"HTTP/1.1 101"):
                    raise ConnectionError(head.decode(errors="replace"))
                one.sendall(self._opening)
                one.setblocking(False)
                self._epoll.register(one.fileno(), select.EPOLLIN)
            self.sockets |= fresh
        self.settle(0.5)

    def _dial(self) -> socket.socket:
        """From one address the kernel searches ever longer for a free port."""
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        one.bind((f"127.0.1.{self._dialled // PORTS % 250 + 1}", 0))
        one.connect(self._address)
        self._dialled += 1
        return one

    def settle(self, seconds: float) -> None:
        """Read what is still under way, until nothing has come for so long."""
        while self._epoll.poll(seconds):
            self._read_all(set())
            self._answer_all()

    def breathe(self) -> None:
        """Each tells the server that it is there; who never answers pings is taken for gone."""
        for one in self.sockets.values():
            one.send(BREATH)

    def rest(self) -> None:
        """Return when each receipt that is to come for what was heard is sent, if this crowd answers at all."""
        deadline = time.perf_counter() + PATIENCE
        while self._answers and self._owing:
            self._read_all(set())
            self._answer_all()
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(self._owing)} sockets were not asked for their receipt")
        self.settle(0.02)

    def hear(self) -> float:
        """Wait until every socket has got something; the moment (perf_counter) at which the last one had.

        Then they answer: a browser's answer delays no other browser, and here each would delay all that follow.
        """
        self._owing.clear()
        waiting = set(self.sockets)
        deadline = time.perf_counter() + PATIENCE
        while waiting:
            self._read_all(waiting)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(waiting)} sockets heard nothing")
        heard = time.perf_counter()
        self._answer_all()
        return heard

    def _read_all(self, waiting: set[int]) -> None:
        for number, _ in self._epoll.poll(1.0, 4096):
            data = self.sockets[number].recv(65536)
            if not data:
                raise ConnectionError("the server closed a socket")
            if not data.startswith(PING) or len(data) > 10:
                waiting.discard(number)
                self._owing.add(number)
            if self._answers and data[-10:-8] == PING:
                self._asked[number] = data[-8:]

    def _answer_all(self) -> None:
        """A pong for each ping that stood at the end of what came."""
        for number, payload in self._asked.items():
            self.sockets[number].send(PONG + payload)
            self._owing.discard(number)
        self._asked.clear()

    def leave(self) -> None:
        """Close all of them."""
        for one in self.sockets.values():
            one.close()
        self.sockets.clear()
        self._owing.clear()
        self._asked.clear()
        self._epoll.close()
        self._epoll = select.epoll()


class DistantCrowd:
    """A crowd in a process of its own: one process may not open enough sockets for several crowds.

    `gives_way`: to Redis and the load, which are on its core, when they are what is measured.
    """

    def __init__(self, *made: object, gives_way: bool = False, **more: object) -> None:
        self.joined = 0
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, made, {**more, "nice": 10 * gives_way}), daemon=True
        )
        self._process.start()
        theirs.close()

    def join(self, number: int) -> None:
        """As Crowd's."""
        self._ask("join", number)
        self.joined += number

    def breathe(self) -> None:
        """As Crowd's."""
        self._ask("breathe")

    def rest(self) -> None:
        """As Crowd's."""
        self._ask("rest")

    def leave(self) -> None:
        """As Crowd's."""
        self._ask("leave")
        self.joined = 0

    def hear(self) -> Callable[[], float]:
        """Listen from now on; call what is returned for the moment at which the last socket had heard."""
        self._ask("listen")
        return self._pipe.recv

    def close(self) -> None:
        """End the process, and with it the sockets."""
        self._pipe.close()
        self._process.join()

    def _ask(self, *question: object) -> None:
        self._pipe.send(question)
        self._pipe.recv()


def _serve(pipe: Any, made: tuple[Any, ...], more: dict[str, Any]) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.nice(more.pop("nice"))
    crowd = Crowd(*made, **more)
    with contextlib.suppress(EOFError):  # the one who asks is gone
        while True:
            _do(crowd, pipe, pipe.recv())


def _do(crowd: Crowd, pipe: Any, question: tuple[Any, ...]) -> None:
    match question:
        case ("join", number):
            crowd.join(number)
        case ("breathe",):
            crowd.breathe()
        case ("rest",):
            crowd.rest()
        case ("leave",):
            crowd.leave()
        case ("listen",):
            crowd.settle(0.01)
            pipe.send(None)
            pipe.send(crowd.hear())
            crowd.settle(0.02)
            return
    pipe.send(None)
