"""The process as a whole: tasks whose end ends it, and the garbage collector's settings."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

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
    except Exception:
        logger.critical("a vital task failed; this process ends", exc_info=True)
    os.kill(os.getpid(), signal.SIGTERM)


def freeze_garbage_collector() -> None:
    """Exempt what is loaded from collection for ever, and collect less often. Call it once, when all is imported.

    Each request makes a task and futures: with Python's own thresholds the collector took a third of a busy process's
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
