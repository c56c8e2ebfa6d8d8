"""Plans are made by chance alone, hold the whole deck, and hurt nobody twice at a time."""

import asyncio
import random
from collections import Counter

import pytest

from tests.chaos.decks import COUPLES, PRIMARIES, rehearsed
from tests.chaos.faults import Fault, Row, Scene, plan, strike
from tests.chaos.grounds import AT_A_TIME, GROUNDS

SECONDS = 4.0
DECKS = {
    f"{name}, {which}": deck
    for name, ground in GROUNDS.items()
    for which, deck in (("usual", (*ground.deck, *ground.servers)), ("last", ground.last))
}


@pytest.mark.parametrize("name", DECKS)
def test_the_same_seed_makes_the_same_plan(name: str) -> None:
    plans = [plan(random.Random(f"{seed}/1"), SECONDS, DECKS[name]) for seed in (1, 1, 2)]

    assert plans[0] == plans[1]
    assert plans[0] != plans[2] or not DECKS[name]


@pytest.mark.parametrize("name", DECKS)
def test_a_plan_has_every_fault_of_the_deck_in_its_time(name: str) -> None:
    made = plan(random.Random(3), SECONDS, DECKS[name])

    assert Counter(fault.row for fault in made) == Counter(DECKS[name])
    for at, row, victim, seconds in made:
        assert victim in row.victims
        assert row.begins[0] * SECONDS <= at <= row.begins[1] * SECONDS
        assert row.lasts[0] <= seconds <= row.lasts[1]


@pytest.mark.parametrize("name", GROUNDS)
def test_a_usual_round_has_some_faults_of_servers(name: str) -> None:
    ground = GROUNDS[name]
    dealt = [ground.deal(random.Random(seed)) for seed in range(100)]

    assert {len(rows) for rows in dealt} == {len(ground.deck) + min(AT_A_TIME, len(ground.servers))}
    assert {row for rows in dealt for row in rows} == {*ground.deck, *ground.servers}


def test_no_deck_kills_whoever_is_weighed() -> None:
    dead = {victim for deck in DECKS.values() for row in deck if row.kind == "kill" for victim in row.victims}

    assert dead == {"web-0", "worker-0", "redis", *COUPLES}


def test_the_rehearsal_hurts_each_primary_and_one_at_a_time() -> None:
    faults = rehearsed(2, SECONDS)
    primaries = [fault for fault in faults if fault.row.alone]

    assert {fault.victim for fault in primaries} == set(COUPLES)
    assert all(set(PRIMARIES) <= set(fault.row.alone) for fault in primaries)


async def test_who_is_to_be_left_alone_is_struck_by_nobody_else() -> None:
    together: list[set[str]] = []
    struck: set[str] = set()

    async def hand(_: Scene, fault: Fault) -> None:
        struck.update({fault.victim, *fault.row.alone})
        together.append(set(struck))
        await asyncio.sleep(0)
        struck.difference_update({fault.victim, *fault.row.alone})

    rows = [Row("a", ("x",), hand, alone=("y",)), Row("b", ("y",), hand, alone=("x",)), Row("c", ("z",), hand)]
    scene = Scene(None, None, [], random.Random(1))  # type: ignore[arg-type] # nothing of it is struck
    await strike(scene, [Fault(0.0, row, row.victims[0]) for row in rows])

    assert all({"x", "y"} <= seen or seen == {"z"} for seen in together)
    assert scene.done == Counter({"a x": 1, "b y": 1, "c z": 1})
