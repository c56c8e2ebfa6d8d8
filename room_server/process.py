"""The process as a whole: tasks whose end ends it, how many files it may open, the garbage collector's settings."""

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

OTHER_FILES = 300
"""Open files of a process beside those of its sockets: connections to Redis, requests, logs."""

GC_THRESHOLDS = (10_000, 10, 10)
"""For `gc.set_threshold`: new objects before the youngest generation is collected, and how often before the next is."""


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
