"""How a process that stays keeps its memory: what was loaded is left alone, and what is freed is given back."""

import contextlib
import ctypes
import gc

GC_THRESHOLDS = (10_000, 10, 10)
"""New objects before the young ones are searched, and how many such searches before the older ones are, too."""
GIVEN_BACK = 128 * 1024
"""Bytes: a larger piece has pages of its own, and so much that is free at the end of the heap is returned."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)."""


def settle() -> None:
    """Once everything is loaded; for good.

    Every request makes a task and its futures: at its own thresholds the garbage collector took a third of a busy
    process's time. And glibc raises its thresholds by itself: each crowd that came and went left half a megabyte more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with contextlib.suppress(AttributeError, OSError):  # another C library has no mallopt
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, GIVEN_BACK)
        libc.mallopt(_M_TRIM_THRESHOLD, GIVEN_BACK)
