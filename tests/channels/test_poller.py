"""What browsers send is read past the event loop, and not during a broadcast: on real sockets."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from room_server.channels.poller import BATCH, READ_BYTES, Poller
from tests.support import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll: the event loop reads")


class Peer:
    """One end of a connection, and what was read from the other."""

    def __init__(self, poller: Poller) -> None:
        self.ours, self.theirs = connected()
        self.descriptor = self.ours.fileno()
        self.received = b""
        self.reads = self.ends = 0
        self.when_read: Callable[[], object] = lambda: None
        assert poller.add(self.descriptor, self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.reads += 1
        self.when_read()

    def eof_received(self) -> None:
        self.ends += 1


def connected() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection, ours non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    return ours, theirs


@pytest.fixture
def poller() -> Poller:
    return Poller()


@pytest.fixture
def make(poller: Poller) -> Iterator[Callable[[], Peer]]:
    """Makes peers, whose connections end with the test."""
    made: list[Peer] = []

    def make() -> Peer:
        made.append(Peer(poller))
        return made[-1]

    yield make
    for peer in made:
        peer.ours.close()
        peer.theirs.close()


async def some_turns() -> None:
    """Of the event loop, enough for everything that is there to be read."""
    for _ in range(20):
        await asyncio.sleep(0)


Make = Callable[[], Peer]


async def test_what_peers_send_is_read_from_each(poller: Poller, make: Make) -> None:
    peers = [make() for _ in range(BATCH + 5)]
    for number, peer in enumerate(peers):
        peer.theirs.send(b"%d" % number)
    await wait_until(lambda: all(peer.received for peer in peers), "all are read from")

    assert [peer.received for peer in peers] == [b"%d" % number for number in range(len(peers))]
    assert (len(poller), sum(peer.ends for peer in peers)) == (len(peers), 0)


async def test_nothing_is_read_while_it_is_held_and_everything_afterwards(poller: Poller, make: Make) -> None:
    peer = make()
    poller.is_held = True
    peer.theirs.send(b"a receipt")
    await some_turns()
    assert peer.received == b""

    poller.is_held = False
    await wait_until(lambda: peer.received, "it is read")
    assert peer.received == b"a receipt"


async def test_one_that_sends_much_is_read_in_turn_with_the_others(poller: Poller, make: Make) -> None:
    much, little = make(), make()
    before: list[int] = []
    little.when_read = lambda: before.append(much.reads)
    much.theirs.send(os.urandom(10 * READ_BYTES))
    little.theirs.send(b"a receipt")
    await wait_until(lambda: len(much.received) == 10 * READ_BYTES, "all is read")

    assert (before[0] <= 1, much.reads >= 10) == (True, True)


def reset(peer: Peer) -> None:
    """Close the other end so that its connection is reset."""
    peer.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.theirs.close()


@pytest.mark.parametrize("how", [lambda peer: peer.theirs.close(), reset], ids=["closed", "reset"])
async def test_the_end_of_a_connection_is_told_once(poller: Poller, make: Make, how: Callable[[Peer], Any]) -> None:
    peer, other = make(), make()
    how(peer)
    await wait_until(lambda: peer.ends, "it ended")
    await some_turns()

    assert (peer.ends, peer.received, other.ends, len(poller)) == (1, b"", 0, 1)


async def test_a_peer_that_one_before_it_had_removed_is_not_read_from(poller: Poller, make: Make) -> None:
    peers, faults = (make(), make()), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    for peer, other in (peers, peers[::-1]):
        peer.when_read = lambda other=other: poller.remove(other.descriptor, other)  # type: ignore[misc]
        peer.theirs.send(b"text")
    await wait_until(lambda: len(poller) == 1, "one was read from, and had the other removed")
    await some_turns()

    assert (sorted(peer.received for peer in peers), faults) == ([b"", b"text"], [])


async def test_who_is_not_read_from_here_may_be_removed_and_costs_no_other(poller: Poller, make: Make) -> None:
    gone, peer = make(), make()
    poller.remove(gone.descriptor, gone)
    for descriptor in (gone.descriptor, peer.descriptor, -1, 10**6):
        poller.remove(descriptor, gone)
    peer.theirs.send(b"text")
    await wait_until(lambda: peer.received, "it is read from")
    assert len(poller) == 1


async def test_the_event_loop_watches_it_while_there_are_sockets_only(poller: Poller, make: Make) -> None:
    assert poller._epoll is not None
    loop = asyncio.get_running_loop()
    for _ in range(2):
        peer = make()
        poller.remove(peer.descriptor, peer)
        assert not loop.remove_reader(poller._epoll.fileno())
        peer.theirs.send(b"text")
        await some_turns()
        assert peer.received == b""
