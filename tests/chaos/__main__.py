"""`python -m tests.chaos chaos|rehearsal`: the long fault run, or a whole webinar as in production: docs/chaos.md.

The report on stdout, what happens meanwhile on stderr; the exit status is 0 when every claim holds.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.chaos.checker import Report
from tests.chaos.grounds import GROUNDS
from tests.chaos.rehearsal import Size, rehearse
from tests.chaos.storm import storm

BEGAN = time.monotonic()
END_SECONDS = 10.0


def say(line: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{time.monotonic() - BEGAN:7.1f} s  {line}\n")


async def until_ended(work: Coroutine[Any, Any, Report]) -> Report:
    """Its report; SIGTERM ends it and everything that it has started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def tell(run: Callable[[Path], Coroutine[Any, Any, Report]]) -> bool:
    """Run it in a folder of its own and print its report; whether every claim holds."""
    folder = Path(tempfile.mkdtemp(prefix="rs-"))
    say(f"logs of the processes, kept when a claim fails: {folder}")
    report = uvloop.run(until_ended(run(folder)))
    sys.stdout.write(f"{report}\n")
    if report.passed:
        remove(folder)
    return report.passed


def remove(folder: Path) -> None:
    """Delete it; the embedded server may be ending in it still."""
    deadline = time.monotonic() + END_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)  # bounded by the deadline


def main() -> int:
    """0 when every claim holds."""
    arguments = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    arguments.add_argument("what", choices=("chaos", "rehearsal"))
    arguments.add_argument("--on", choices=GROUNDS, action="append", help="of chaos: where; everywhere unless said")
    arguments.add_argument("--minutes", type=float, default=3, help="of chaos: how long faults go on, all in all")
    arguments.add_argument("--seed", type=int, default=1, help="of chaos: the same seed, the same plan of faults")
    arguments.add_argument("--sockets", type=int, default=2000, help="of the rehearsal")
    arguments.add_argument("--leads", type=int, default=300, help="of the rehearsal")
    arguments.add_argument("--seconds", type=float, default=20, help="that the rehearsal's webinar is live")
    given = arguments.parse_args()
    if given.what == "rehearsal":
        size = Size(given.sockets, given.leads, given.seconds)
        return 0 if tell(partial(rehearse, size=size, say=say)) else 1
    places = given.on or list(GROUNDS)
    seconds = 60 * given.minutes / len(places)
    held = [tell(partial(storm, where=where, seed=given.seed, seconds=seconds, say=say)) for where in places]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
