"""Clocks that a test may set: libfaketime shows a process another time of day than there is.

What durations are measured by (CLOCK_MONOTONIC) is left alone, as NTP leaves it.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis as BlockingRedis

from room_server.state.redis import embedded
from tests.conftest import answering
from tests.support import PATIENCE

FOLDERS = ("/usr/lib", "/usr/lib64")
SHARED = Path("/dev/shm")
SEEN = 0.05
"""Seconds by which what the server says may differ from what it was set to."""


def library() -> Path:
    """Debian's libfaketime for programs with threads. Raises FileNotFoundError."""
    found = [path for folder in FOLDERS for path in sorted(Path(folder).glob("**/faketime/libfaketimeMT.so.1"))]
    if not found:
        raise FileNotFoundError("libfaketime is missing: run `sh scripts/install-system faketime`")
    return found[0]


def _told(client: BlockingRedis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1_000_000


class Clock:
    """The time of day that processes with this environment are shown: ours and `ahead` seconds."""

    def __init__(self, file: Path, ahead: float = 0.0, cached: int = 0) -> None:
        self._file = file
        self._cached = cached
        """Seconds for which a process goes by what it has read: reading costs a fifth of a millisecond each time."""
        self.ahead = ahead
        self.step(ahead)

    def step(self, ahead: float) -> None:
        """So many seconds ahead of the time there is; negative: behind it. Processes see it when they read again."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead:+f}\n")
        fresh.replace(self._file)
        self.ahead = ahead

    def environment(self) -> dict[str, str]:
        """What a process is started with. Raises FileNotFoundError: there is no libfaketime."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            **({"FAKETIME_CACHE_DURATION": str(self._cached)} if self._cached else {"FAKETIME_NO_CACHE": "1"}),
        }


def sweep(pid: int) -> None:
    """Take away what libfaketime leaves in shared memory of a process that has ended."""
    for left in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (SHARED / left).unlink(missing_ok=True)


class OwnClock(Clock):
    """That of a server at `url`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "clock")
        self.url = f"unix://{folder}/s"

    def set(self, seconds: float) -> None:
        """The same as `step`; return when the server goes by it."""
        self.step(seconds)
        until = time.monotonic() + PATIENCE
        with BlockingRedis.from_url(self.url) as client:
            while abs(_told(client) - time.time() - seconds) > SEEN:
                assert time.monotonic() < until, "the server does not go by its clock"


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
