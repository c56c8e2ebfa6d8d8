"""A short run of scripts/fuzz_socket.py with a fixed seed."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from tests.support import PATIENCE

FUZZER = Path(__file__).parents[1] / "scripts" / "fuzz_socket.py"


async def test_random_bytes_leave_nothing_behind_and_delay_no_other_client(soak: bool) -> None:
    minutes = 10 if soak else 0.05
    command = (sys.executable, str(FUZZER), "--minutes", str(minutes), "--seed", "7")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(60 * minutes + 2 * PATIENCE):
        printed, _ = await process.communicate()
    output = printed.decode()
    rows = re.findall(r"^(\S.*?) {2,}([\d,]+)$", output, re.MULTILINE)
    counts = {what: int(number.replace(",", "")) for what, number in rows}
    assert (process.returncode, output.splitlines()[-1]) == (0, "nothing is left behind"), output
    assert min(counts[what] for what in ("answer 101", "answer 400", "close 1002", "close 1008", "states read")) > 0
