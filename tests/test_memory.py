import subprocess
import sys

from room_server.memory import GC_THRESHOLDS


def test_the_garbage_collector_leaves_alone_what_was_loaded() -> None:
    """In a process of its own: it is for good."""
    words = (
        "import gc; from room_server import memory; memory.settle(); print(gc.get_freeze_count(), gc.get_threshold())"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)

    frozen, _, thresholds = done.stdout.partition(" ")
    assert int(frozen) > 1_000
    assert thresholds.strip() == str(GC_THRESHOLDS)
