"""A vital task that ends, however it does, ends the process, unless it was asked to end."""

import asyncio
import subprocess
import sys

import pytest

from room_server.process import GC_THRESHOLDS, vital
from tests.support import PATIENCE, sigterm


async def fails() -> None:
    raise RuntimeError("broken")


async def ends() -> None:
    return


async def waits_for_what_was_cancelled() -> None:
    """As when a library cancels something that its caller waits for."""
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    await inner


async def goes_on() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("work", [fails, ends, waits_for_what_was_cancelled])
async def test_a_vital_task_that_ends_takes_the_process_along(work: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(work)
    with sigterm() as asked:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(vital(work(), asyncio.Event()), asked.wait())

    (told,) = caplog.records
    assert (told.levelname, "a vital task" in told.getMessage()) == ("CRITICAL", True)


async def test_cancelling_a_vital_task_does_not_end_the_process(caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(vital(goes_on()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (task.cancelled(), caplog.records) == (True, [])


async def test_a_vital_task_may_end_when_it_was_asked_to(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()
    asked.set()
    await vital(ends(), asked)

    assert caplog.records == []


OPENING = """
import logging, resource, sys
from room_server import process
logging.basicConfig(format="%(message)s", stream=sys.stdout)
soft, hard, sockets = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
process.raise_open_files(sockets)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "sockets", "told"),
    [
        (256, 1024, 700, ["1024 1024"]),
        (256, 1024, 724, ["1024 1024"]),
        (256, 1024, 0, ["1024 1024"]),
        (1024, 1024, 725, [
            "a process may open 1024 files, and 725 sockets (ROOM_SERVER_MAX_SOCKETS) need 1025: raise the hard limit "
            "(LimitNOFILE= in systemd, ulimit -Hn), or set ROOM_SERVER_MAX_SOCKETS to 724", "1024 1024"]),
    ],
)  # fmt: skip
def test_a_process_may_open_as_many_files_as_its_hard_limit_allows(
    soft: int, hard: int, sockets: int, told: list[str]
) -> None:
    """In a process of its own, since a lowered hard limit stays."""
    words = [sys.executable, "-c", OPENING, *map(str, (soft, hard, sockets))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == told


def test_the_garbage_collector_leaves_alone_what_was_loaded() -> None:
    """In a process of its own, since it cannot be undone."""
    words = (
        "import gc; from room_server import process; process.freeze_garbage_collector(); "
        "print(gc.get_freeze_count(), gc.get_threshold())"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)

    frozen, _, thresholds = done.stdout.partition(" ")
    assert int(frozen) > 1_000
    assert thresholds.strip() == str(GC_THRESHOLDS)
