"""`room-server …` that writes its tasks to a file when SIGUSR1 asks: `python -m tests.chaos.watched FILE WORDS…`."""

import asyncio
import gc
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec

from room_server.cli import main


def tell(file: Path) -> None:
    """The tasks of the running loop by what they do, whole or not at all; what is garbage is weighed no more."""
    gc.collect()
    names = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(names))
    fresh.replace(file)


if __name__ == "__main__":
    asked = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda *_: tell(asked))
    main()
