"""Writes one text to many sockets, with as little work for each as can be: by io_uring, or by write(2) for each."""

import logging
import os
from asyncio import Transport
from collections.abc import Sequence
from typing import Literal, Protocol

from uvicorn.protocols.utils import is_ssl

from room_server.channels.io_uring import SIZE, Ring
from room_server.errors import ConfigurationError

logger = logging.getLogger(__name__)

Form = Literal["io_uring", "write"]


class Peer(Protocol):
    """A socket for which nothing that was written before waits in this process."""

    descriptor: int
    """The file descriptor; -1: `write_rest` gets everything."""

    def write_rest(self, data: bytes, written: int) -> None:
        """The kernel took the first `written` bytes only: write the others when it takes more, or find out why not."""

    def abort(self) -> None:
        """Cut the connection off: nobody knows how much of a text it got."""


class Writer:
    """The one of a process. `form` says how it writes; a ring that fails is replaced by write(2) for good."""

    def __init__(self, wanted: Literal["auto", "io_uring", "write"] = "auto") -> None:
        """`auto` takes io_uring where the kernel allows it. Raises ConfigurationError when that was demanded."""
        self._ring: Ring | None = None
        if wanted == "write":
            return
        try:
            self._ring = Ring()
        except OSError as error:
            if wanted == "io_uring":
                raise ConfigurationError(f"io_uring cannot be had here ({error.strerror})") from None
            logger.info("sockets are written to by write(2): io_uring cannot be had here (%s)", error.strerror)

    @property
    def form(self) -> Form:
        """How it writes now."""
        return "write" if self._ring is None else "io_uring"

    def write(self, peers: Sequence[Peer], data: bytes) -> None:
        """Write `data` to each peer; what the kernel does not take goes to `write_rest`."""
        for start in range(0, len(peers), SIZE):
            part = peers[start : start + SIZE]
            results = self._results(part, data)
            if results.count(len(data)) == len(part):
                continue
            for peer, result in zip(part, results, strict=True):
                if result is None:
                    peer.abort()
                elif result < len(data):
                    peer.write_rest(data, max(result, 0))

    def _results(self, peers: Sequence[Peer], data: bytes) -> list[int | None]:
        """For each peer how many bytes the kernel took; a negative number: none. None: nobody knows."""
        if self._ring is None:
            return [_write(peer, data) for peer in peers]
        results = self._ring.send([peer.descriptor for peer in peers], data)
        if self._ring.failed:
            logger.warning("io_uring failed (%s): sockets are written to by write(2) from now on", self._ring.failed)
            self._ring = None
        return results


def descriptor_of(transport: Transport) -> int:
    """The file descriptor of a connection; -1 under TLS, where only the transport may write."""
    return -1 if is_ssl(transport) else int(transport.get_extra_info("socket").fileno())


def write_one(peer: Peer, data: bytes) -> None:
    """Write `data` to one peer, by write(2)."""
    written = _write(peer, data)
    if written < len(data):
        peer.write_rest(data, written)


def _write(peer: Peer, data: bytes) -> int:
    """How many bytes the kernel took; 0 if it is to be found out why it took none."""
    try:
        return os.write(peer.descriptor, data)
    except OSError:
        return 0
