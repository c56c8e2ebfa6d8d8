"""A vital task that ends, however it does, ends the process, unless it was asked to end; what a process may hold."""

import asyncio
import ctypes
import subprocess
import sys

import pytest

from room_server.process import CROWD, GC_THRESHOLDS, trim_memory, vital
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


class Over(Exception):
    """Nobody looks any more."""


@pytest.mark.parametrize(
    ("sockets", "given_back_at"),
    [
        ([0, CROWD - 1, 0, 0], []),
        ([0, CROWD, 0, 0], [2]),
        ([3 * CROWD, 3 * CROWD, 2 * CROWD + 1, 2 * CROWD, CROWD + 1, CROWD], [3, 5]),
        ([CROWD, CROWD // 2, CROWD, CROWD // 2, CROWD], []),  # they come and go
        ([CROWD, 0, CROWD, 0], [1, 3]),
    ],
)
async def test_memory_is_given_back_when_a_crowd_has_left(sockets: list[int], given_back_at: list[int]) -> None:
    looks, given_back = iter(enumerate(sockets)), []
    look = -1

    def count() -> int:
        nonlocal look
        look, now = next(looks, (-1, -1))
        if look < 0:
            raise Over
        return now

    with pytest.raises(Over):
        await trim_memory(count, lambda: given_back.append(look), pause=0)

    assert given_back == given_back_at


FREED = """
import re
from pathlib import Path
from room_server import process
def memory():
    return int(re.search(r"RssAnon:\\s*([0-9]+)", Path("/proc/self/status").read_text())[1])
blocks = [bytes(2_000) for _ in range(20_000)]
blocks = blocks[::100]
before = memory()
process.give_back_memory()
print(before - memory())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another allocator than glibc's")
def test_free_memory_between_what_is_in_use_goes_back_to_the_system() -> None:
    """In a process of its own: forty megabytes, of which a hundredth stays in use, in between."""
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)

    assert int(done.stdout) > 20_000
