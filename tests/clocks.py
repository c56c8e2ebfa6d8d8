"""A Valkey whose clock a test may set: libfaketime shows it another time of day than there is.

What durations are measured by (CLOCK_MONOTONIC) is left alone, as NTP leaves it.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis as BlockingRedis

from room_server.state import embedded
from tests.chaos.clocks import library, sweep
from tests.conftest import answering
from tests.support import PATIENCE

SEEN = 0.1
"""Seconds by which what the server says may differ from what it was set to."""


def _told(client: BlockingRedis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1_000_000


class OwnClock:
    """A server at `url`, and the time of day that it is shown."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/s"
        self._file = folder / "clock"
        self._write(0)

    def _write(self, seconds: float) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+f}\n")
        fresh.replace(self._file)

    def set(self, seconds: float) -> None:
        """So far ahead of the time there is; negative: behind it. Return when the server goes by it."""
        self._write(seconds)
        until = time.monotonic() + PATIENCE
        with BlockingRedis.from_url(self.url) as client:
            while abs(_told(client) - time.time() - seconds) > SEEN:
                assert time.monotonic() < until, "the server does not go by its clock"

    def environment(self) -> dict[str, str]:
        """What the server is started with."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@contextmanager
def own_clock() -> Iterator[OwnClock]:
    """A running server with a clock of its own, on no disk, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        made = OwnClock(Path(folder))
        command = [embedded.find_binary(), "--port", "0", "--unixsocket", f"{folder}/s", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=made.environment())
        try:
            answering(made.url)
            yield made
        finally:
            process.kill()
            process.wait()
            sweep(process.pid)
