"""One text to many sockets by one system call: Linux's io_uring (io_uring_enter(2)), by ctypes and mmap.

The kernel and this process share three arrays. A *submission* names a socket and what to send to it. The *order* says
which submissions are meant next. A *completion* has the result of one of them: how many bytes the kernel took, or a
negative errno. Kernels before 5.6 have no io_uring for this; many containers and some hosts forbid it.
"""

import ctypes
import errno
import mmap
import os
import socket
import weakref
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

SIZE = 256
"""Submissions of one system call."""

_SETUP, _ENTER = 425, 426
"""Numbers of the system calls, the same on all platforms that Python runs on."""
_OFFSET_SUBMISSIONS = 0x10000000
"""Where mmap(2) finds the submissions; the other arrays, with their heads and tails, are at 0."""
_SINGLE_MMAP = 1
_GET_EVENTS = 1
_SEND = 26
_SUBMISSION, _COMPLETION = 64, 16
"""Bytes of one; their fields are in io_uring(7), `struct io_uring_sqe` and `struct io_uring_cqe`."""
_PARAMETERS = 30
"""32-bit words of `struct io_uring_params`."""

_call = ctypes.CDLL(None, use_errno=True).syscall


class Ring:
    """Sends to at most SIZE sockets at a time, and waits for none of them. Not thread-safe.

    The kernel gets its part back when the object goes.
    """

    def __init__(self) -> None:
        """Set it up and try it. Raises OSError when the kernel has no io_uring, or when it is forbidden."""
        parameters = array("I", [0] * _PARAMETERS)
        address, _ = parameters.buffer_info()
        self.failed = ""
        """Why it cannot be used any more."""
        self.descriptor = _checked(_call(_SETUP, SIZE, ctypes.c_void_p(address)))
        weakref.finalize(self, os.close, self.descriptor)
        if not parameters[5] & _SINGLE_MMAP:
            raise OSError(errno.ENOSYS, "this io_uring is older than Linux 5.4")
        self._share(parameters)
        self._try()

    def _share(self, parameters: Sequence[int]) -> None:
        """Map the three arrays, and fill in what stays the same in every submission."""
        head, tail, mask, _, _, _, order = parameters[10:17]
        done_head, done_tail, done_mask, _, _, completions = parameters[20:26]
        end = max(order + 4 * SIZE, completions + _COMPLETION * parameters[1])
        words = self._map(end, 0)
        self._consumed, self._submitted = words[head // 4 :], words[tail // 4 :]
        self._order = words[order // 4 : order // 4 + SIZE]
        self._taken, self._completed = words[done_head // 4 :], words[done_tail // 4 :]
        self._mask, self._done_mask = words[mask // 4], words[done_mask // 4]
        done = words[completions // 4 : end // 4]
        self._which, self._results = done[::4], done.cast("B").cast("i")[2::4]
        words = self._map(_SUBMISSION * SIZE, _OFFSET_SUBMISSIONS)
        octets = words.cast("B")
        self._sockets = octets.cast("i")[1::16]
        self._addresses, self._lengths = octets.cast("Q")[2::8], words[6::16]
        octets[::_SUBMISSION] = bytes([_SEND]) * SIZE
        words[7::16] = array("I", [socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL]) * SIZE
        octets.cast("Q")[4::8] = array("Q", range(SIZE))  # a completion says which submission it is of

    def _map(self, size: int, offset: int) -> memoryview:
        """Shared memory as 32-bit words."""
        return memoryview(mmap.mmap(self.descriptor, size, offset=offset)).cast("I")

    def _try(self) -> None:
        """Send one byte through it. Raises OSError."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            if self.send([ours.fileno()], b"?") != [1] or theirs.recv(1) != b"?":
                raise OSError(errno.ENOSYS, "io_uring is there, and does not send")

    def send(self, sockets: Sequence[int], data: bytes) -> list[int | None]:
        """Send `data` to each of these file descriptors, at most SIZE.

        For each: how many bytes the kernel took, or a negative errno. If the ring `failed` meanwhile: 0 for what was
        not submitted, None for what nobody knows; it must not be used again.
        """
        count = len(sockets)
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        self._sockets[:count] = array("i", sockets)
        self._addresses[:count] = array("Q", [address]) * count
        self._lengths[:count] = array("I", [len(data)]) * count
        before = self._submitted[0]
        numbers = array("I", range(count))
        for start, part in _parts(before & self._mask, count, SIZE):
            self._order[start : start + len(part)] = numbers[part.start : part.stop]
        self._submitted[0] = (before + count) & 0xFFFFFFFF
        try:
            self._enter(count, count)
        except OSError as error:
            self.failed = os.strerror(error.errno or 0)
        consumed = (self._consumed[0] - before) & 0xFFFFFFFF
        results: list[int | None] = [None] * consumed + [0] * (count - consumed)
        self._collect(results, consumed)
        return results

    def _collect(self, results: list[int | None], expected: int) -> None:
        """Put the completions, as many as `expected`, into `results`."""
        while True:
            head = self._taken[0]
            count = (self._completed[0] - head) & 0xFFFFFFFF
            for start, part in _parts(head & self._done_mask, count, self._done_mask + 1):
                end = start + len(part)
                which, found = self._which[start:end].tolist(), self._results[start:end].tolist()
                for number, result in zip(which, found, strict=True):
                    results[number] = result
            self._taken[0] = (head + count) & 0xFFFFFFFF
            expected -= count
            if expected <= 0 or self.failed:
                return
            try:
                self._enter(0, expected)
            except OSError as error:
                self.failed = os.strerror(error.errno or 0)

    def _enter(self, submit: int, wait_for: int) -> None:
        """Submit so many, and wait for so many completions. Raises OSError."""
        while True:
            try:
                _checked(_call(_ENTER, self.descriptor, submit, wait_for, _GET_EVENTS, None, 0))
            except InterruptedError:
                continue
            return


def _parts(start: int, count: int, size: int) -> Iterator[tuple[int, range]]:
    """Where `count` entries stand in an array of `size` that begins again after its end: places, and which entries."""
    first = min(count, size - start)
    for begin, end in pairwise((0, first, count)):
        if end > begin:
            yield (start if begin == 0 else 0), range(begin, end)


def _checked(returned: int) -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return returned
