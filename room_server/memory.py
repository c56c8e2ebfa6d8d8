"""How a process that stays keeps its memory: what was loaded is left alone by the garbage collector."""

import gc

GC_THRESHOLDS = (10_000, 10, 10)
"""New objects before the young ones are searched, and how many such searches before the older ones are, too."""


def settle() -> None:
    """Once everything is loaded; for good.

    Every request makes a task and its futures: at its own thresholds the collector took a third of a busy process's
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
