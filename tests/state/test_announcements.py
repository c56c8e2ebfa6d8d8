"""The schedule of announcements and the step that queues their messages."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from room_server.clock import utc_now
from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Room
from room_server.state import announcements
from room_server.state.announcements import TAKEN, DueAnnouncement
from room_server.state.outbox import Outbox
from room_server.state.store import Store
from room_server.state.webinars import delivery_counts
from tests.support import room, transactions


async def put(store: Store, member: str, seconds: float) -> None:
    """An announcement is due in so many seconds."""
    at = utc_now() + timedelta(seconds=seconds)
    await store.call("ZADD", store.keys.announcements(store.keys.tag("w")), round(at.timestamp() * 1000), member)


def message(standing: Room, lead_id: int = 1) -> Delivery:
    return Delivery(lead_id=lead_id, kind=MessageKind.MOVED, status=DeliveryStatus.QUEUED, attended=False, chat_id=11,
                    locale="ru", planned_at=standing.scheduled_at)  # fmt: skip


async def test_what_is_due_comes_in_its_order_with_how_late_it_is(any_store: Store) -> None:
    await put(any_store, "w reminder_1h", -10)
    await put(any_store, "w moved", -20)
    await put(any_store, "w reminder_15m", 60)
    found = await announcements.due(any_store, any_store.keys.tag("w"))

    assert [(one.webinar_id, one.name) for one in found] == [("w", "moved"), ("w", "reminder_1h")]
    assert [one.late for one in found] == [pytest.approx(20, abs=15), pytest.approx(10, abs=15)]


async def test_one_read_is_bounded(any_store: Store) -> None:
    for number in range(TAKEN + 1):
        await put(any_store, f"w{number} moved", -1)

    assert len(await announcements.due(any_store, any_store.keys.tag("w"))) == TAKEN


async def test_what_was_scheduled_again_meanwhile_stays(any_store: Store) -> None:
    await put(any_store, "w moved", -20)
    (due,) = await announcements.due(any_store, any_store.keys.tag("w"))
    await put(any_store, "w moved", -10)

    assert not await announcements.finish(any_store, due)
    (again,) = await announcements.due(any_store, any_store.keys.tag("w"))
    assert await announcements.finish(any_store, again)
    assert await announcements.finish(any_store, DueAnnouncement("w", "moved", 1, 0))
    assert await announcements.due(any_store, any_store.keys.tag("w")) == []


async def test_a_message_is_queued_once_for_each_planned_time(any_store: Store) -> None:
    first = await transactions(any_store).create(room())
    queued = [(await announcements.queue(any_store, first, [message(first)])).queued for _ in range(2)]
    moved = await transactions(any_store).edit(
        "w", lambda room: replace(room, scheduled_at=room.scheduled_at + timedelta(days=1), version=2)
    )
    queued.append((await announcements.queue(any_store, moved, [message(moved), message(moved, 2)])).queued)

    stored = await Outbox(any_store).load("w", "1:moved")
    assert queued == [1, 0, 2]
    assert stored is not None
    assert stored.delivery == message(moved)
    assert await delivery_counts(any_store) == {"queued": 2}


async def test_nothing_is_queued_that_rests_on_an_older_room(any_store: Store) -> None:
    first = await transactions(any_store).create(room())
    await transactions(any_store).edit("w", lambda room: replace(room, title="Another", version=2))

    assert (await announcements.queue(any_store, first, [message(first)])).is_stale
    assert await delivery_counts(any_store) == {}
