"""After the end: everyone is classified once, whatever happens to those who do it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from room_server import attendance_report
from room_server.clock import utc_now
from room_server.core.messages import MessageKind
from room_server.core.planning import Plan
from room_server.core.room import RosterEntry
from room_server.errors import StateUnavailable
from room_server.jobs.evaluation import TOGETHER, Evaluations
from room_server.state import roster
from room_server.state.commits import unix_ms
from room_server.state.evaluation_schedule import EvaluationSchedule, ScheduledEvaluation
from room_server.state.outbox import Outbox
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core.builders import WEBINAR, act, complete, enter, room, stop
from tests.proxy import proxy_to
from tests.state.acts import answer, done, events, prepare
from tests.support import amend, eventually, settings_for, transactions

URL = "https://example.org/recording"


def lead(number: int, candidate: int | None = 100) -> RosterEntry:
    return RosterEntry(lead_id=number, name=f"L{number}", partner_chat_id=900, candidate_chat_id=candidate)


async def register(store: Store, *numbers: int) -> None:
    await roster.import_roster(store, WEBINAR, [lead(number) for number in numbers], replace=False)


async def routes(store: Store) -> dict[int, str]:
    """The route of every lead; `-` for one without."""
    return {line.lead_id: line.route or "-" for line in await attendance_report.attendance(store, WEBINAR)}


async def due(store: Store) -> ScheduledEvaluation:
    found = await EvaluationSchedule(store).pending(WEBINAR)
    assert found is not None
    return found


async def statuses(store: Store, kind: MessageKind = MessageKind.RECORDING) -> Counter[str]:
    return Counter([stored.delivery.status.value async for stored in Outbox(store).deliveries(WEBINAR)
                    if stored.delivery.kind is kind])  # fmt: skip


async def finish(store: Store, *registered: int) -> None:
    """A webinar that is over, with this roster; its evaluation is on the schedule."""
    await prepare(store, "live")
    await register(store, *registered)
    await done(store, stop())


async def test_leads_that_did_not_complete_did_not_attend_and_others_keep_their_classification(
    any_store: Store,
) -> None:
    await prepare(any_store, "live")
    await register(any_store, 1, 2, 3)
    for number in (1, 2, 4, 5):
        await done(any_store, enter(number))
    await done(any_store, stop())
    for number in (1, 4):
        await done(any_store, complete(number))

    classified = await Evaluations(transactions(any_store)).run(await due(any_store))

    assert classified == 3
    assert await routes(any_store) == {
        1: "attended", 2: "not_attended", 3: "not_attended", 4: "attended", 5: "not_attended",
    }  # fmt: skip
    assert await EvaluationSchedule(any_store).pending(WEBINAR) is None


async def test_each_lead_is_classified_and_routed_once_in_the_events(any_state: State) -> None:
    await finish(any_state.store, *range(1, 41))

    for _ in range(2):
        await Evaluations(transactions(any_state.store)).run(ScheduledEvaluation(WEBINAR, 0))

    counts = Counter(await events(any_state))
    assert (counts["client_webinar_attendance_classified"], counts["post_webinar_route"]) == (40, 40)


async def test_a_completion_after_the_classification_is_kept_and_changes_nothing_else(any_state: State) -> None:
    store = any_state.store
    await prepare(store, "live")
    await done(store, enter(1))
    await done(store, stop())
    await Evaluations(transactions(store)).run(await due(store))
    before = await events(any_state)

    result = await answer(store, complete(1))

    (line,) = await attendance_report.attendance(store, WEBINAR)
    assert (result, line.attended, line.route) == ("duplicate", False, "not_attended")
    assert line.completed_at is not None
    assert await events(any_state) == before


async def test_two_evaluations_at_once_classify_each_lead_once(any_url: str) -> None:
    settings = settings_for(any_url, partitions=8 if "cluster" in any_url else 1)
    async with open_state(settings) as one, open_state(settings) as other:
        await finish(one.store, *range(1, 101))
        at = await due(one.store)

        found = await asyncio.gather(*(Evaluations(transactions(state.store)).run(at) for state in (one, other)))

        counts = Counter(await events(one))
        assert sum(found) == 100
        assert (counts["post_webinar_route"], set((await routes(one.store)).values())) == (100, {"not_attended"})
        assert await statuses(one.store, MessageKind.ATTENDANCE) == {"queued": 100}


async def test_an_evaluation_that_was_broken_off_goes_on_where_it_was(any_store: Store) -> None:
    await finish(any_store, *range(1, 1001))
    at = await due(any_store)

    async def half_done() -> bool:
        return Counter((await routes(any_store)).values())["not_attended"] > TOGETHER

    task = asyncio.create_task(Evaluations(transactions(any_store)).run(at))
    await eventually(half_done, "some are classified")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    left = Counter((await routes(any_store)).values())["-"]
    classified = await Evaluations(transactions(any_store)).run(await due(any_store))

    assert classified <= left
    assert Counter((await routes(any_store)).values()) == {"not_attended": 1000}
    assert await any_store.call("HGET", any_store.keys.tally(WEBINAR), "classified") == b"1000"


async def test_an_evaluation_that_must_stop_stays_on_the_schedule(any_store: Store) -> None:
    await finish(any_store, *range(1, 1001))
    stopping = asyncio.Event()

    task = asyncio.create_task(Evaluations(transactions(any_store), stopping).run(await due(any_store)))
    await eventually(lambda: any_store.call("HGET", any_store.keys.tally(WEBINAR), "classified"), "it has begun")
    stopping.set()
    classified = await task

    assert 0 < classified < 1000
    assert await EvaluationSchedule(any_store).pending(WEBINAR) is not None


async def test_a_later_roster_is_evaluated_too(any_store: Store) -> None:
    await finish(any_store, 1)
    await Evaluations(transactions(any_store)).run(await due(any_store))

    await register(any_store, 1, 2)
    classified = await Evaluations(transactions(any_store)).run(await due(any_store))

    assert classified == 1
    assert await routes(any_store) == {1: "not_attended", 2: "not_attended"}


@asynccontextmanager
async def sweeping(store: Store, at: ScheduledEvaluation) -> AsyncIterator[asyncio.Task[int]]:
    """An evaluation that has begun."""
    task = asyncio.create_task(Evaluations(transactions(store)).run(at))
    await eventually(lambda: store.call("HGET", store.keys.tally(WEBINAR), "classified"), "it has begun")
    assert not task.done()
    yield task
    await task


@pytest.mark.parametrize("ahead", [-60_000, 0, 60_000])
async def test_a_roster_that_comes_during_the_sweep_is_evaluated(any_store: Store, ahead: int) -> None:
    """Also when the sweep runs before its time, as `archive` does, or by another machine's clock."""
    await finish(any_store, *range(1, 601))
    at = unix_ms(utc_now()) + ahead
    await any_store.call("ZADD", any_store.keys.evaluations(any_store.keys.tag(WEBINAR)), at, WEBINAR)

    async with sweeping(any_store, ScheduledEvaluation(WEBINAR, at)):
        await register(any_store, *range(601, 651))

    assert Counter((await routes(any_store)).values()) == {"not_attended": 650}


