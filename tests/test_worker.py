"""The worker as a whole: from the end of a webinar to the last message, beside others, and through what goes wrong."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from room_server import attendance_report
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.room import RosterEntry, Status
from room_server.jobs.erasure import forget
from room_server.jobs.evaluation import Evaluations
from room_server.state import heartbeat, roster
from room_server.state.commits import unix_ms
from room_server.state.evaluation_schedule import TAKEN, EvaluationSchedule, Schedule
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from room_server.worker import evaluate, tidy, work, working_beside
from tests.core.builders import WEBINAR, complete, enter, stop
from tests.outage import own_redis
from tests.state.acts import done
from tests.support import AT, PATIENCE, eventually, room, settings_for, sigterm, transactions, wait_until
from tests.telegram.bot_api import TOKEN, BotApi, problem
from tests.telegram.conftest import api
from tests.telegram.socks import proxy_named

__all__ = ["api"]
PEOPLE = [
    RosterEntry(lead_id=lead, name=f"L{lead}", candidate_chat_id=100 + lead, partner_chat_id=900) for lead in (1, 2)
]


def settings(url: str, bot: BotApi | None = None, **more: object) -> Settings:
    """A worker that evaluates at once, in rehearsal unless there is a Bot API."""
    reached = {"telegram_token": TOKEN, "telegram_base_url": bot.url} if bot else {}
    return settings_for(url, evaluation_grace=0, **reached, **more)


async def prepare(store: Store) -> None:
    """A live webinar and its roster; lead 1 is in it. The bot was busy a moment ago, so its pace is known."""
    await store.call("SET", store.keys.pace("bot"), 0, "PX", 60_000)
    await transactions(store).create(room(WEBINAR, status=Status.LIVE, started_at=AT, on_air_since=AT))
    await roster.import_roster(store, WEBINAR, PEOPLE, replace=False)
    await done(store, enter(1))


async def routes(store: Store) -> dict[int, str | None]:
    return {line.lead_id: line.route for line in await attendance_report.attendance(store, WEBINAR)}


async def all_are(store: Store, many: int, *statuses: str) -> bool:
    """Whether there are so many messages, all with one of these fates."""
    reported = [
        message.status.value for line in await attendance_report.attendance(store, WEBINAR) for message in line.messages
    ]
    return len(reported) == many and set(reported) <= set(statuses)


async def test_an_end_leads_to_classifications_and_messages(valkey_url: str, api: BotApi) -> None:
    made = settings(valkey_url, api)
    async with open_state(made) as state, working_beside(made, state):
        await prepare(state.store)
        await done(state.store, stop(), 0)
        await done(state.store, complete(1))

        await eventually(lambda: all_are(state.store, 5, "sent", "held"), "all was sent that could be")
        assert await routes(state.store) == {1: "attended", 2: "not_attended"}

    assert sorted(sent.chat_id for sent in api.sent) == [101, 102, 900, 900]


@pytest.mark.parametrize(
    ("value", "token", "status"), [("socks://p:1080", TOKEN, "proxy_unusable"), ("", "123:wrong", "token_refused")]
)
async def test_everyone_is_evaluated_without_telegram_and_the_report_says_why_messages_wait(
    valkey_url: str, api: BotApi, monkeypatch: pytest.MonkeyPatch, value: str, token: str, status: str
) -> None:
    made = replace(settings(valkey_url, api), telegram_token=token)
    async with proxy_named(monkeypatch, value), open_state(made) as state, working_beside(made, state):
        await prepare(state.store)
        await done(state.store, stop(), 0)

        await eventually(lambda: all_are(state.store, 6, "queued", "held"), "everyone is evaluated, and messages wait")

        async def reported() -> bool:
            return [node.telegram for node in await heartbeat.living(state.store)] == [status]

        await eventually(reported, "the worker reports what it knows")


async def test_a_worker_reports_that_no_updates_come_as_long_as_they_do_not(valkey_url: str, api: BotApi) -> None:
    made = settings(valkey_url, api)
    conflict = problem(409, "Conflict: terminated by other getUpdates request")
    api.inbox.refusals.extend(conflict for _ in range(1000))
    async with open_state(made) as state, working_beside(made, state):

        async def reports(status: str) -> bool:
            return [node.telegram for node in await heartbeat.living(state.store)] == [status]

        await eventually(partial(reports, "no_updates"), "the worker reports that no updates come")
        api.inbox.refusals.clear()
        await eventually(partial(reports, "ok"), "the worker reports that they do again")


async def test_no_lead_is_evaluated_before_the_grace_is_over(valkey_url: str) -> None:
    made = settings_for(valkey_url, evaluation_grace=1.5)
    async with open_state(made) as state, working_beside(made, state):
        await prepare(state.store)
        await done(state.store, stop(), 1.5)
        await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "everyone is evaluated")

        lines = await attendance_report.attendance(state.store, WEBINAR)
        known = [await state.store.load(WEBINAR, line.lead_id) for line in lines]
        waits = [(facts.participation.classified_at - facts.room.finished_at).total_seconds()
                 for facts in known if facts.participation and facts.participation.classified_at
                 and facts.room and facts.room.finished_at]  # fmt: skip

    assert len(waits) == 2
    assert min(waits) >= 1.5


async def test_a_webinar_that_cannot_be_read_stops_no_other(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    made = settings(valkey_url)
    async with open_state(made) as state, working_beside(made, state):
        keys = state.store.keys
        await state.store.call("HSET", keys.room("broken"), "stamp", "a:1", "record", b"{", "public", b"{}")
        await state.store.call("ZADD", keys.evaluations(keys.tag("broken")), 1, "broken")
        await prepare(state.store)
        await done(state.store, stop(), 0)

        await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "the other is evaluated")

    assert caplog.text.count("the room of broken cannot be read by this version of the server") == 1


@pytest.mark.parametrize(("hours", "is_told"), [(12, True), (0, False)])
async def test_a_webinar_that_nobody_stops_is_told_unless_that_is_switched_off(
    valkey_url: str, caplog: pytest.LogCaptureFixture, hours: int, is_told: bool
) -> None:
    made = settings_for(valkey_url, evaluation_grace=0, live_hours=hours)
    async with open_state(made) as state:
        await transactions(state.store).create(room(status="live", started_at=utc_now() - timedelta(hours=11.5)))
        async with working_beside(made, state):
            await prepare(state.store)
            await done(state.store, stop(), 0)
            if is_told:
                await wait_until(lambda: "w has been live since" in caplog.text, "it is warned of")
            await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "the worker has done its rounds")

    assert ("w has been live since" in caplog.text) is is_told


class Stuck(EvaluationSchedule):
    """A schedule of which one partition is away and never answers."""

    def __init__(self, store: Store, away: str) -> None:
        super().__init__(store)
        self._away = away

    async def read(self, tag: str, most: int = TAKEN) -> Schedule:
        """As ever for the other partitions."""
        if tag == self._away:
            await asyncio.Event().wait()
        return await super().read(tag, most)


async def test_a_partition_that_does_not_answer_delays_no_evaluation_of_another(valkey_url: str) -> None:
    made = settings_for(valkey_url, evaluation_grace=0, partitions=4)
    async with open_state(made) as state:
        await prepare(state.store)
        await done(state.store, stop(), 0)
        away = next(tag for tag in state.store.keys.tags if tag != state.store.keys.tag(WEBINAR))
        evaluations = Evaluations(transactions(state.store))
        evaluations.schedule = Stuck(state.store, away)
        evaluating = asyncio.create_task(evaluate(evaluations, (away, *state.store.keys.tags), asyncio.Event()))

        await eventually(lambda: all_are(state.store, 6, "queued", "held"), "everyone is evaluated")
        evaluating.cancel()
        await asyncio.gather(evaluating, return_exceptions=True)


async def test_what_redis_interrupts_goes_on_when_it_is_back() -> None:
    async with own_redis() as server:
        made = settings(server.url)
        async with open_state(made) as state, working_beside(made, state):
            await prepare(state.store)
            server.freeze()
            await asyncio.sleep(2.5)  # longer than anyone waits for it
            server.thaw()
            await eventually(lambda: stopped(state.store), "the webinar is over")

            await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "everyone is evaluated")


async def stopped(store: Store) -> bool:
    return (await done(store, stop(), 0)).room.status is not Status.LIVE


@asynccontextmanager
async def two(made: Settings) -> AsyncIterator[State]:
    """Two workers, each with a state of its own."""
    async with (
        open_state(made) as one,
        open_state(made) as other,
        working_beside(made, one),
        working_beside(made, other),
    ):
        yield one


async def test_two_workers_evaluate_and_send_everything_once(valkey_url: str, api: BotApi) -> None:
    leads = range(1, 11)
    people = [RosterEntry(lead_id=lead, candidate_chat_id=100 + lead, partner_chat_id=900 + lead) for lead in leads]
    async with two(settings(valkey_url, api)) as state:
        await prepare(state.store)
        await roster.import_roster(state.store, WEBINAR, people, replace=True)
        await done(state.store, stop(), 0)

        await eventually(lambda: all_are(state.store, 30, "sent", "held"), "all was sent that could be")

    assert sorted(sent.chat_id for sent in api.sent) == [
        *(100 + lead for lead in leads),
        *(900 + lead for lead in leads),
    ]


async def test_a_worker_is_seen_among_the_processes(valkey_url: str) -> None:
    made = settings(valkey_url)
    async with open_state(made) as state:
        async with working_beside(made, state):
            await eventually(lambda: heartbeat.living(state.store), "it is seen")
            during = [node.kind for node in await heartbeat.living(state.store)]

        assert (during, await heartbeat.living(state.store)) == (["worker"], [])


async def test_a_worker_that_fails_takes_the_process_beside_it_along(valkey_url: str) -> None:
    """Else `demo` would serve on, and nobody would be evaluated or written to."""
    beyond_all_dates = 10**9
    async with open_state(made := settings(valkey_url, retention_days=beyond_all_dates)) as state:
        with sigterm() as asked:
            async with working_beside(made, state), asyncio.timeout(PATIENCE):
                await asked.wait()


async def test_a_worker_that_is_to_stop_ends_and_leaves_the_rest(
    valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = settings(valkey_url)
    stopping = asyncio.Event()
    async with open_state(made) as state:
        await prepare(state.store)
        crowd = [RosterEntry(lead_id=lead) for lead in range(1, 5001)]
        await roster.import_roster(state.store, WEBINAR, crowd, replace=True)
        await done(state.store, stop(), 0)
        task = asyncio.create_task(work(made, state, stopping))
        await eventually(
            lambda: state.store.call("HGET", state.store.keys.tally(WEBINAR), "classified"), "it has begun"
        )

        stopping.set()
        async with asyncio.timeout(PATIENCE):
            await task

        left = [line for line in await attendance_report.attendance(state.store, WEBINAR) if line.route is None]
    assert left


async def test_what_was_archived_long_enough_ago_is_deleted(valkey_url: str) -> None:
    made = settings(valkey_url, retention_days=2)
    async with open_state(made) as state:
        store, key = state.store, state.store.keys.archived(state.store.keys.tag(WEBINAR))
        for name, days in (("over", 3), ("not-yet", 1)):
            await transactions(store).create(room(name, status=Status.ARCHIVED, started_at=AT, finished_at=AT))
            await store.call("ZADD", key, unix_ms(utc_now() - timedelta(days=days)), name)
        async with working_beside(made, state):
            await eventually(lambda: is_gone(store, "over"), "its time is over")

        assert not await is_gone(store, "not-yet")


async def is_gone(store: Store, name: str) -> bool:
    return (await store.load(name)).room is None


async def test_without_a_retention_what_is_archived_is_kept(valkey_url: str) -> None:
    made = settings(valkey_url)
    async with open_state(made) as state:
        keys = state.store.keys
        await transactions(state.store).create(room(WEBINAR, status=Status.ARCHIVED, started_at=AT, finished_at=AT))
        await state.store.call("ZADD", keys.archived(keys.tag(WEBINAR)), 1, WEBINAR)
        async with working_beside(made, state):
            stream = keys.outbox(keys.tag(WEBINAR))
            await eventually(lambda: state.store.call("EXISTS", stream), "the worker has begun")

        assert not await is_gone(state.store, WEBINAR)


async def test_a_deletion_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with own_redis() as server, open_state(settings(server.url)) as state:
        stopping = asyncio.Event()
        server.freeze()
        task = asyncio.create_task(tidy(state.store, settings(server.url, retention_days=1), stopping))
        await wait_until(lambda: "cannot be deleted now" in caplog.text, "it is told")
        stopping.set()
        await task


async def test_a_forgotten_lead_gets_no_message(valkey_url: str, api: BotApi) -> None:
    made = settings(valkey_url, api)
    async with open_state(made) as state:
        await prepare(state.store)
        await done(state.store, stop(), 0)
        await done(state.store, complete(1))
        await Evaluations(transactions(state.store)).run_pending(WEBINAR)
        await forget(state.store, 1)
        async with working_beside(made, state):
            await eventually(lambda: all_are(state.store, 3, "sent", "held"), "the other one was told")
            stream = state.store.keys.outbox(state.store.keys.tag(WEBINAR))
            await eventually(lambda: is_empty(state.store, stream), "nothing is on its way")

    assert sorted(sent.chat_id for sent in api.sent) == [102, 900]


async def is_empty(store: Store, stream: str) -> bool:
    return bool(await store.call("XLEN", stream) == 0)


async def test_a_lead_that_is_forgotten_during_the_delivery_gets_no_message_afterwards(
    valkey_url: str, api: BotApi
) -> None:
    made, leads = settings(valkey_url, api), range(1, 41)
    async with open_state(made) as state:
        await prepare(state.store)
        crowd = [RosterEntry(lead_id=lead, candidate_chat_id=100 + lead) for lead in leads]
        await roster.import_roster(state.store, WEBINAR, crowd, replace=True)
        await done(state.store, stop(), 0)
        async with working_beside(made, state):
            await wait_until(lambda: len(api.sent) > 5, "some are told")
            await asyncio.gather(*(forget(state.store, lead) for lead in leads if lead % 4))
            reported = Counter(sent.chat_id for sent in api.sent)
            await eventually(lambda: all_are(state.store, 30, "sent", "held", "no_chat"), "the others are told")

    forgotten = {100 + lead for lead in leads if lead % 4}
    assert {chat: count for chat, count in Counter(sent.chat_id for sent in api.sent).items() if chat in forgotten} == {
        chat: count for chat, count in reported.items() if chat in forgotten
    }
    assert {100 + lead for lead in leads} - forgotten <= {sent.chat_id for sent in api.sent}
    assert len(reported) < len(leads)
