"""A chaos run on each ground: everything that `make chaos` looks at, after one deck of faults or, by `--soak`, many.

On a Cluster only by `--soak`: `test_rehearsal.py` hurts one in every run of the tests.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.command import ROOT, chaos, claims, documented

SEEDS = {"embedded": 5, "cluster": 176}
"""Plans that strike each kind of process once, and of the servers the worst."""
SEED = os.environ.get("ROOM_SERVER_CHAOS_SEED")
SECONDS = 4.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are weighed in /proc")


@pytest.mark.parametrize("ground", ["embedded", pytest.param("cluster", marks=pytest.mark.long)])
def test_whatever_goes_wrong_every_claim_holds(ground: str, soak: bool) -> None:
    """As `make chaos` runs it: one deck of faults, or many."""
    seed, seconds = SEED or str(SEEDS[ground]), 180 if soak else SECONDS
    report = chaos("chaos", "--on", ground, "--minutes", str(seconds / 60), "--seed", seed, seconds=seconds)

    assert report[0].startswith(f"{ground}, seed {seed}, ")
    assert sorted(claims(report)) == sorted(documented(ground))


def test_the_makefile_runs_what_these_tests_run() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert "-m tests.chaos chaos --minutes $(MINUTES) --seed $(SEED)\n" in makefile
    assert "-m tests.chaos rehearsal --sockets $(SOCKETS)\n" in makefile