async def test_an_evaluation_that_was_armed_again_at_the_same_moment_is_not_done(any_store: Store) -> None:
    """The last pass was empty, and then a roster came whose maker's clock is behind."""
    await finish(any_store, 1)
    key = any_store.keys.evaluations(any_store.keys.tag(WEBINAR))
    at = unix_ms(utc_now()) + 60_000
    await any_store.call("ZADD", key, at, WEBINAR)

    await register(any_store, 2)

    assert (await due(any_store)).at > at


async def test_a_recording_that_is_set_during_the_sweep_releases_held_messages(any_store: Store) -> None:
    await finish(any_store, *range(1, 601))
    at = unix_ms(utc_now()) + 300_000  # long after the grace
    await any_store.call("ZADD", any_store.keys.evaluations(any_store.keys.tag(WEBINAR)), at, WEBINAR)

    async with sweeping(any_store, ScheduledEvaluation(WEBINAR, at)):
        await amend(any_store, WEBINAR, Plan(recording_url=URL))

    assert await statuses(any_store) == {"queued": 600}


async def test_recording_messages_are_held_until_there_is_a_recording_and_released_once(any_store: Store) -> None:
    await finish(any_store, *range(1, 201))
    evaluations = Evaluations(transactions(any_store))
    await evaluations.run(await due(any_store))
    before = await statuses(any_store)

    await amend(any_store, WEBINAR, Plan(recording_url=URL))
    at = await due(any_store)
    await asyncio.gather(*(Evaluations(transactions(any_store)).run(at) for _ in range(2)))
    streams = Outbox(any_store).streams(any_store.keys.tag(WEBINAR))
    woken = sum([await any_store.call("XLEN", stream) for stream in streams])
    await amend(any_store, WEBINAR, Plan(recording_url=URL + "/2"))
    await evaluations.run(await due(any_store))

    assert (before, await statuses(any_store)) == ({"held": 200}, {"queued": 200})
    assert woken == 3 * 200
    assert sum([await any_store.call("XLEN", stream) for stream in streams]) == woken


async def test_a_held_message_goes_to_where_the_roster_is_when_it_is_released(any_store: Store) -> None:
    await finish(any_store, 1, 2)
    await Evaluations(transactions(any_store)).run(await due(any_store))
    entries = [lead(1, 555), lead(2, None)]
    await roster.import_roster(any_store, WEBINAR, entries, replace=False)

    await amend(any_store, WEBINAR, Plan(recording_url=URL))
    await Evaluations(transactions(any_store)).run(await due(any_store))

    known = {stored.delivery.lead_id: stored.delivery async for stored in Outbox(any_store).deliveries(WEBINAR)
             if stored.delivery.kind is MessageKind.RECORDING}  # fmt: skip
    assert (known[1].status, known[1].chat_id) == ("queued", 555)
    assert (known[2].status, known[2].chat_id) == ("no_chat", None)


