"""`python -m tests.chaos …` as the Makefile runs it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLAIM = re.compile(r"^PASS  ([^:]+): ")
SPARE = 300
"""Seconds that a run may take besides the time that its faults go on: one that takes longer hangs."""


def claims(report: list[str]) -> list[str]:
    """What holds."""
    return [found[1] for line in report if (found := CLAIM.match(line))]


def documented(where: str) -> list[str]:
    """The claims that docs/chaos.md explains and that are made there: `embedded`, `cluster` or `rehearsal`."""
    _, _, table = (ROOT / "docs" / "chaos.md").read_text("utf-8").rpartition("| claim |")
    rows = re.findall(r"^\| ([^|-][^|]*?) \| ([^|]*?) \|", table, re.MULTILINE)
    return [claim for claim, places in rows if places == "all" or where in places.split(", ")]


def chaos(*words: str, seconds: float) -> list[str]:
    """The report, line by line, of a run whose faults go on for so many seconds.

    Raises AssertionError, with all that was said, when a claim does not hold.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.chaos", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=seconds + SPARE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
