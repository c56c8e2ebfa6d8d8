"""What holds for any sequence of commands, whoever sends them and whatever the clock says (core/decide.py)."""

from collections import Counter
from itertools import cycle
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_server.core.decision_types import Change, Command, DecisionContext, Evaluate, Facts, OperatorAction, Reaction
from room_server.core.messages import AttendanceClassified, Entered, PostWebinarRoute, WebinarCompleted
from room_server.core.room import Room
from tests.core.builders import STATUSES, room
from tests.core.sequences import Chapter, Step, World, after, bounded, histories, stories

rooms = st.sampled_from([room("scheduled"), room("scheduled"), room("live"), *(room(status) for status in STATUSES)])
dice = st.randoms(use_true_random=False)


def interleave(inputs: list[Step], dice: Random) -> list[Step]:
    """The same inputs in another order, in which each lead's own keep theirs."""
    queues: dict[int | None, list[Step]] = {}
    for step in inputs:
        queues.setdefault(step.lead_id, []).append(step)
    leads = [step.lead_id for step in inputs]
    dice.shuffle(leads)
    return [queues[lead_id].pop(0) for lead_id in leads]


@pytest.mark.parametrize("kind", [OperatorAction, Evaluate, Command, Facts, DecisionContext, Reaction, Change])
def test_facts_and_changes_are_immutable(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@bounded
@given(rooms, histories())
def test_the_end_is_recorded_once(first: Room, steps: list[Step]) -> None:
    world = World(first)
    ends = [first.finished_at] + [world.send(step).after.finished_at for step in steps]

    assert len({end for end in ends if end is not None}) <= 1
    assert (world.room.finished_at is not None) == (world.room.status in {"finished", "archived"})


@bounded
@given(rooms, histories())
def test_no_lead_is_classified_completed_or_routed_twice(first: Room, steps: list[Step]) -> None:
    world = after(first, steps)

    emitted = [event for event in world.events if isinstance(event, WebinarCompleted | AttendanceClassified)]
    times = Counter((type(event), event.lead_id) for event in emitted)
    assert set(times.values()) <= {1}
    assert len(world.messages) == len({(message.lead_id, message.kind) for message in world.messages})


@bounded
@given(rooms, histories())
def test_a_classification_never_changes_and_is_the_one_that_was_emitted(first: Room, steps: list[Step]) -> None:
    world = after(first, steps)

    classified = {event.lead_id: event.attended for event in world.events if isinstance(event, AttendanceClassified)}
    kept = {lead_id: known.attended for lead_id, known in world.participations.items() if known.attended is not None}
    routes = {event.lead_id: event.route for event in world.events if isinstance(event, PostWebinarRoute)}
    assert kept == classified
    assert routes == {lead_id: "attended" if there else "not_attended" for lead_id, there in kept.items()}


@bounded
@given(rooms, histories())
def test_a_lead_enters_once_and_only_while_live(first: Room, steps: list[Step]) -> None:
    world = World(first)
    seen: list[int] = []
    for step in steps:
        outcome = world.send(step)
        entries = [event.lead_id for event in outcome.events if isinstance(event, Entered)]
        assert not entries or outcome.before.status == "live"
        seen += entries

    assert sorted(set(seen)) == sorted(seen)
    assert set(seen) == {lead_id for lead_id, known in world.participations.items() if known.entered_at is not None}


@bounded
@given(histories())
def test_an_archived_room_never_changes(steps: list[Step]) -> None:
    archived = room("archived")

    assert archived is after(archived, steps).room


@bounded
@given(rooms, histories())
def test_the_version_grows_by_one_with_each_change_of_the_room_and_only_then(first: Room, steps: list[Step]) -> None:
    world = World(first)
    for step in steps:
        outcome = world.send(step)
        changes = 0 if outcome.after is outcome.before else 1
        assert outcome.before.version + changes == outcome.after.version
        assert (outcome.before == outcome.after) == (changes == 0)


@bounded
@given(rooms, histories())
def test_a_refused_command_and_a_repeated_one_emit_nothing(first: Room, steps: list[Step]) -> None:
    world = World(first)
    for step in steps:
        before = msgspec.json.encode(world.facts())
        outcome = world.send(step)
        if outcome.answer not in {"ok", "duplicate"}:
            assert before == msgspec.json.encode(world.facts())
        if outcome.answer != "ok":
            assert not outcome.events


@bounded
@given(rooms, histories())
def test_time_on_air_never_shrinks_and_runs_in_live_only(first: Room, steps: list[Step]) -> None:
    world = World(first)
    for step in steps:
        outcome = world.send(step)
        assert outcome.before.on_air_ms <= outcome.after.on_air_ms
        assert (outcome.after.status == "live") == (outcome.after.on_air_since is not None)


@bounded
@given(rooms, histories(), st.lists(st.integers(1, 3), min_size=1))
def test_a_command_sent_again_at_once_ends_in_the_same_facts(first: Room, steps: list[Step], times: list[int]) -> None:
    again = [
        sending
        for step, count in zip(steps, cycle(times), strict=False)
        for sending in (step, step.again(), step.again())[:count]
    ]

    assert after(first, steps).facts() == after(first, again).facts()


@bounded
@given(rooms, stories(), dice)
def test_inputs_of_leads_repeated_in_any_order_end_in_the_same_facts(
    first: Room, chapters: list[Chapter], dice: Random
) -> None:
    """Within one state of the room: after each input, it and any of those before may come again."""
    once, again = [], []
    for turn, inputs in chapters:
        once += [turn, *inputs]
        again += [turn]
        for position, step in enumerate(inputs):
            repeats = dice.choices(inputs[: position + 1], k=dice.randrange(3))
            again += [step, *(repeat.again() for repeat in repeats)]

    assert after(first, once).facts() == after(first, again).facts()


@bounded
@given(rooms, stories(), dice)
def test_inputs_of_different_leads_interleaved_in_any_way_end_in_the_same_facts(
    first: Room, chapters: list[Chapter], dice: Random
) -> None:
    """Within one state of the room, and each lead's own inputs in their order."""
    once, interleaved = [], []
    for turn, inputs in chapters:
        once += [turn, *inputs]
        interleaved += [turn, *interleave(inputs, dice)]

    assert after(first, once).facts() == after(first, interleaved).facts()