async def test_a_lead_that_gets_a_chat_after_its_classification_gets_its_messages(any_store: Store) -> None:
    """It was on the roster without a chat, or on none: then it joins, and the import schedules another evaluation."""
    await prepare(any_store, "live")
    await roster.import_roster(any_store, WEBINAR, [RosterEntry(lead_id=1), RosterEntry(lead_id=3)], replace=False)
    for number in (1, 2):
        await done(any_store, enter(number))
    await done(any_store, stop())
    await done(any_store, complete(2))
    await Evaluations(transactions(any_store)).run(await due(any_store))
    before = await statuses(any_store, MessageKind.FOLLOW_UP)
    late = [RosterEntry(lead_id=n, candidate_chat_id=100 + n, locale="en") for n in (1, 2)]

    await roster.import_roster(any_store, WEBINAR, late, replace=False)
    assert await Evaluations(transactions(any_store)).run(await due(any_store)) == 0
    messages = [stored.delivery async for stored in Outbox(any_store).deliveries(WEBINAR)]

    assert before == {"no_chat": 3}
    assert {(one.lead_id, one.status.value, one.chat_id, one.locale)
            for one in messages if one.kind is MessageKind.FOLLOW_UP} == {
        (1, "queued", 101, "en"), (2, "queued", 102, "en"), (3, "no_chat", None, "ru"),
    }  # fmt: skip
    assert await statuses(any_store, MessageKind.RECORDING) == {"held": 1, "no_chat": 1}
    assert await statuses(any_store, MessageKind.ATTENDANCE) == {"no_chat": 3}


async def test_without_a_recording_the_messages_that_wait_for_it_end(any_store: Store) -> None:
    await finish(any_store, 1)
    await Evaluations(transactions(any_store)).run(await due(any_store))

    await amend(any_store, WEBINAR, Plan(recording_url=None))
    await Evaluations(transactions(any_store)).run(await due(any_store))

    (ended,) = [stored.delivery async for stored in Outbox(any_store).deliveries(WEBINAR)
                if stored.delivery.kind is MessageKind.RECORDING]  # fmt: skip
    assert (ended.status, ended.error) == ("undeliverable", "no_recording")


async def test_an_archived_webinar_is_evaluated_too(any_store: Store) -> None:
    await finish(any_store, 1)
    await done(any_store, act("archive"))

    assert await Evaluations(transactions(any_store)).run_pending(WEBINAR) == 1
    assert await Evaluations(transactions(any_store)).run_pending(WEBINAR) == 0


async def test_a_webinar_that_is_gone_leaves_the_schedule(any_store: Store) -> None:
    key = any_store.keys.evaluations(any_store.keys.tag("gone"))
    await any_store.call("ZADD", key, 1, "gone")

    assert await Evaluations(transactions(any_store)).run(ScheduledEvaluation("gone", 1)) == 0
    assert await EvaluationSchedule(any_store).pending("gone") is None


async def test_leads_that_cannot_be_read_stop_no_other(any_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await finish(any_store, 1, 2, 3)
    await any_store.call("HSET", any_store.keys.roster(WEBINAR), "7", b"{", "x", json.dumps({"lead_id": 8}))
    await any_store.call("HSET", any_store.keys.participations(WEBINAR), "3", b'{"lead_id":"three"}')

    classified = await Evaluations(transactions(any_store)).run(await due(any_store))

    assert classified == 2
    assert await any_store.call("HGET", any_store.keys.tally(WEBINAR), "classified") == b"2"
    assert "a lead of demo cannot be read by this version of the server" in caplog.text
    assert "a lead of demo has an id that is no number" in caplog.text


async def test_a_live_webinar_is_not_evaluated(any_store: Store) -> None:
    await transactions(any_store).create(room("live"))
    await register(any_store, 1)

    assert await Evaluations(transactions(any_store)).run(ScheduledEvaluation(WEBINAR, 0)) == 0
    assert await routes(any_store) == {1: "-"}


async def test_a_sweep_that_redis_interrupts_is_broken_off_whole_and_can_be_repeated(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, open_state(settings_for(proxy.url)) as state:
        await finish(state.store, *range(1, 601))
        at = await due(state.store)
        proxy.freeze()

        with pytest.raises(StateUnavailable):
            await Evaluations(transactions(state.store)).run(at)
        proxy.thaw()

        await Evaluations(transactions(state.store)).run(await due(state.store))
        assert Counter((await routes(state.store)).values()) == {"not_attended": 600}
