"""A small rehearsal: a whole webinar on a Cluster with REPLICAS=1, while a web process, a primary and a worker die."""

import re
from pathlib import Path

import pytest

from tests.chaos.rehearsal import Size, rehearse

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are weighed in /proc")


async def test_a_whole_webinar_survives_one_of_each(tmp_path: Path) -> None:
    said: list[str] = []

    report = await rehearse(tmp_path, Size(sockets=100, leads=30, seconds=4), said.append)

    assert report.passed, f"{report}\n" + "\n".join(said)
    assert re.search(r"a primary whose replica took over after [0-9.]+ s", str(report.done))
