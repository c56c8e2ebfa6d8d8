"""A crowd of read-only WebSocket clients in one process, as light as Python allows: epoll and raw bytes."""

import os
import resource
import select
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

PATIENCE = 60.0
"""Seconds to wait for what must come."""
AT_ONCE = 200
"""Handshakes under way at the same time."""


class Crowd:
    """Sockets that are open and read everything that comes; `answers` sends pongs."""

    def __init__(self, port: int, path: str, subprotocols: str = "", *, answers: bool = False) -> None:
        self._address = ("127.0.0.1", port)
        key = b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Protocol: {subprotocols}"] if subprotocols else []
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._answers = answers
        self._epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}

    def join(self, number: int) -> float:
        """Open so many more sockets; the seconds that it took until the last was let in."""
        began = time.perf_counter()
        for start in range(0, number, AT_ONCE):
            fresh: dict[int, socket.socket] = {}
            for _ in range(min(AT_ONCE, number - start)):
                one = socket.create_connection(self._address)
                one.sendall(self._request)
                fresh[one.fileno()] = one
            for one in fresh.values():
                head = one.recv(65536)
                if not head.startswith(b"HTTP/1.1 101"):
                    raise ConnectionError(head.decode(errors="replace"))
                one.setblocking(False)
                self._epoll.register(one.fileno(), select.EPOLLIN)
            self.sockets |= fresh
        return time.perf_counter() - began

    def settle(self, seconds: float = 0.5) -> None:
        """Read what is still under way, until nothing has come for so long."""
        while self._epoll.poll(seconds):
            self._read_all(set(self.sockets))

    def hear(self, told: set[int] | None = None) -> float:
        """Wait until every socket has got something; the moment (perf_counter) at which the last one had."""
        waiting = set(self.sockets) if told is None else told
        deadline = time.perf_counter() + PATIENCE
        while waiting:
            self._read_all(waiting)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(waiting)} sockets heard nothing")
        return time.perf_counter()

    def _read_all(self, waiting: set[int]) -> None:
        for number, _ in self._epoll.poll(1.0, 4096):
            data = self.sockets[number].recv(65536)
            waiting.discard(number)
            if self._answers:
                self._answer(number, data)

    def _answer(self, number: int, data: bytes) -> None:
        """A masked pong (mask 0) for a ping of eight bytes at the end of what came."""
        if data[-10:-8] == b"\x89\x08":
            self.sockets[number].send(b"\x8a\x88\0\0\0\0" + data[-8:])

    def leave(self) -> None:
        """Close all of them."""
        for one in self.sockets.values():
            one.close()
        self.sockets.clear()
        self._epoll.close()
        self._epoll = select.epoll()


class DistantCrowd:
    """A crowd in a process of its own: one process may not open enough sockets for several crowds."""

    def __init__(self, *made: object, answers: bool = False) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, made, answers), daemon=True)
        self._process.start()

    def join(self, number: int) -> float:
        """As Crowd's, and what is under way is read."""
        return self._ask("join", number)

    def hear(self) -> Callable[[], float]:
        """Listen from now on; call what is returned for the moment at which the last socket had heard."""
        self._pipe.send(("hear",))
        self._pipe.recv()
        return self._pipe.recv

    def _ask(self, *question: object) -> float:
        self._pipe.send(question)
        answer: float = self._pipe.recv()
        return answer


def _serve(pipe: Any, made: tuple[Any, ...], answers: bool) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    crowd = Crowd(*made, answers=answers)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return  # the one who asks is gone
        match question:
            case ("join", number):
                pipe.send(crowd.join(number))
                crowd.settle()
            case ("hear",):
                crowd.settle(0.01)
                pipe.send(None)
                pipe.send(crowd.hear())
                crowd.settle(0.02)
