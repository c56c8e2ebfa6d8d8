"""What asks for the time is tested on other days, too: in processes whose clock is turned by libfaketime."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from room_server.clock import utc_now

ROOT = Path(__file__).parents[1]
FILES = (
    *("commands/test_roster.py", "test_auth.py", "test_demo.py", "api/test_rooms.py", "test_signed.py", "test_tour.py"),
    "jobs/test_retention.py",
)
"""Those that would know: plans and links, tokens, the demo, whole webinars, and what is over."""
BUT = "clock or cluster or stays or wave"
"""Tests in them that set a clock themselves, that sleep, which libfaketime forbids, or that take long."""
DAYS = {"a year from now": utc_now() + timedelta(days=365), "a leap day": datetime(2028, 2, 29, 12, tzinfo=UTC)}


def on(day: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python that runs on another day, and so does all that it starts; clocks that only count go on as they are.

    (tests/clocks.py sets the clock of a single process, while it runs.)
    """
    faketime = shutil.which("faketime")
    assert faketime, "no faketime on the PATH; `make test` installs it"
    ahead = round((DAYS[day] - utc_now()).total_seconds())
    command = [faketime, "-f", f"{ahead:+}s", sys.executable, *words]
    environment = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("day", DAYS)
def test_the_clock_is_turned(day: str) -> None:
    told = on(day, "-c", "from room_server.clock import utc_now; print(utc_now().date())")

    assert told.stdout.strip() == str(DAYS[day].date())


def test_the_tests_pass_on_any_day(soak: bool) -> None:
    files = [f"tests/{name}" for name in FILES]

    for day in DAYS if soak else ["a leap day"]:
        done = on(day, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({BUT})", *files)
        assert done.returncode == 0, done.stdout + done.stderr
