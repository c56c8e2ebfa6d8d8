"""A small rehearsal: a whole webinar on a Cluster with REPLICAS=1, while each kind of process is hurt once."""

from pathlib import Path

import pytest

from tests.chaos.command import chaos, claims, documented

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are weighed in /proc")


def test_a_whole_webinar_survives_one_of_each() -> None:
    """As `make rehearsal` runs it, smaller."""
    report = chaos("rehearsal", "--sockets", "100", "--leads", "30", "--seconds", "4")

    assert report[0] == "100 sockets, 30 leads, 4 s on air"
    assert sorted(claims(report)) == sorted(documented("rehearsal"))
