"""`python -m tests.chaos …` as the Makefile runs it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLAIM = re.compile(r"^PASS  ", re.MULTILINE)
SECONDS = 120
"""A run that takes longer hangs."""


def chaos(*words: str) -> list[str]:
    """The lines of its report. Raises AssertionError, with all that was said, when a claim does not hold."""
    command = [sys.executable, "-W", "error", "-m", "tests.chaos", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
