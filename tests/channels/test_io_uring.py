"""A text to many sockets by one system call, on the kernel's own io_uring."""

import errno
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from room_server.channels.io_uring import SIZE, Ring

FORBID = """
import ctypes, struct, sys
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER, IO_URING_SETUP = 38, 22, 2, 425
LOAD_NUMBER, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1
steps = [(LOAD_NUMBER, 0, 0, 0), (IF_EQUAL, 0, 1, IO_URING_SETUP), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
rule = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
assert libc.prctl(PR_SET_SECCOMP, FILTER, rule, 0, 0) == 0
"""
"""Python that forbids its own process io_uring, with the error that Docker's seccomp profile gives (EPERM)."""


def is_here() -> bool:
    """Whether this kernel has io_uring and allows it."""
    try:
        Ring()
    except OSError:
        return False
    return True


needs_io_uring = pytest.mark.skipif(not is_here(), reason="this kernel has no io_uring, or forbids it")


@contextmanager
def pairs(number: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Connected sockets: one to write to, and its peer."""
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(number)]
        for pair in made:
            for one in pair:
                stack.enter_context(one)
        yield made


def descriptors(made: list[tuple[socket.socket, socket.socket]]) -> list[int]:
    return [ours.fileno() for ours, _ in made]


@needs_io_uring
def test_every_socket_gets_every_text_whatever_the_size_of_the_slice() -> None:
    ring = Ring()
    with pairs(SIZE) as made:
        for turn, count in enumerate((1, SIZE, 7, 250, 0, 255, SIZE, 3) * 3):
            text = b"text %d" % turn
            part = made[:count]
            assert ring.send(descriptors(part), text) == [len(text)] * count
            assert {theirs.recv(100) for _, theirs in part} <= {text}
        for _, theirs in made:
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)


@needs_io_uring
def test_a_full_buffer_takes_a_part_and_then_nothing_and_nobody_waits() -> None:
    ring, text = Ring(), b"x" * 10**7
    with pairs(2) as made:
        full, other = descriptors(made)

        first, beside = ring.send([full, other], text)
        assert first is not None
        assert beside is not None
        assert 0 < first < len(text)
        assert 0 < beside < len(text)
        assert ring.send([full], b"more") == [-errno.EAGAIN]
        assert len(made[0][1].recv(first, socket.MSG_WAITALL)) == first


@needs_io_uring
def test_sockets_that_are_gone_cost_the_others_nothing() -> None:
    ring = Ring()
    with pairs(3) as made:
        gone, reset, well = descriptors(made)
        made[0][0].close()
        made[1][1].close()

        assert ring.send([gone, reset, well, -1], b"text") == [-errno.EBADF, -errno.EPIPE, 4, -errno.EBADF]
        assert made[2][1].recv(9) == b"text"


@needs_io_uring
def test_a_ring_that_fails_says_so_and_what_it_has_not_sent() -> None:
    ring = Ring()
    with pairs(3) as made, Path(os.devnull).open() as nothing:
        assert not ring.failed
        os.dup2(nothing.fileno(), ring.descriptor)

        assert ring.send(descriptors(made), b"text") == [0, 0, 0]
        assert ring.failed


class Forgetful(Ring):
    """A ring whose second submission fails after the kernel took it, and whose results are lost."""

    sent = 0

    def _enter(self, submit: int, wait_for: int) -> None:
        super()._enter(submit, wait_for)
        self.sent += 1
        if self.sent > 1:
            self._taken[0] = self._completed[0]
            raise OSError(errno.EIO, "lost")


@needs_io_uring
def test_results_that_are_lost_are_told_apart_from_what_was_not_sent() -> None:
    ring = Forgetful()
    with pairs(2) as made:
        assert ring.send(descriptors(made), b"text") == [None, None]
        assert ring.failed == os.strerror(errno.EIO)


@needs_io_uring
def test_the_kernel_gets_its_part_back() -> None:
    def held() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text("utf-8", "replace")
        return sum(1 for _ in Path("/proc/self/fd").iterdir()), maps.count("io_uring")

    gc.collect()  # what other tests have left
    before = held()
    ring = Ring()
    assert held() > before
    del ring
    gc.collect()
    assert held() == before


def test_a_system_that_forbids_it_is_an_error_of_the_start() -> None:
    made = forbidden("from room_server.channels.io_uring import Ring\nRing()")

    assert made.returncode == 1
    assert "PermissionError" in made.stderr


def forbidden(program: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that may not use io_uring."""
    return subprocess.run([sys.executable, "-c", FORBID + program], capture_output=True, text=True, check=False)
