"""The clock of a real server is set back and forth: everything is due in time, and lags are right."""

import random
import time
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from itertools import pairwise

import pytest

from room_server.core.room import RosterEntry
from room_server.state import queue_stats, roster
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.outbox import ABANDONED_MS, FollowOn, Outbox
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.clocks import OwnClock, own_clock
from tests.core.builders import WEBINAR, evaluate, stop
from tests.state.acts import done, prepare
from tests.support import eventually, settings_for

HOUR = 3600.0
STEP = 0.1
"""Most seconds by which the clock may go back."""
SLACK = 5.0
"""Seconds that a test may take between two looks at the clock."""
STEADY = (files("room_server.state") / "steady.lua").read_text() + "return steady(KEYS[1])"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnClock]:
    """One server for the tests of this file."""
    with own_clock() as running:
        yield running


@pytest.fixture
async def state(server: OwnClock) -> AsyncIterator[State]:
    """The server, empty, with the right time."""
    server.set(0)
    async with open_state(settings_for(server.url)) as opened:
        await opened.client.flushall()
        yield opened


@pytest.fixture
async def outbox(state: State) -> Outbox:
    """Queue a message to the partner for each of three leads."""
    await prepare(state.store, "finished")
    await more(state.store, 1, 2, 3)
    made = Outbox(state.store)
    await made.open(tag(made))
    return made


async def more(store: Store, *leads: int) -> None:
    people = [RosterEntry(lead_id=lead, partner_chat_id=lead) for lead in leads]
    await roster.import_roster(store, WEBINAR, people, replace=False)
    for lead in leads:
        await done(store, evaluate(lead))


def tag(outbox: Outbox) -> str:
    return outbox.store.keys.tag(WEBINAR)


async def steady(store: Store) -> float:
    """The time of steady.lua, in seconds."""
    return int(await store.call("EVAL", STEADY, 1, store.keys.clock(store.keys.tags[0]))) / 1000


async def test_it_goes_on_whatever_happens_to_the_servers_own(server: OwnClock, state: State) -> None:
    chance, own, times = random.Random(3), 0.0, [await steady(state.store)]
    ahead = 0.0
    for _ in range(200):
        step = chance.choice([-HOUR, -0.5, 0.0, 0.0, 0.5, HOUR]) * chance.random()
        own += step
        ahead += max(step, 0.0)
        server.set(own)
        times.append(await steady(state.store))

    assert min(later - earlier for earlier, later in pairwise(times)) >= -STEP
    assert times[-1] - times[0] == pytest.approx(ahead, abs=SLACK + 200 * STEP)


async def test_while_the_servers_own_clock_is_right_it_is_that(state: State) -> None:
    assert await steady(state.store) == pytest.approx(time.time(), abs=SLACK)


@pytest.mark.parametrize("step", [-HOUR, HOUR, -0.2])
async def test_a_message_is_due_when_it_was_scheduled(server: OwnClock, outbox: Outbox, step: float) -> None:
    first, second, _ = await outbox.read_new(tag(outbox), "w1", 10)
    for entry, seconds in ((first, 0.5), (second, HOUR / 2)):
        held = await outbox.load(WEBINAR, entry.field)
        assert held is not None
        await outbox.update(WEBINAR, held, None, FollowOn(seconds, entry=entry))
    server.set(step)

    async def promoted() -> int:
        return await outbox.enqueue_due(tag(outbox))

    came = await eventually(promoted, "what was due is on its way")
    assert came == (2 if step > 0 else 1)  # time that is jumped over has passed


async def test_an_evaluation_is_due_when_it_was_scheduled(server: OwnClock, state: State) -> None:
    async with open_state(settings_for(server.url, evaluation_grace=0.5)) as opened:
        store = opened.store
        await prepare(store, "live")
        await done(store, stop(), 0.5)
        server.set(-HOUR)

        async def late() -> bool:
            return (await EvaluationSchedule(store).read(store.keys.tag(WEBINAR))).late > 0

        await eventually(late, "it is due")
        assert (await queue_stats.read(store)).evaluation_lag < SLACK


async def test_the_lag_goes_on_when_the_clock_is_set_back(server: OwnClock, outbox: Outbox) -> None:
    """The messages are queued, and no sender is running."""
    began = time.monotonic()
    before = await outbox.lag(tag(outbox))
    server.set(-HOUR)

    async def later() -> bool:
        return await outbox.lag(tag(outbox)) > before + 3 * STEP

    await eventually(later, "the lag grows")
    waited = time.monotonic() - began
    read = (await queue_stats.read(outbox.store)).delivery_lag
    assert before + 2 * STEP < read <= waited + before + SLACK


async def test_a_message_queued_after_the_clock_was_set_back_is_late_as_any_other(
    server: OwnClock, outbox: Outbox
) -> None:
    """The id of its stream entry is a time in the future."""
    await outbox.read_new(tag(outbox), "w1", 10)
    server.set(-HOUR)
    await outbox.store.call("XTRIM", outbox.store.keys.outbox(tag(outbox)), "MAXLEN", 0)
    await more(outbox.store, 4)

    async def late() -> bool:
        return await outbox.lag(tag(outbox)) > 3 * STEP

    await eventually(late, "it is late")
    assert await outbox.lag(tag(outbox)) < SLACK


async def test_a_due_message_that_is_not_enqueued_is_late(server: OwnClock, outbox: Outbox) -> None:
    for entry in await outbox.read_new(tag(outbox), "w1", 10):
        held = await outbox.load(WEBINAR, entry.field)
        assert held is not None
        await outbox.update(WEBINAR, held, None, FollowOn(0.2, entry=entry))
    server.set(-HOUR)

    async def late() -> bool:
        return await outbox.lag(tag(outbox)) > 2 * STEP

    await eventually(late, "it is late")


async def test_the_dead_are_found_also_when_the_clock_was_set_back(server: OwnClock, outbox: Outbox) -> None:
    entries = await outbox.read_new(tag(outbox), "dead", 10)
    server.set(-HOUR)
    at_once = await outbox.claim_abandoned(tag(outbox), "heir", 10)
    server.set(-HOUR + ABANDONED_MS / 1000)

    later = await outbox.claim_abandoned(tag(outbox), "heir", 10)

    assert (at_once, [entry.id for entry in later]) == ([], [entry.id for entry in entries])
