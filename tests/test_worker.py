"""The worker as a whole: from the end of a webinar to the last message, beside others, and through what goes wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.room import RosterEntry, Status
from room_server.state import presence, reports, roster
from room_server.state.opening import State, open_state
from room_server.state.store import Store
from room_server.worker import work, working_beside
from tests.conftest import settings_for
from tests.core.builders import WEBINAR, complete, enter, stop
from tests.outage import own_redis
from tests.state.acts import done
from tests.support import AT, eventually, room
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.conftest import api

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
    await store.ask("SET", store.keys.pace("bot"), 0, "PX", 60_000)
    await store.create(room(WEBINAR, status=Status.LIVE, started_at=AT, on_air_since=AT))
    await roster.adopt(store, WEBINAR, PEOPLE, replace=False)
    await done(store, enter(1))


async def routes(store: Store) -> dict[int, str | None]:
    return {line.lead_id: line.route for line in await reports.attendance(store, WEBINAR)}


async def all_are(store: Store, many: int, *fates: str) -> bool:
    """Whether there are so many messages, all with one of these fates."""
    told = [message.status.value for line in await reports.attendance(store, WEBINAR) for message in line.messages]
    return len(told) == many and set(told) <= set(fates)


async def test_an_end_leads_to_classifications_and_messages(valkey_url: str, api: BotApi) -> None:
    made = settings(valkey_url, api)
    async with open_state(made) as state, working_beside(made, state):
        await prepare(state.store)
        await done(state.store, stop())
        await done(state.store, complete(1))

        await eventually(lambda: all_are(state.store, 5, "sent", "held"), "all was sent that could be")
        assert await routes(state.store) == {1: "attended", 2: "not_attended"}

    assert sorted(sent.chat_id for sent in api.sent) == [101, 102, 900, 900]


async def test_nobody_is_evaluated_before_the_grace_is_over(valkey_url: str) -> None:
    made = settings_for(valkey_url, evaluation_grace=1.5)
    async with open_state(made) as state, working_beside(made, state):
        await prepare(state.store)
        await done(state.store, stop())
        ended = utc_now()
        await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "everyone is evaluated")

        lines = await reports.attendance(state.store, WEBINAR)
        known = [await state.store.load(WEBINAR, line.lead_id) for line in lines]
        waits = [(facts.participation.classified_at - ended).total_seconds()
                 for facts in known if facts.participation and facts.participation.classified_at]  # fmt: skip

    assert len(waits) == 2
    assert 1.4 <= min(waits) <= max(waits) < 1.5 + 2


async def test_a_webinar_that_cannot_be_read_stops_no_other(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    made = settings(valkey_url)
    async with open_state(made) as state, working_beside(made, state):
        keys = state.store.keys
        await state.store.ask("HSET", keys.room("broken"), "stamp", "a:1", "record", b"{", "public", b"{}")
        await state.store.ask("ZADD", keys.evaluations(keys.tag("broken")), 1, "broken")
        await prepare(state.store)
        await done(state.store, stop())

        await eventually(lambda: all_are(state.store, 6, "dry_run", "held"), "the other is evaluated")

    assert "the evaluation of broken cannot be done, its room cannot be read" in caplog.text


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
    return (await done(store, stop())).room.status is not Status.LIVE


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
        await roster.adopt(state.store, WEBINAR, people, replace=True)
        await done(state.store, stop())

        await eventually(lambda: all_are(state.store, 30, "sent", "held"), "all was sent that could be")

    assert sorted(sent.chat_id for sent in api.sent) == [
        *(100 + lead for lead in leads),
        *(900 + lead for lead in leads),
    ]


async def test_a_worker_is_seen_among_the_processes(valkey_url: str) -> None:
    made = settings(valkey_url)
    async with open_state(made) as state:
        async with working_beside(made, state):
            await eventually(lambda: presence.living(state.store), "it is seen")
            during = [node.kind for node in await presence.living(state.store)]

        assert (during, await presence.living(state.store)) == (["worker"], [])


async def test_a_worker_that_is_to_stop_ends_and_leaves_the_rest(
    valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = settings(valkey_url)
    stopping = asyncio.Event()
    async with open_state(made) as state:
        await prepare(state.store)
        crowd = [RosterEntry(lead_id=lead) for lead in range(1, 5001)]
        await roster.adopt(state.store, WEBINAR, crowd, replace=True)
        await done(state.store, stop())
        task = asyncio.create_task(work(made, state, stopping))
        await eventually(lambda: state.store.ask("HGET", state.store.keys.tally(WEBINAR), "classified"), "it has begun")

        stopping.set()
        async with asyncio.timeout(3):
            await task

        left = [line for line in await reports.attendance(state.store, WEBINAR) if line.route is None]
    assert left
