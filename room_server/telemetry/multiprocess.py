"""Sums metrics over this host's web workers, so that any one of them can be scraped.

Each worker of `web --workers N` holds a slot: a numbered pair of files in a folder that their parent made. The kernel
holds the lock on `N.lock` until the worker ends, however it ends; `N.json` has the worker's samples. A worker that
answers a scrape writes its own first, so no number that was once shown is lost. A worker that takes the slot of a dead
one continues its counters, so they never go back, and there are never more slots than there were workers at a time.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import msgspec

from room_server.telemetry.prometheus import Samples, is_known, lasting, merge

logger = logging.getLogger(__name__)

FOLDER = "ROOM_SERVER_WORKERS_FOLDER"
"""An environment variable, not a setting: by it the parent of several workers names their folder."""
_ROWS = msgspec.json.Decoder(list[tuple[list[str], float]])


class Slot:
    """One worker's place among those of its host; `lock` is the locked, open lock file."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self._folder = folder
        self._lock = lock
        self.name = Path(lock.name).stem
        """The slot's number as text, the label `worker`."""
        self._earlier = lasting(_read(folder / f"{self.name}.json"))
        """What earlier holders of this slot counted."""
        self._failed = False

    def put(self, samples: Samples) -> Samples:
        """Write this worker's samples where the others find them; returns them with those of the earlier holders."""
        total = dict(self._earlier)
        merge(total, samples)
        self._write(total)
        return total

    def summed(self, samples: Samples) -> Samples:
        """The samples of all workers of this host, of dead ones those that last; this worker's are `samples`."""
        total = self.put(samples)
        for file in sorted(self._folder.glob("*.json")):
            if file.stem != self.name:
                others = _read(file)
                merge(total, others if _is_locked(file.with_suffix(".lock")) else lasting(others))
        return total

    def _write(self, samples: Samples) -> None:
        file = self._folder / f"{self.name}.json"
        try:
            new = file.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(list(samples.items())))
            new.replace(file)
            os.utime(self._lock.fileno())  # temporary files that look old are swept away
        except OSError as error:
            if not self._failed:
                logger.warning("this process's metrics cannot be shared with the others: %s", error)
            self._failed = True


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """The folder that this process's parent made for its workers; None without such a parent."""
    return Path(environ[FOLDER]) if environ.get(FOLDER) else None


@contextmanager
def for_workers() -> Iterator[None]:
    """A folder for the workers that are started in the block, named in their environment; removed with the block."""
    with TemporaryDirectory(prefix="room-server-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


@contextmanager
def open_slot(folder: Path | None) -> Iterator[Slot | None]:
    """The first free slot of the folder, held until the block ends; None without a folder."""
    if folder is None:
        yield None
        return
    with _locked(folder) as lock:
        yield Slot(folder, lock)


def _locked(folder: Path) -> IO[bytes]:
    """The lock file of the first free slot, open and locked. Raises OSError."""
    for number in count():
        lock = (folder / f"{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            break
    return lock


def _is_locked(lock: Path) -> bool:
    """Whether a living process holds the slot. A worker that looks for a free slot meanwhile passes this one over."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _read(file: Path) -> Samples:
    """The samples in a slot's file, without those of another version that this one does not know."""
    try:
        rows = _ROWS.decode(file.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}
    return {tuple(key): value for key, value in rows if is_known(key)}
