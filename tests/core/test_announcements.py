"""When registered leads are told what, as a table of before and after; and what must not be sent any more."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.announcements import (
    ANNOUNCEMENTS,
    JUST_NOW,
    REMINDERS,
    can_be_outdated,
    is_announced,
    is_outdated,
    reminders,
    rescheduled,
)
from room_server.core.delivery import Delivery
from room_server.core.messages import AFTER_THE_END, MESSAGE_NAMES, MOMENTS, DeliveryStatus, MessageKind, Moment
from room_server.core.room import Room
from tests.core.builders import NOW, entry, room

TOMORROW = NOW + timedelta(days=1, hours=1)


def planned(status: str = "scheduled", **fields: Any) -> Room:
    """A webinar tomorrow, with every reminder."""
    return room(status, **{"scheduled_at": TOMORROW, "remind": MOMENTS, **fields})


def message(kind: MessageKind, moment: Moment | None = None, planned_at: datetime | None = TOMORROW) -> Delivery:
    return Delivery(lead_id=1, kind=kind, status=DeliveryStatus.QUEUED, attended=False, chat_id=11, locale="ru",
                    moment=moment, planned_at=planned_at)  # fmt: skip


def test_reminders_count_from_the_planned_time_and_the_start_is_the_start_itself() -> None:
    started = planned("live", started_at=NOW)

    assert reminders(planned()) == {
        "reminder_24h": TOMORROW - timedelta(hours=24),
        "reminder_1h": TOMORROW - timedelta(hours=1),
        "reminder_15m": TOMORROW - timedelta(minutes=15),
    }
    assert reminders(started) == reminders(planned("paused", started_at=NOW)) == {"reminder_start": NOW}


@pytest.mark.parametrize(
    "none",
    [
        planned("draft"),
        planned(cancelled_at=NOW),
        planned("finished"),
        planned("archived"),
        planned(remind=()),
        planned("live", remind=("1h",)),
    ],
)
def test_nobody_is_reminded_of_what_is_no_plan(none: Room) -> None:
    assert reminders(none) == {}


def test_a_new_webinar_is_scheduled_and_what_has_passed_is_left_out() -> None:
    soon = planned(scheduled_at=NOW + timedelta(minutes=30))
    schedule = rescheduled(None, soon, None, NOW)

    assert schedule.add == (("reminder_15m", NOW + timedelta(minutes=15)),)


def test_a_moment_that_passes_while_it_is_stored_still_counts() -> None:
    at_once = rescheduled(planned(), planned("live", started_at=NOW), None, NOW + JUST_NOW)
    too_late = rescheduled(planned("live", remind=(), started_at=NOW), planned("live", started_at=NOW), None,
                           NOW + timedelta(minutes=1))  # fmt: skip

    assert at_once.add == (("reminder_start", NOW),)
    assert too_late.add == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (planned(), planned(title="Another", version=8)),
        (planned("live", started_at=NOW), planned("paused", started_at=NOW)),
        (planned("finished"), planned("archived")),
    ],
)
def test_what_changes_no_moment_leaves_the_schedule_as_it_is(before: Room, after: Room) -> None:
    schedule = rescheduled(before, after, None, NOW)

    assert (schedule.drop, schedule.add) == ((), ())


def test_a_new_time_moves_the_reminders_and_is_told() -> None:
    later = planned(scheduled_at=TOMORROW + timedelta(days=1))
    schedule = rescheduled(planned(), later, MessageKind.MOVED, NOW)

    assert dict(schedule.add) == {**reminders(later), "moved": NOW}
    assert set(schedule.drop) == {"reminder_start", "cancelled"}


def test_who_cancels_takes_the_reminders_back_and_tells_it() -> None:
    schedule = rescheduled(planned(), planned(cancelled_at=NOW), MessageKind.CANCELLED, NOW)
    silent = rescheduled(planned(), planned(cancelled_at=NOW), None, NOW)

    assert (schedule.add, set(schedule.drop)) == ((("cancelled", NOW),), {*REMINDERS, "moved"})
    assert (silent.add, set(silent.drop)) == ((), set(REMINDERS))


@pytest.mark.parametrize(
    ("sent", "now_is", "outdated"),
    [
        (message(MessageKind.REMINDER, "1h"), planned(), False),
        (message(MessageKind.REMINDER, "1h"), planned(scheduled_at=TOMORROW + timedelta(minutes=1)), True),
        (message(MessageKind.REMINDER, "1h"), planned(cancelled_at=NOW), True),
        (message(MessageKind.REMINDER, "1h"), planned("live", started_at=NOW), True),
        (message(MessageKind.REMINDER, "1h"), planned(remind=("24h",)), True),
        (message(MessageKind.REMINDER, "start"), planned("live", started_at=NOW), False),
        (message(MessageKind.REMINDER, "start"), planned("paused", started_at=NOW), False),
        (message(MessageKind.REMINDER, "start"), planned("finished"), True),
        (message(MessageKind.MOVED), planned(), False),
        (message(MessageKind.MOVED), planned(cancelled_at=NOW), True),
        (message(MessageKind.MOVED), planned("live", started_at=NOW), True),
        (message(MessageKind.MOVED), planned(scheduled_at=NOW), True),
        (message(MessageKind.CANCELLED), planned(cancelled_at=NOW), False),
        (message(MessageKind.CANCELLED), planned(), True),
        (message(MessageKind.FOLLOW_UP, planned_at=None), planned(cancelled_at=NOW), False),
        (message(MessageKind.ARRIVAL, planned_at=None), planned("live", started_at=NOW), False),
        (message(MessageKind.ARRIVAL, planned_at=None), planned("paused", started_at=NOW), False),
        (message(MessageKind.ARRIVAL, planned_at=None), planned("finished"), True),
        (message(MessageKind.ARRIVAL, planned_at=None), planned("archived"), True),
    ],
)
def test_what_is_not_so_any_more_is_not_sent(sent: Delivery, now_is: Room, outdated: bool) -> None:
    assert is_outdated(sent, now_is, entry(), NOW) is outdated
    assert can_be_outdated(sent) or not outdated


def test_no_reminder_comes_after_the_planned_time_but_that_of_the_start() -> None:
    late = TOMORROW + timedelta(seconds=1)

    assert is_outdated(message(MessageKind.REMINDER, "15m"), planned(), entry(), late)
    assert not is_outdated(message(MessageKind.REMINDER, "start"), planned("live", started_at=NOW), entry(), late)


def test_what_follows_the_classification_is_never_outdated() -> None:
    assert not any(can_be_outdated(message(kind, planned_at=None)) for kind in AFTER_THE_END)


def test_who_was_withdrawn_hears_no_more_of_the_plan() -> None:
    assert is_outdated(message(MessageKind.MOVED), planned(), None, NOW)
    assert not is_outdated(message(MessageKind.FOLLOW_UP, planned_at=None), planned(), None, NOW)


def test_every_announcement_is_a_message_with_a_name() -> None:
    assert set(ANNOUNCEMENTS) < set(MESSAGE_NAMES)
    assert [message(MessageKind.REMINDER, moment).name for moment in MOMENTS] == list(REMINDERS)
    assert not is_announced(planned(), "nonsense")
    assert replace(message(MessageKind.MOVED)).name == "moved"
