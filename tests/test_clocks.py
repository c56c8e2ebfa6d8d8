"""A clock that is set is what a process sees, at once for a new one and soon for a running one; durations are true."""

import subprocess
import sys
import time
from pathlib import Path

from tests.clocks import SHARED, Clock, sweep
from tests.terminal import clean

TELL = """
import sys, time
for _ in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""
NEAR = 20.0
"""Seconds by which a busy machine may be late."""


def test_the_time_of_day_is_another_one_and_durations_are_not(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock", 3600)
    command = [sys.executable, "-c", TELL]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean(**clock.environment())
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def told() -> tuple[float, float]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            day, passed = map(float, process.stdout.readline().split())
            return day - time.time(), passed - time.monotonic()

        first = told()
        clock.step(-3600)
        deadline = time.monotonic() + NEAR
        while (then := told())[0] > 0 and time.monotonic() < deadline:
            pass
        process.stdin.close()
        process.wait()
    sweep(process.pid)

    assert abs(first[0] - 3600) < NEAR
    assert abs(then[0] + 3600) < NEAR
    assert max(abs(first[1]), abs(then[1])) < NEAR
    assert not [path for path in SHARED.iterdir() if path.name.endswith(f"_{process.pid}")]
