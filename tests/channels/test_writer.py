"""One text to many sockets, by io_uring and by write(2): the peers see no difference."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from room_server.channels.io_uring import SIZE, Ring
from room_server.channels.writer import Writer
from room_server.errors import ConfigurationError
from tests.channels.test_io_uring import Forgetful, forbidden, needs_io_uring
from tests.support import next_state, room, serving, settings_for, wait_until

Form = Literal["io_uring", "write"]
both_forms = pytest.mark.parametrize("form", [pytest.param("io_uring", marks=needs_io_uring), "write"])


class Peer:
    """A real socket, and what the writer left to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.descriptor = self.ours.fileno()
        self.left: list[bytes] = []
        self.aborted = False

    def write_rest(self, data: bytes, written: int) -> None:
        self.left.append(data[written:])

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """More than one system call takes."""
    made = [Peer() for _ in range(SIZE + 5)]
    yield made
    for peer in made:
        peer.ours.close()
        peer.theirs.close()


def with_ring(ring: Ring) -> Writer:
    """A writer with this ring."""
    writer = Writer("io_uring")
    writer._ring = ring
    return writer


@both_forms
def test_every_peer_gets_the_text(form: Form, peers: list[Peer]) -> None:
    writer = Writer(form)

    writer.write(peers, b"text")
    writer.write([], b"nobody's")

    assert writer.form == form
    assert [peer.theirs.recv(9) for peer in peers] == [b"text"] * len(peers)
    assert not any(peer.left or peer.aborted for peer in peers)


@both_forms
def test_what_the_kernel_does_not_take_is_left_to_the_peer(form: Form, peers: list[Peer]) -> None:
    writer, text = Writer(form), os.urandom(10**6)
    slow, gone, under_tls, well = peers[:4]
    slow.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    gone.theirs.close()
    under_tls.descriptor = -1

    writer.write([slow, gone, under_tls], text)
    writer.write([gone, well], b"text")

    assert slow.theirs.recv(len(text), socket.MSG_DONTWAIT) + slow.left[0] == text
    assert (gone.left, under_tls.left) == ([text, b"text"], [text])
    assert well.theirs.recv(9) == b"text"
    assert not any(peer.aborted for peer in peers)


@needs_io_uring
def test_write_takes_over_from_a_ring_that_fails(peers: list[Peer], caplog: pytest.LogCaptureFixture) -> None:
    ring, others = Ring(), peers[SIZE:]
    writer = with_ring(ring)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), ring.descriptor)

    with caplog.at_level(logging.WARNING):
        writer.write(peers, b"text")

    assert [peer.left for peer in peers[:SIZE]] == [[b"text"]] * SIZE  # for their transports to write
    assert [peer.theirs.recv(9) for peer in others] == [b"text"] * len(others)
    assert writer.form == "write"
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["io_uring failed"]


@needs_io_uring
def test_peers_of_whom_nobody_knows_what_they_got_are_cut_off(peers: list[Peer]) -> None:
    writer = with_ring(Forgetful())

    writer.write(peers, b"text")

    assert [peer.aborted for peer in peers] == [True] * SIZE + [False] * 5
    assert not any(peer.left for peer in peers)
    assert writer.form == "write"


AUTO = """
import logging
logging.basicConfig(level="INFO")
from room_server.channels.writer import Writer
print(Writer("auto").form)
Writer("io_uring")
"""


def test_where_it_is_forbidden_write_is_taken_and_said_or_the_start_ends() -> None:
    made = forbidden(AUTO)

    assert made.stdout == "write\n"
    assert "sockets are written to by write(2): io_uring cannot be had here (Operation not permitted)" in made.stderr
    assert f"{ConfigurationError.__name__}: io_uring cannot be had here (Operation not permitted)" in made.stderr


@both_forms
async def test_a_change_reaches_everybody_and_is_answered_for(valkey_url: str, form: Form) -> None:
    async with serving(settings_for(valkey_url, socket_writer=form)) as site:
        await site.transactions.create(room())
        async with site.socket() as one, site.socket("moderator") as other:
            assert {(await next_state(socket))["status"] for socket in (one, other)} == {"scheduled"}
            assert (await site.status("start")).status_code == 200

            assert {(await next_state(socket))["status"] for socket in (one, other)} == {"live"}

            receipts = site.inside.hub.groups["w"].receipts
            await wait_until(lambda: sum(receipts.buckets) == 2, "both have answered for the change")
        metrics = (await site.http.get("/metrics")).text
    assert f'room_server_socket_writers{{kind="{form}"}} 1.0' in metrics
