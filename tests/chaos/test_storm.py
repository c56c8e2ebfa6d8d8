"""A short chaos run: everything that `make chaos` looks at, after one deck of faults; and the deck itself."""

import os
import random
from pathlib import Path

import pytest

from tests.chaos.command import ROOT, chaos, claims, documented
from tests.chaos.faults import DECK, WORST, plan

SEED = int(os.environ.get("ROOM_SERVER_CHAOS_SEED", "2"))
SECONDS = 4.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are weighed in /proc")


def test_whatever_goes_wrong_every_claim_holds(soak: bool) -> None:
    """As `make chaos` runs it: one deck of faults, or many."""
    seconds = 180 if soak else SECONDS
    report = chaos("--minutes", str(seconds / 60), "--seed", str(SEED), seconds=seconds)

    assert report[0] == f"seed {SEED}, 2 webinars"
    assert sorted(claims(report)) == sorted(documented())


def test_the_makefile_runs_what_these_tests_run() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert "-m tests.chaos --minutes $(MINUTES) --seed $(SEED)\n" in makefile
    assert "-m tests.chaos --cluster --sockets $(SOCKETS)\n" in makefile


def test_the_same_seed_makes_the_same_plan() -> None:
    plans = [plan(random.Random(f"{seed}/1"), SECONDS) for seed in (1, 1, 2)]

    assert plans[0] == plans[1] != plans[2]


def test_a_plan_has_every_fault_of_the_deck_in_its_time() -> None:
    made = plan(random.Random(3), SECONDS)

    assert sorted(fault.kind for fault in made) == sorted(kind for kind, _ in DECK)
    assert all(0 <= fault.at <= SECONDS and fault.seconds <= WORST.get(fault.kind, 0) for fault in made)
    assert {fault.victim for fault in made if fault.kind == "kill"} == {"web-0", "worker-0", "redis"}
