"""When leads are evaluated: from the stop of a webinar on, by the clock in Redis."""

import pytest

from room_server.state.evaluation_schedule import EvaluationSchedule, Schedule, ScheduledEvaluation
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core.builders import WEBINAR, stop
from tests.state.acts import done, prepare, servers
from tests.support import settings_for


async def pending(store: Store) -> ScheduledEvaluation:
    found = await EvaluationSchedule(store).pending(WEBINAR)
    assert found is not None
    return found


async def test_the_stop_puts_the_evaluation_on_the_schedule_after_the_grace(any_url: str) -> None:
    partitions = 8 if "cluster" in any_url else 1
    async with open_state(settings_for(any_url, evaluation_grace=60, partitions=partitions)) as state:
        store = state.store
        before = await redis_ms(state)
        await prepare(store)
        await done(store, stop(), 60)

        assert before + 50_000 < (await pending(store)).at <= await redis_ms(state) + 60_000
        assert await EvaluationSchedule(store).read(store.keys.tag(WEBINAR)) == Schedule(1, 0.0, [])


async def redis_ms(state: State) -> float:
    """The clock of the servers, Unix milliseconds; they are on one machine here."""
    async with servers(state) as (client, *_):
        seconds, microseconds = await client.time()
    return float(seconds * 1000 + microseconds / 1000)


async def test_only_due_evaluations_are_found(any_state: State) -> None:
    store, tag = any_state.store, any_state.store.keys.tag(WEBINAR)
    moments = {"past": 1.0, "now": await redis_ms(any_state), "later": await redis_ms(any_state) + 3_600_000}
    for name, at in moments.items():
        await store.call("ZADD", store.keys.evaluations(tag), int(at), name)
    found, first = await EvaluationSchedule(store).read(tag), await EvaluationSchedule(store).read(tag, 1)

    assert (found.waiting, [due.webinar_id for due in found.due]) == (3, ["past", "now"])
    assert found.late == pytest.approx(await redis_ms(any_state) / 1000, abs=60)
    assert (first.waiting, first.due) == (3, found.due[:1])


async def test_an_evaluation_that_was_scheduled_again_stays(any_state: State) -> None:
    store = any_state.store
    await prepare(store)
    await done(store, stop())
    schedule, due = EvaluationSchedule(store), await pending(store)

    assert not await schedule.finish(due._replace(at=due.at - 1))
    assert await schedule.finish(due)
    assert await schedule.pending(WEBINAR) is None


async def test_another_evaluation_is_due_at_once_and_never_before_the_one_that_is_scheduled(any_state: State) -> None:
    store = any_state.store
    await prepare(store)
    await done(store, stop(), 0)
    schedule, due = EvaluationSchedule(store), await pending(store)
    await schedule.add(WEBINAR)
    running = await schedule.finish(due)
    again = await pending(store)
    await schedule.finish(again)
    await schedule.add(WEBINAR)

    assert (running, again.at > due.at) == (False, True)
    assert (await pending(store)).at == pytest.approx(await redis_ms(any_state), abs=60_000)
