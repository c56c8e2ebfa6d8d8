"""Messages that found no chat, and people who are bound afterwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from room_server.clock import utc_now
from room_server.core.bindings import Binding, Chat, Person, lead, partner
from room_server.core.connecting import Effect
from room_server.core.messages import MessageKind
from room_server.core.room import RosterEntry, Status
from room_server.jobs.evaluation import Evaluations
from room_server.jobs.late_bindings import LateBindings
from room_server.state import connections, roster
from room_server.state.connections import Asked
from room_server.state.outbox import Outbox
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.core.builders import WEBINAR, complete, enter, stop
from tests.state.acts import done
from tests.support import AT, eventually, room, settings_for, transactions

LEADS = [RosterEntry(lead_id=1, partner_id=7), RosterEntry(lead_id=2), RosterEntry(lead_id=3)]


@pytest.fixture
async def over(valkey_url: str) -> AsyncIterator[Store]:
    """A store for webinars that are over."""
    async with open_state(settings_for(valkey_url)) as state:
        yield state.store


async def end(store: Store, webinar_id: str = WEBINAR, ago: timedelta = timedelta(), **fields: object) -> None:
    """A webinar with three leads ended so long ago and was evaluated."""
    at = utc_now() - ago
    standing = room(webinar_id, status=Status.FINISHED, started_at=at, finished_at=at, no_recording=True, **fields)
    await transactions(store).create(standing)
    await roster.import_roster(store, webinar_id, LEADS, replace=False)
    await Evaluations(transactions(store)).run_pending(webinar_id)


async def bind(store: Store, person: Person, chat_id: int, number: int) -> None:
    """The person is bound by an update with this number."""
    asked = Asked(number, chat_id, person)
    loaded = await connections.load(store, asked)
    assert loaded is not None
    effect = Effect(binding=Binding(chat_id, AT), chats={chat_id: Chat(people=(str(person),))}, is_bound=True)
    assert await connections.commit(store, asked, loaded, effect) == 0


async def look(store: Store) -> int:
    """What a worker does once in a while; how many webinars were evaluated again."""
    found = await LateBindings(transactions(store)).check()
    for name in (WEBINAR, "old", "slow"):
        await Evaluations(transactions(store)).run_pending(name)
    return found


async def statuses(store: Store, webinar_id: str = WEBINAR) -> dict[str, str]:
    """The messages that are not without a chat."""
    return {
        f"{one.delivery.lead_id}:{one.delivery.kind}": one.delivery.status.value
        async for one in Outbox(store).deliveries(webinar_id)
        if one.delivery.status != "no_chat"
    }


async def test_messages_of_a_lead_go_out_once_it_is_bound(over: Store) -> None:
    await end(over)
    before = await statuses(over)
    await bind(over, lead(2), 12, 1)
    found = await look(over)

    assert (before, found) == ({}, 1)
    assert await statuses(over) == {"2:follow_up": "queued", "2:recording": "undeliverable"}
    stored = await Outbox(over).load(WEBINAR, f"2:{MessageKind.FOLLOW_UP}")
    assert stored is not None
    assert stored.delivery.chat_id == 12
    assert await look(over) == 0


async def test_messages_of_a_partner_go_out_once_it_is_bound(over: Store) -> None:
    await end(over)
    await bind(over, partner(7), 17, 1)
    await look(over)

    assert await statuses(over) == {"1:attendance": "queued"}


async def test_a_day_after_the_evaluation_nothing_waits_any_more(over: Store) -> None:
    day = timedelta(days=1)
    await end(over, "old", day + timedelta(seconds=transactions(over).grace_of(room()).total_seconds() + 1))
    await end(over, "slow", day + timedelta(hours=1), grace=7200)
    await bind(over, lead(2), 12, 1)

    assert await look(over) == 1
    assert (await statuses(over, "old"), "2:follow_up" in await statuses(over, "slow")) == ({}, True)


async def test_a_later_evaluation_for_another_reason_sends_nothing_late(over: Store) -> None:
    """A recording that is named after a week is no reason to thank for the visit."""
    await end(over, "old", timedelta(days=7))
    await bind(over, lead(2), 12, 1)
    await roster.import_roster(over, "old", [RosterEntry(lead_id=9)], replace=False)
    await Evaluations(transactions(over)).run_pending("old")

    assert await statuses(over, "old") == {}


async def test_who_was_bound_before_is_written_to_at_once(over: Store) -> None:
    await bind(over, lead(1), 11, 1)
    await bind(over, partner(7), 17, 2)
    await bind(over, lead(3), 13, 3)
    live = room(WEBINAR, status=Status.LIVE, started_at=AT, on_air_since=AT, no_recording=True)
    await transactions(over).create(live)
    await roster.import_roster(over, WEBINAR, LEADS, replace=False)
    for hook in (enter(1), stop(), complete(1)):
        await done(over, hook)

    assert await statuses(over) == {"1:attendance": "queued", "1:follow_up": "queued"}
    await Evaluations(transactions(over)).run_pending(WEBINAR)
    assert (await statuses(over))["3:follow_up"] == "queued"


async def test_who_is_bound_while_the_webinar_is_evaluated_is_not_lost(over: Store) -> None:
    """A decision that did not know of the binding may be stored after it."""
    await end(over)
    looking = asyncio.create_task(LateBindings(transactions(over)).check())
    await bind(over, lead(2), 12, 1)
    await looking

    async def is_queued() -> bool:
        await look(over)
        return "2:follow_up" in await statuses(over)

    await eventually(is_queued, "the message is on its way")
