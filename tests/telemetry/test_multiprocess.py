"""What the workers of one host count together, whoever of them lives."""

import logging
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from room_server.telemetry.multiprocess import (
    FOLDER,
    SingleProcess,
    Snapshot,
    folder_of,
    for_workers,
    grown,
    labelled,
    open_slot,
    together,
)

ONE = Snapshot(
    counters={"c": {"": 1.0, "a": 2.0}},
    histograms={"h": {"": ([1, 0, 2], 3.5)}},
    gauges={"g": {"": 4.0}},
    worst={"w": {"": 5.0}},
)
OTHER = Snapshot(
    counters={"c": {"a": 10.0, "b": 20.0}, "d": {"": 1.0}},
    histograms={"h": {"": ([0, 1, 1], 1.0), "x": ([1, 1, 1], 9.0)}},
    gauges={"g": {"": 40.0}},
    worst={"w": {"": 2.0, "v": 7.0}},
)
COUNTED = {"c": {"": 1.0, "a": 12.0, "b": 20.0}, "d": {"": 1.0}}
TAKEN = {"h": {"": ([1, 1, 3], 4.5), "x": ([1, 1, 1], 9.0)}}


def counting(number: float) -> Snapshot:
    """A process that counted so much, and holds as much."""
    return Snapshot(counters={"c": {"": number}}, gauges={"g": {"": number}}, worst={"w": {"": number}})


def test_what_grows_is_added_and_what_stands_is_left_out() -> None:
    assert grown(ONE, OTHER) == Snapshot(counters=COUNTED, histograms=TAKEN)
    assert grown(Snapshot(), ONE) == Snapshot(counters=ONE.counters, histograms=ONE.histograms)


def test_two_living_processes_add_up_and_the_worst_stands_for_both() -> None:
    assert together(ONE, OTHER) == Snapshot(
        counters=COUNTED, histograms=TAKEN, gauges={"g": {"": 44.0}}, worst={"w": {"": 5.0, "v": 7.0}}
    )
    assert ONE.gauges == {"g": {"": 4.0}}


def test_a_process_of_its_own_has_nobody_to_share_with() -> None:
    with open_slot(None) as slot:
        slot.put(ONE)
        assert (type(slot), slot.name, slot.summed(ONE)) == (SingleProcess, "0", ONE)


def test_whoever_is_asked_tells_of_all(tmp_path: Path) -> None:
    with open_slot(tmp_path) as first, open_slot(tmp_path) as second:
        first.put(counting(1))
        assert (first.name, second.name) == ("0", "1")
        assert second.summed(counting(10)) == Snapshot(
            counters={"c": {"": 11}}, gauges={"g": {"": 11}}, worst={"w": {"": 10}}
        )
        assert first.summed(counting(2)).counters == {"c": {"": 12}}


def test_the_counters_of_the_dead_stay_and_their_gauges_go(tmp_path: Path) -> None:
    with open_slot(tmp_path) as survivor:
        with open_slot(tmp_path) as doomed:
            doomed.put(counting(10))
        assert survivor.summed(counting(1)) == Snapshot(
            counters={"c": {"": 11}}, gauges={"g": {"": 1}}, worst={"w": {"": 1}}
        )


def test_who_takes_the_slot_of_a_dead_one_goes_on_from_its_counters(tmp_path: Path) -> None:
    """So the sum never goes back, and however many workers die there are no more slots."""
    for life in range(1, 6):
        with open_slot(tmp_path) as slot:
            assert slot.summed(counting(3)).counters == {"c": {"": 3 * life}}

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "0.lock"]


def test_the_first_free_slot_is_taken(tmp_path: Path) -> None:
    with ExitStack() as middle, open_slot(tmp_path):
        middle.enter_context(open_slot(tmp_path))
        with open_slot(tmp_path) as third:
            assert third.name == "2"
            middle.close()
            with open_slot(tmp_path) as another:
                assert another.name == "1"


def test_what_was_told_once_was_kept_first(tmp_path: Path) -> None:
    with open_slot(tmp_path) as slot:
        slot.summed(counting(7))
    with open_slot(tmp_path) as heir:
        assert heir.summed(Snapshot()).counters == {"c": {"": 7}}


def test_a_lock_that_was_swept_away_stands_for_nobody(tmp_path: Path) -> None:
    with open_slot(tmp_path) as first, open_slot(tmp_path) as second:
        second.put(counting(10))
        (tmp_path / "1.lock").unlink()
        assert first.summed(counting(1)).gauges == {"g": {"": 1}}


def test_a_sign_of_use_keeps_the_lock_from_being_swept_away(tmp_path: Path) -> None:
    with open_slot(tmp_path) as slot:
        os.utime(tmp_path / "0.lock", (0, 0))
        slot.put(ONE)
        assert (tmp_path / "0.lock").stat().st_mtime > 0


def test_a_folder_that_is_gone_is_told_once_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    with open_slot(folder) as slot, caplog.at_level(logging.WARNING):
        shutil.rmtree(folder)
        slot.put(ONE)
        slot.put(ONE)
        assert slot.summed(ONE) == ONE

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("this process's metrics cannot be shared with the others: ")


def test_the_workers_are_told_their_folder_for_as_long_as_they_run() -> None:
    assert folder_of(os.environ) is None
    with for_workers():
        folder = folder_of(os.environ)
        assert folder is not None
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder.exists(), FOLDER in os.environ) == (False, False)


def test_a_series_is_named_by_its_labels() -> None:
    assert labelled("one", "two") == "one|two"
