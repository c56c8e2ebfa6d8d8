"""Reads what browsers send, in place of the event loop: nearly all of it are receipts, thousands after each change.

The event loop would read each receipt as soon as it comes, and so interrupt the broadcast that is going on. Here they
wait until it is over (`is_held`), and each costs less.
"""

import asyncio
import os
import select
import sys
from typing import Protocol

BATCH = 128
"""Sockets that are read before other tasks run."""
READ_BYTES = 4096
"""Of one socket at a time; more is read in the next batch."""


class Peer(Protocol):
    """A socket that this process may read from directly: no TLS."""

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""

    def eof_received(self) -> object:
        """The peer has closed its side, or the connection is lost: close it. Nothing is read from it any more."""


class Poller:
    """The one of a process: an epoll(7) of its own, which the event loop watches while there are sockets."""

    def __init__(self) -> None:
        self.is_held = False
        """Set during a broadcast: nothing is read."""
        self._epoll: select.epoll | None = select.epoll() if sys.platform == "linux" else None
        self._peers: list[Peer | None] = []
        """By file descriptor."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, descriptor: int, peer: Peer) -> bool:
        """Read from this socket from now on; whether that can be done here. The loop must not read from it then."""
        if self._epoll is None:
            return False
        if not self._count:
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._read)
        self._peers += [None] * (descriptor + 1 - len(self._peers))
        self._peers[descriptor] = peer
        self._count += 1
        self._epoll.register(descriptor, select.EPOLLIN)
        return True

    def remove(self, descriptor: int, peer: Peer) -> None:
        """Read no more from this peer, whose socket is still open. It need not be here."""
        if self._epoll is None or self._peers[descriptor : descriptor + 1] != [peer]:
            return
        self._epoll.unregister(descriptor)
        self._peers[descriptor] = None
        self._count -= 1
        if not self._count:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())

    def _read(self) -> None:
        """Called by the event loop, over and over while there is anything to read."""
        if self.is_held or self._epoll is None:
            return
        for descriptor, _ in self._epoll.poll(0, BATCH):
            peer = self._peers[descriptor]
            if peer is None:
                continue  # one before it in this batch had it removed
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                peer.data_received(data)
            else:
                self.remove(descriptor, peer)
                peer.eof_received()
