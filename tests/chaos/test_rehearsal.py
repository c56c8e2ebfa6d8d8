"""A small rehearsal: a whole webinar on a Cluster with REPLICAS=1, while each kind of process is hurt once."""

from pathlib import Path

import pytest

from tests.chaos.command import chaos, claims, documented

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are weighed in /proc")


def test_a_whole_webinar_survives_one_of_each(soak: bool) -> None:
    """As `make rehearsal` runs it, or smaller."""
    sockets, leads, seconds = (2000, 300, 20) if soak else (100, 30, 4)
    size = ("--sockets", str(sockets), "--leads", str(leads), "--seconds", str(seconds))
    report = chaos("rehearsal", *size, seconds=seconds)

    assert report[0] == f"{sockets:,} sockets, {leads} leads, {seconds} s on air"
    assert sorted(claims(report)) == sorted(documented("rehearsal"))
