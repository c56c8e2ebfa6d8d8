"""Announcements from the plan to the outbox: each lead with a chat once, whatever happens meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from room_server.clock import utc_now
from room_server.core.bindings import lead
from room_server.core.decision_types import Cancel, Command
from room_server.core.delivery import Delivery, claim
from room_server.core.messages import MOMENTS, Actor, DeliveryStatus, MessageKind, Role, SetStatus
from room_server.core.planning import PlanWebinar
from room_server.core.room import RosterEntry
from room_server.jobs.announcements import Announcements
from room_server.operations import webinars
from room_server.state import announcements
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.roster import import_roster
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.state.webinars import delivery_counts
from tests.support import OPERATOR, settings_for, transactions
from tests.telegram.people import bind

LEADS = [
    RosterEntry(lead_id=1, candidate_chat_id=11),
    RosterEntry(lead_id=2, candidate_chat_id=12, locale="en"),
    RosterEntry(lead_id=3),
    RosterEntry(lead_id=4),
]
"""The third is bound to a chat, the fourth has none."""
SPEAKER = Actor(role=Role.SPEAKER, subject="speaker", webinar_id="w")


@pytest.fixture
async def store(any_url: str) -> AsyncIterator[Store]:
    partitions = 8 if "cluster" in any_url else 1
    async with open_state(settings_for(any_url, partitions=partitions)) as state:
        yield state.store


async def plan(store: Store, **fields: Any) -> None:
    """Plan the webinar `w`, as the site does."""
    await webinars.plan(transactions(store), OPERATOR, PlanWebinar(webinar_id="w", **fields))


async def prepare(store: Store, at: datetime, **fields: Any) -> None:
    """The webinar with its leads."""
    await plan(store, title="Webinar", scheduled_at=at, remind=MOMENTS, **fields)
    await import_roster(store, "w", LEADS, replace=False)
    await bind(store, lead(3), 13)


async def scheduled(store: Store) -> dict[str, float]:
    """What stands on the schedule, in seconds from now."""
    key = store.keys.announcements(store.keys.tag("w"))
    names = await store.call("ZRANGE", key, 0, -1)
    ms = utc_now().timestamp() * 1000
    return {
        name.decode().removeprefix("w "): (float(await store.call("ZSCORE", key, name)) - ms) / 1000 for name in names
    }


async def make_due(store: Store, name: str, late: float = 0.0) -> None:
    """The moment has come, so many seconds ago."""
    key, at = store.keys.announcements(store.keys.tag("w")), utc_now() - timedelta(seconds=late)
    await store.call("ZADD", key, round(at.timestamp() * 1000), f"w {name}")


async def run(store: Store) -> int:
    return await Announcements(store).run_due(store.keys.tag("w"))


async def messages(store: Store) -> dict[str, int | None]:
    """The messages that are on their way, each with its chat."""
    return {
        f"{one.delivery.lead_id}:{one.delivery.name}": one.delivery.chat_id
        async for one in Outbox(store).deliveries("w")
        if one.delivery.status == "queued"
    }


def in_a(**span: float) -> datetime:
    return utc_now().replace(microsecond=0) + timedelta(**span)


async def test_a_reminder_goes_to_every_registered_lead_with_a_chat_once(store: Store) -> None:
    await prepare(store, in_a(days=2))
    before = await scheduled(store)
    await make_due(store, "reminder_24h")
    queued = [await run(store), await run(store)]

    assert set(before) == {"reminder_24h", "reminder_1h", "reminder_15m"}
    assert before["reminder_24h"] == pytest.approx(86_400, abs=60)
    assert queued == [3, 0]
    assert await messages(store) == {"1:reminder_24h": 11, "2:reminder_24h": 12, "3:reminder_24h": 13}
    assert "reminder_24h" not in await scheduled(store)


async def test_a_pass_that_is_done_again_and_two_workers_at_once_queue_nothing_twice(store: Store) -> None:
    await prepare(store, in_a(days=2))
    await make_due(store, "reminder_1h")
    done = await asyncio.gather(*(run(store) for _ in range(3)))
    await make_due(store, "reminder_1h")
    again = await run(store)

    assert (sum(done), again, await store.call("XLEN", store.keys.outbox(store.keys.tag("w")))) == (3, 0, 3)


async def test_who_registers_after_a_moment_does_not_get_it(store: Store) -> None:
    await prepare(store, in_a(days=2))
    await make_due(store, "reminder_24h")
    await run(store)
    await import_roster(store, "w", [RosterEntry(lead_id=5, candidate_chat_id=15)], replace=False)
    await run(store)

    assert "5:reminder_24h" not in await messages(store)


async def test_the_reminders_move_with_the_webinar_and_each_new_time_is_told_once(store: Store) -> None:
    await prepare(store, in_a(days=2))
    await make_due(store, "reminder_24h")
    await run(store)
    await plan(store, scheduled_at=in_a(days=4))
    moved = await scheduled(store)
    first = await run(store)
    await plan(store, scheduled_at=in_a(days=5))
    second = await run(store)
    await make_due(store, "reminder_24h")
    third = await run(store)

    assert moved["reminder_24h"] == pytest.approx(3 * 86_400, abs=60)
    assert moved["moved"] <= 0
    assert (first, second, third) == (3, 3, 3)
    assert len(await messages(store)) == 6  # of three leads the last new time, and the reminder of it
    assert (await delivery_counts(store))["queued"] == 6


async def test_a_silent_move_and_one_of_a_draft_tell_nobody(store: Store) -> None:
    await prepare(store, in_a(days=2), draft=True)
    await plan(store, scheduled_at=in_a(days=3))
    draft = await scheduled(store)
    await plan(store, draft=False)
    await plan(store, scheduled_at=in_a(days=4), silent=True)

    assert draft == {}
    assert set(await scheduled(store)) == {"reminder_24h", "reminder_1h", "reminder_15m"}


@pytest.mark.parametrize("silent", [False, True])
async def test_who_cancels_takes_the_reminders_back_and_tells_it(store: Store, silent: bool) -> None:
    await prepare(store, in_a(days=2))
    await make_due(store, "reminder_1h")
    act = Command(id="c", actor=OPERATOR, hook=Cancel("w", silent))
    await transactions(store).apply(act)
    await run(store)

    assert set(await messages(store)) == (set() if silent else {"1:cancelled", "2:cancelled", "3:cancelled"})
    assert await scheduled(store) == {}


async def test_the_start_is_told_at_once_and_nothing_else_any_more(store: Store) -> None:
    await prepare(store, in_a(minutes=30))
    start = SetStatus(webinar_id="w", status="start")
    await transactions(store).apply(Command(id="c", actor=SPEAKER, hook=start))
    queued = await run(store)

    assert (queued, await scheduled(store)) == (3, {})
    assert set(await messages(store)) == {f"{number}:reminder_start" for number in (1, 2, 3)}
    assert await store.call("XLEN", store.keys.urgent(store.keys.tag("w"))) == 3


async def test_a_webinar_that_changes_during_the_pass_is_looked_at_again(store: Store) -> None:
    """The record that the messages rest on is compared in the step that queues them."""
    await prepare(store, in_a(days=2))
    room = (await store.load("w")).room
    assert room is not None
    await plan(store, title="Another")
    made = Delivery(
        lead_id=1, kind=MessageKind.REMINDER, status=DeliveryStatus.QUEUED, attended=False, chat_id=11, locale="ru",
        moment="1h", planned_at=room.scheduled_at,
    )  # fmt: skip
    stale = await announcements.queue(store, room, [made])

    assert stale.is_stale
    assert await messages(store) == {}


async def test_a_message_that_is_just_being_sent_is_waited_for(store: Store) -> None:
    await prepare(store, in_a(days=2))
    await make_due(store, "moved")
    await run(store)
    outbox = Outbox(store)
    stored = await outbox.load("w", "1:moved")
    assert stored is not None
    claimed = claim(stored.delivery, "w1", utc_now())
    assert claimed is not None
    taken = await outbox.update("w", stored, claimed, FollowOn())
    assert taken is not None
    await plan(store, scheduled_at=in_a(days=3))
    during = await run(store)
    stays = "moved" in await scheduled(store)
    await outbox.update("w", taken, stored.delivery, FollowOn())

    assert (during, stays) == (2, True)
    assert await run(store) == 1
    assert "moved" not in await scheduled(store)


async def test_what_is_late_by_more_than_a_minute_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await prepare(store, in_a(days=2))
    await make_due(store, "reminder_24h", late=50)
    await run(store)
    punctual = caplog.text
    await make_due(store, "reminder_1h", late=90)
    await run(store)

    assert punctual == ""
    assert "reminder_1h of w is 9" in caplog.text


async def test_what_names_no_webinar_or_nothing_holds_nobody_up(store: Store) -> None:
    await prepare(store, in_a(days=2))
    key = store.keys.announcements(store.keys.tag("w"))
    for strange in ("nonsense", "gone reminder_1h", "w nonsense"):
        await store.call("ZADD", key, 1, strange)
    await make_due(store, "reminder_1h")

    assert await run(store) == 3
    assert await run(store) == 0


async def test_a_deleted_webinar_leaves_nothing_on_the_schedule(store: Store) -> None:
    await prepare(store, in_a(days=2))
    await store.delete("w")

    assert await scheduled(store) == {}
