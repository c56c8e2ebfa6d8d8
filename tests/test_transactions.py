"""Load, decide, commit: what is accepted, what is refused, and what happens when several processes decide at once."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.attendance_rule import AttendedBy
from room_server.core.decision_types import OperatorAction
from room_server.core.planning import Plan
from room_server.core.room import public_text
from room_server.errors import Conflict, StateUnavailable, Unknown
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.startup import State
from room_server.state.store import Store
from room_server.transactions import ATTEMPTS
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.proxy import proxy_to
from tests.state.acts import another, answer, done, events, everything, prepare, servers
from tests.support import amend, renew, transactions


async def test_a_webinar_is_created_once(any_state: State) -> None:
    await prepare(any_state.store)
    before = await everything(any_state)
    with pytest.raises(Conflict) as refused:
        await transactions(any_state.store).create(builders.room("draft"))

    assert refused.value.code == "webinar_exists"
    assert await everything(any_state) == before


async def test_a_command_is_applied_and_published(any_state: State) -> None:
    await prepare(any_state.store, "scheduled")
    change = await done(any_state.store, builders.start())

    assert (await any_state.store.load(WEBINAR)).room == change.room
    assert change.room.version == builders.room().version + 1
    assert await any_state.store.public_texts([WEBINAR]) == [public_text(change.room)]
    assert await events(any_state) == ["core_webinar_set_status"]


@pytest.mark.parametrize(
    ("status", "hook", "code"),
    [
        ("scheduled", builders.enter(), "webinar_not_live"),
        ("finished", builders.start(), "webinar_state_invalid_restart"),
        ("finished", builders.complete(), "lead_not_entered"),
        ("live", builders.evaluate(), "webinar_not_finished"),
        ("archived", builders.cta(), "webinar_state_locked"),
    ],
)
async def test_a_refused_command_leaves_no_trace(any_state: State, status: str, hook: builders.Hook, code: str) -> None:
    await prepare(any_state.store, status)
    before = await everything(any_state)

    assert await answer(any_state.store, hook) == code
    assert await everything(any_state) == before


async def test_a_missing_webinar_cannot_be_changed(any_state: State) -> None:
    assert await answer(any_state.store, builders.start()) == "webinar_unknown"
    assert await answer(any_state.store, builders.enter()) == "webinar_unknown"
    with pytest.raises(Unknown):
        await transactions(any_state.store).edit(WEBINAR, lambda room: room)
    assert set(await everything(any_state)) == {"rs:partitions"}


async def test_of_fifty_simultaneous_starts_one_acts(any_state: State, any_url: str) -> None:
    await prepare(any_state.store, "scheduled")
    async with another(any_url) as other:
        answers = await asyncio.gather(
            *(answer(store, builders.start()) for _ in range(25) for store in (any_state.store, other))
        )

    assert sorted(answers) == ["duplicate"] * 49 + ["ok"]
    assert await events(any_state) == ["core_webinar_set_status"]


async def test_a_crowd_enters_while_the_room_changes(any_state: State, any_url: str) -> None:
    """Each lead enters exactly once, through whichever process and however often."""
    await prepare(any_state.store)
    async with another(any_url) as other:
        stores = (any_state.store, other)
        entering = [answer(store, builders.enter(lead)) for lead in range(1, 31) for store in stores]
        changing = [answer(store, builders.cta(shown)) for shown in (True, False) for store in stores]
        answers = await asyncio.gather(*entering, *changing)

    assert answers[:60].count("ok") == 30
    assert answers[:60].count("duplicate") == 30
    assert (await events(any_state)).count("client_webinar_entered") == 30


async def test_deciding_again_is_bounded(any_state: State, any_url: str) -> None:
    """Concurrent changes of a room: the number of `ok` answers is the number of new versions."""
    await prepare(any_state.store)
    async with another(any_url) as other:
        edits = [
            transactions(store).edit(WEBINAR, lambda room: replace(room, version=room.version + 1))
            for _ in range(30)
            for store in (any_state.store, other)
        ]
        results = await asyncio.gather(*edits, return_exceptions=True)
    refused = [result for result in results if isinstance(result, StateUnavailable)]
    versions = sorted(result.version for result in results if not isinstance(result, BaseException))

    assert versions == list(range(8, 8 + len(versions)))
    assert len(versions) + len(refused) == 60
    assert len(versions) >= ATTEMPTS
    assert all(f"{ATTEMPTS} times" in refusal.detail for refusal in refused)


@pytest.mark.parametrize(
    ("status", "meanwhile", "hook", "expected"),
    [
        ("scheduled", builders.start(), builders.enter(), "ok"),
        ("live", builders.stop(), builders.start(), "webinar_state_invalid_restart"),
        ("live", builders.cta(), builders.cta(False), "ok"),
        ("live", builders.stop(), builders.enter(), "webinar_not_live"),
        ("live", builders.enter(), builders.enter(), "duplicate"),
        ("live", builders.stop(), builders.stop(), "duplicate"),
    ],
    ids=["refusal", "repeat refused", "repeat accepted", "acceptance refused", "entered", "stopped"],
)
async def test_no_answer_rests_on_an_old_copy(
    any_state: State, any_url: str, status: str, meanwhile: builders.Hook, hook: builders.Hook, expected: str
) -> None:
    """One process has a copy of the room; another has changed the room since."""
    await prepare(any_state.store, status)
    async with another(any_url) as other:
        await done(other, meanwhile)
        before = await events(any_state)

        assert await answer(any_state.store, hook) == expected
        assert len(await events(any_state)) - len(before) == (expected == "ok")


async def test_an_old_copy_of_a_deleted_webinar_is_not_answered_from(any_state: State, any_url: str) -> None:
    await prepare(any_state.store)
    async with another(any_url) as other:
        await other.delete(WEBINAR)

    assert await answer(any_state.store, builders.stop()) == "webinar_unknown"


async def test_an_acceptance_from_the_copy_takes_one_round_trip(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy, another(proxy.url) as store:
        await prepare(store, "scheduled")
        before = proxy.turns
        await done(store, builders.start())
        with_copy = proxy.turns - before
        store.copies.drop_all(store.keys.tag(WEBINAR))
        await done(store, builders.stop())

    assert (with_copy, proxy.turns - before - with_copy) == (1, 2)


async def test_concurrent_commands_share_their_round_trips(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy, another(proxy.url) as store:
        await prepare(store)
        before = proxy.turns
        await asyncio.gather(*(done(store, builders.enter(lead)) for lead in range(1, 101)))

        assert proxy.turns - before <= 100 / 10


async def test_a_renewed_room_is_the_same_under_another_epoch(any_store: Store) -> None:
    await prepare(any_store)
    renewed = await renew(any_store, WEBINAR)

    assert renewed == replace(builders.room(), epoch=renewed.epoch, version=builders.room().version + 1)
    assert renewed.epoch != builders.room().epoch


async def test_a_webinar_may_have_an_evaluation_grace_of_its_own(any_state: State) -> None:
    """The setting is a day; the scheduled moment is by the clock in Redis, so the two webinars are compared."""
    day, schedule = 86_400, EvaluationSchedule(any_state.store)
    due = {}
    for name, grace in {"own": 60, "none": 0, "setting": None}.items():
        live = builders.room("live", webinar_id=name, grace=grace)
        await transactions(any_state.store, day).create(live)
        stop = OperatorAction(name, "stop")
        await transactions(any_state.store, day).apply(builders.command(stop, webinar_id="*"))
        found = await schedule.pending(name)
        assert found is not None
        due[name] = found.at / 1000

    minute, whole_day = due["own"] - due["none"], due["setting"] - due["own"]
    assert 60 <= minute + 30 <= 120
    assert day - 120 <= whole_day <= day


@pytest.mark.parametrize(("rule", "seconds"), [({}, 0), ({"attended_by": AttendedBy.WATCHED, "min_watch": "1m"}, 5)])
def test_where_watch_time_counts_what_was_seen_last_is_waited_for(
    store: Store, rule: dict[str, str], seconds: int
) -> None:
    rooms = [builders.room("live", grace=grace, **rule) for grace in (0, 60)]
    graces = [transactions(store, 600).grace_of(one).total_seconds() for one in rooms]

    assert graces == [seconds, 60]


async def test_an_evaluation_is_never_scheduled_in_the_past(any_state: State) -> None:
    """A recording that is named long after the end schedules another one, the grace being over."""
    ended = dict.fromkeys(("started_at", "finished_at"), utc_now() - timedelta(days=9))
    await transactions(any_state.store).create(replace(builders.room("finished"), **ended))
    async with servers(any_state) as (client, *_):
        seconds, _ = await client.time()

    await amend(any_state.store, WEBINAR, Plan(recording_url="https://example.org/recording"))
    due = await EvaluationSchedule(any_state.store).pending(WEBINAR)

    assert due is not None
    assert due.at >= seconds * 1000
