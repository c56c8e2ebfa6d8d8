"""Clocks that are wrong: libfaketime shows a process another time of day, which the test may change while it runs.

Only the time of day differs: what durations are measured by (CLOCK_MONOTONIC) is left alone, as NTP leaves it.
"""

from pathlib import Path

SHARED = Path("/dev/shm")
FOLDERS = ("/usr/lib", "/usr/lib64", "/lib")
CACHED_SECONDS = 1
"""How long a process goes by an offset that it has read: a change takes so long to arrive."""


def library() -> Path:
    """Debian's libfaketime for programs with threads. Raises FileNotFoundError."""
    found = [path for folder in FOLDERS for path in sorted(Path(folder).glob("**/faketime/libfaketimeMT.so.1"))]
    if not found:
        raise FileNotFoundError("libfaketime is missing: run `sh scripts/install-system faketime`")
    return found[0]


class Clock:
    """The time of day that processes with this environment are shown: ours and `ahead` seconds."""

    def __init__(self, file: Path, ahead: int = 0) -> None:
        self._file = file
        self.ahead = 0
        self.set(ahead)

    def set(self, ahead: int) -> None:
        """Step to so many seconds ahead of our time; negative: behind it."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead:+d}\n")
        fresh.replace(self._file)
        self.ahead = ahead

    def environment(self) -> dict[str, str]:
        """What a process must be started with. Raises FileNotFoundError: there is no libfaketime here."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(CACHED_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def sweep(pid: int) -> None:
    """Take away what libfaketime leaves in shared memory of a process that has ended."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (SHARED / name).unlink(missing_ok=True)
