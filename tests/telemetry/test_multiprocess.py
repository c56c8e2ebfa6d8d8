"""The metrics of one host's workers, summed."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from room_server.telemetry.multiprocess import FOLDER, Slot, folder_of, for_workers, open_slot
from room_server.telemetry.prometheus import P, Samples

COUNTER, GAUGE, MAXIMUM = (P + "frames_total",), (P + "web_processes",), (P + "heartbeat_age_seconds",)


def counting(number: float) -> Samples:
    """A process that counted so much, and holds as much."""
    return {COUNTER: number, GAUGE: number, MAXIMUM: number}


@contextmanager
def holding(folder: Path) -> Iterator[Slot]:
    """A slot of the folder."""
    with open_slot(folder) as slot:
        assert slot is not None
        yield slot


def test_a_process_of_its_own_has_no_slot() -> None:
    with open_slot(None) as slot:
        assert slot is None


def test_any_worker_sums_all(tmp_path: Path) -> None:
    with holding(tmp_path) as first, holding(tmp_path) as second:
        first.put(counting(1))
        assert (first.name, second.name) == ("0", "1")
        assert second.summed(counting(10)) == {COUNTER: 11, GAUGE: 11, MAXIMUM: 10}
        assert first.summed(counting(2))[COUNTER] == 12


def test_the_counters_of_the_dead_stay_and_their_gauges_go(tmp_path: Path) -> None:
    with holding(tmp_path) as survivor:
        with holding(tmp_path) as doomed:
            doomed.put(counting(10))
        assert survivor.summed(counting(1)) == {COUNTER: 11, GAUGE: 1, MAXIMUM: 1}


def test_a_worker_in_the_slot_of_a_dead_one_continues_its_counters(tmp_path: Path) -> None:
    """So the sum never goes back, and however many workers die there are no more slots."""
    for life in range(1, 6):
        with holding(tmp_path) as slot:
            assert slot.summed(counting(3)) == {COUNTER: 3 * life, GAUGE: 3, MAXIMUM: 3}

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "0.lock"]


def test_the_first_free_slot_is_taken(tmp_path: Path) -> None:
    with ExitStack() as middle, holding(tmp_path):
        middle.enter_context(holding(tmp_path))
        with holding(tmp_path) as third:
            assert third.name == "2"
            middle.close()
            with holding(tmp_path) as another:
                assert another.name == "1"


def test_what_was_shown_once_was_written_first(tmp_path: Path) -> None:
    with holding(tmp_path) as slot:
        slot.summed(counting(7))
    with holding(tmp_path) as next_holder:
        assert next_holder.summed({})[COUNTER] == 7


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b'{"counters": {"c": {"": 1}}}',
        b'[[["room_server_frames_total", "another_label"], 5], [["another_metric"], 5], [[], 5]]',
    ],
)
def test_what_another_version_wrote_is_left_out(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "7.json").write_bytes(written)
    with holding(tmp_path) as slot:
        assert slot.summed(counting(1)) == counting(1)


def test_without_its_lock_file_a_slot_counts_as_free(tmp_path: Path) -> None:
    with holding(tmp_path) as first, holding(tmp_path) as second:
        second.put(counting(10))
        (tmp_path / "1.lock").unlink()
        assert first.summed(counting(1))[GAUGE] == 1


def test_the_lock_file_is_touched_so_that_no_clean_up_removes_it(tmp_path: Path) -> None:
    with holding(tmp_path) as slot:
        os.utime(tmp_path / "0.lock", (0, 0))
        slot.put(counting(1))
        assert (tmp_path / "0.lock").stat().st_mtime > 0


def test_a_folder_that_is_gone_is_logged_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    with holding(folder) as slot, caplog.at_level(logging.WARNING):
        shutil.rmtree(folder)
        slot.put(counting(1))
        slot.put(counting(1))
        assert slot.summed(counting(1)) == counting(1)

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("this process's metrics cannot be shared with the others: ")


def test_the_workers_are_given_their_folder_for_as_long_as_they_run() -> None:
    assert folder_of(os.environ) is None
    with for_workers():
        folder = folder_of(os.environ)
        assert folder is not None
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder.exists(), FOLDER in os.environ) == (False, False)
