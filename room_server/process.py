"""The process ends with what it cannot live without, rather than go on in silence."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

GC_THRESHOLDS = (10_000, 10, 10)
"""New objects before the young ones are searched, and how many such searches before the older ones are, too."""


async def vital(work: Coroutine[Any, Any, None], until: asyncio.Event | None = None) -> None:
    """Run `work` in a task of its own; when it fails or ends by itself, this process gets SIGTERM, and ends in order.

    Whoever cancels the task ends it without harm. With `until`, so does whoever has set that and lets `work` return.
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
    """Once everything is loaded; for good.

    Every request makes a task and its futures: at its own thresholds the collector took a third of a busy process's
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
