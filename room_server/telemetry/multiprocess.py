"""What the processes of one host have counted, together: whichever of them is asked gives the sum.

Each worker of `web --workers N` holds a slot of a folder that their parent made, and keeps what it counts there.
Whoever answers a scrape writes its own numbers first, so none that was ever told is lost: a worker that takes the slot
of a dead one goes on from its counters, which therefore never go back. There are as many slots as workers at a time.
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
from msgspec import Struct

logger = logging.getLogger(__name__)

Values = dict[str, dict[str, float]]
"""Metric -> its label values, joined by BETWEEN -> number."""
Buckets = tuple[list[int], float]
"""Counts by upper bound, and the sum of all durations (seconds)."""
BETWEEN = "|"


FOLDER = "ROOM_SERVER_WORKERS_FOLDER"
"""An environment variable, no setting: the parent of several workers tells them their folder."""


class Snapshot(Struct, kw_only=True):
    """Numbers at one moment. `counters` and `histograms` only grow; of a dead process nothing else counts."""

    counters: Values = {}
    histograms: dict[str, dict[str, Buckets]] = {}
    gauges: Values = {}
    worst: Values = {}
    """Gauges of which the largest stands for all."""


_SNAPSHOT = msgspec.json.Decoder(Snapshot)


def labelled(*words: str) -> str:
    """The key of a series with several labels."""
    return BETWEEN.join(words)


def grown(one: Snapshot, other: Snapshot) -> Snapshot:
    """What both have counted."""
    histograms = {name: dict(series) for name, series in one.histograms.items()}
    for name, series in other.histograms.items():
        known = histograms.setdefault(name, {})
        for labels, (counts, seconds) in series.items():
            before, spent = known.get(labels, ([0] * len(counts), 0.0))
            known[labels] = ([sum(both) for both in zip(before, counts, strict=True)], spent + seconds)
    return Snapshot(counters=_added(one.counters, other.counters), histograms=histograms)


def together(one: Snapshot, other: Snapshot) -> Snapshot:
    """Two living processes as one."""
    summed = grown(one, other)
    summed.gauges = _added(one.gauges, other.gauges)
    summed.worst = {name: dict(series) for name, series in one.worst.items()}
    for name, series in other.worst.items():
        known = summed.worst.setdefault(name, {})
        known.update({labels: max(value, known.get(labels, value)) for labels, value in series.items()})
    return summed


def _added(one: Values, other: Values) -> Values:
    summed = {name: dict(series) for name, series in one.items()}
    for name, series in other.items():
        known = summed.setdefault(name, {})
        for labels, value in series.items():
            known[labels] = known.get(labels, 0) + value
    return summed


class SingleProcess:
    """The only process: there is nobody to share with."""

    name = "0"
    is_shared = False

    def put(self, mine: Snapshot) -> None:
        """Nobody asks for it."""

    def summed(self, mine: Snapshot) -> Snapshot:
        """What there is."""
        return mine


class Slot(SingleProcess):
    """One worker's place among those of its host, held by a lock that the kernel releases however the worker ends."""

    is_shared = True

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self._folder = folder
        self._lock = lock
        self.name = Path(lock.name).stem
        self._before = _read(folder / f"{self.name}.json")
        """What was counted by those that held this slot before."""
        self._failed = False

    def put(self, mine: Snapshot) -> None:
        """Keep it where the others find it."""
        self._keep(self._grown(mine))

    def summed(self, mine: Snapshot) -> Snapshot:
        """All workers of this host, the dead ones' counters included."""
        whole = self._grown(mine)
        self._keep(whole)
        for file in sorted(self._folder.glob("*.json")):
            if file.stem == self.name:
                continue
            kept = _read(file)
            if not _is_held(file.with_suffix(".lock")):
                kept.gauges, kept.worst = {}, {}
            whole = together(whole, kept)
        return whole

    def _grown(self, mine: Snapshot) -> Snapshot:
        return msgspec.structs.replace(grown(self._before, mine), gauges=mine.gauges, worst=mine.worst)

    def _keep(self, whole: Snapshot) -> None:
        file = self._folder / f"{self.name}.json"
        try:
            new = file.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(whole))
            new.replace(file)
            os.utime(self._lock.fileno())  # temporary files that look old are swept away
        except OSError as error:
            if not self._failed:
                logger.warning("this process's metrics cannot be shared with the others: %s", error)
            self._failed = True


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """Where this process's parent lets its workers share; None: it has no such parent."""
    return Path(environ[FOLDER]) if environ.get(FOLDER) else None


@contextmanager
def for_workers() -> Iterator[None]:
    """A folder for the workers that are started in the block, named in their environment; it ends with the block."""
    with TemporaryDirectory(prefix="room-server-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


@contextmanager
def open_slot(folder: Path | None) -> Iterator[SingleProcess]:
    """The first slot that nobody holds, until the block ends; without a folder there is nobody to share with."""
    if folder is None:
        yield SingleProcess()
        return
    with _locked(folder) as lock:
        yield Slot(folder, lock)


def _locked(folder: Path) -> IO[bytes]:
    """The lock of the first slot that nobody holds. Raises OSError."""
    for number in count():
        lock = (folder / f"{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            break
    return lock


def _is_held(lock: Path) -> bool:
    """Whether a living process holds it. Who looks for a slot at this instant passes it over, and takes another."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _read(file: Path) -> Snapshot:
    try:
        return _SNAPSHOT.decode(file.read_bytes())
    except FileNotFoundError:
        return Snapshot()
