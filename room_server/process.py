"""The process as a whole: tasks whose end ends it, its open files, its garbage collector, its free memory."""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

OTHER_FILES = 300
"""Open files of a process beside those of its sockets: connections to Redis, requests, logs."""

GC_THRESHOLDS = (10_000, 10, 10)
"""For `gc.set_threshold`: new objects before the youngest generation is collected, and how often before the next is."""

CROWD = 1_000
"""Sockets that must have left before free memory is given back: they had about 2 MB."""
REST_SECONDS = 1.0
"""Between two looks at how many have left."""


async def vital(work: Coroutine[Any, Any, None], until: asyncio.Event | None = None) -> None:
    """Run `work`, which the process cannot do without: if it fails or returns, log that and send this process SIGTERM.

    So sockets close in order and the platform starts another process, which is better than serving stale rooms. The
    caller runs this in a task of its own. To cancel that, or to set `until` before `work` returns, is no failure.
    """
    task = asyncio.current_task()
    try:
        await work
        if until is not None and until.is_set():
            return
        logger.critical("a vital task ended; this process ends")
    except asyncio.CancelledError:
        if task is None or task.cancelling():
            raise
        logger.critical("a vital task was cancelled by nobody; this process ends", exc_info=True)
    except Exception:  # whatever it is, the process cannot go on without this task
        logger.critical("a vital task failed; this process ends", exc_info=True)
    os.kill(os.getpid(), signal.SIGTERM)


def raise_open_files(sockets: int) -> None:
    """Let this process, and those it starts, open as many files as its hard limit allows; warn if that is too few.

    Each socket is an open file, and the soft limit is 1,024 as a rule. `sockets`: how many the process is to hold; 0
    when that has no limit, so that nothing can be said to be too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # macOS takes no infinite soft limit
        pass
    if sockets and soft != resource.RLIM_INFINITY and soft < sockets + OTHER_FILES:
        logger.warning(
            "a process may open %d files, and %d sockets (ROOM_SERVER_MAX_SOCKETS) need %d: raise the hard limit "
            "(LimitNOFILE= in systemd, ulimit -Hn), or set ROOM_SERVER_MAX_SOCKETS to %d",
            soft, sockets, sockets + OTHER_FILES, max(1, soft - OTHER_FILES),
        )  # fmt: skip


def freeze_garbage_collector() -> None:
    """Exempt what is loaded from collection for ever, and collect less often. Call it once, when all is imported.

    Each request makes a task and futures: with Python's own thresholds the collector took a third of a busy process's
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def trim_memory(sockets: Callable[[], int], give_back: Callable[[], object], pause: float = REST_SECONDS) -> None:
    """Have free memory given back whenever a crowd has left, for ever. `sockets` counts those that are open now.

    Sockets that come and go, as many as before, cost nothing: the next ones take the memory of the last.
    """
    most = 0
    while True:
        await asyncio.sleep(pause)
        now = sockets()
        most = max(most, now)
        if most - now >= CROWD:
            await asyncio.sleep(pause)  # a connection's memory is free some turns of the event loop after its end
            give_back()
            most = now


def give_back_memory() -> None:
    """Return free memory to the system, as far as glibc allocated it (malloc_trim(3)); elsewhere nothing happens.

    glibc by itself returns only what is free at the end of its heap, where a single block in use holds all before it.
    A millisecond for what 10,000 sockets had.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
