"""`python -m tests.chaos`: the long fault run, or with `--cluster` the rehearsal: docs/chaos.md.

The report on stdout, what happens meanwhile on stderr; the exit status is 0 when every claim holds.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.chaos.rehearsal import Size, rehearse
from tests.chaos.storm import storm

BEGAN = time.monotonic()


def say(line: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{time.monotonic() - BEGAN:7.1f} s  {line}\n")


def main() -> int:
    """0 when every claim holds."""
    arguments = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    arguments.add_argument("--minutes", type=float, default=3, help="how long faults go on")
    arguments.add_argument("--seed", type=int, default=1, help="the same seed, the same faults at the same moments")
    arguments.add_argument("--cluster", action="store_true", help="the rehearsal instead: one webinar on a Cluster")
    arguments.add_argument("--sockets", type=int, default=2000, help="of the rehearsal")
    arguments.add_argument("--leads", type=int, default=300, help="of the rehearsal")
    arguments.add_argument("--seconds", type=float, default=20, help="that the rehearsal's webinar is live")
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rs-"))
    say(f"logs of the processes, kept when a claim fails: {folder}")
    if given.cluster:
        size = Size(given.sockets, given.leads, given.seconds)
        report = uvloop.run(rehearse(folder, size, say))
    else:
        report = uvloop.run(storm(folder, given.seed, 60 * given.minutes, say))
    sys.stdout.write(f"{report}\n")
    if report.passed:
        shutil.rmtree(folder)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
