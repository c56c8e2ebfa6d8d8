"""A webinar that nobody stopped is stopped after so many hours, and never without an hour of warning."""

from datetime import datetime, timedelta

import pytest

from room_server.clock import utc_now
from room_server.core.room import Room, Status
from room_server.jobs.live_limit import LiveLimit
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.store import Store
from tests.support import room, transactions

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


async def on_air(store: Store, started_at: datetime, status: Status = Status.LIVE) -> None:
    """A webinar that was started then."""
    since = started_at if status is Status.LIVE else None
    await transactions(store).create(room(status=status, started_at=started_at, on_air_since=since))


async def stored(store: Store) -> Room:
    found = (await store.load("w")).room
    assert found is not None
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last call."""
    messages = [record.getMessage() for record in caplog.records if record.name == "room_server.jobs.live_limit"]
    caplog.clear()
    return messages


@pytest.mark.parametrize("status", [Status.LIVE, Status.PAUSED])
async def test_it_warns_an_hour_before_and_stops_on_time(
    any_store: Store, caplog: pytest.LogCaptureFixture, status: Status
) -> None:
    start = utc_now().replace(microsecond=0)
    await on_air(any_store, start, status)
    limit = LiveLimit(transactions(any_store), 12)

    await limit.check(start + 11 * HOUR - MINUTE)
    assert told(caplog) == []
    for minutes in (0, 1, 59):
        await limit.check(start + 11 * HOUR + minutes * MINUTE)
    (warning,) = told(caplog)
    assert f"stopped at {start + 12 * HOUR:%Y-%m-%d %H:%M} UTC (ROOM_SERVER_LIVE_HOURS)" in warning
    assert (await stored(any_store)).status is status

    await limit.check(start + 12 * HOUR)

    assert (await stored(any_store)).status is Status.FINISHED
    assert await EvaluationSchedule(any_store).pending("w") is not None
    assert told(caplog) == ["w was stopped: it had been live for ROOM_SERVER_LIVE_HOURS"]
    await limit.check(start + 13 * HOUR)
    assert told(caplog) == []


async def test_one_that_is_older_already_gets_its_hour_of_warning(
    any_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    start = utc_now()
    await on_air(any_store, start)
    limit = LiveLimit(transactions(any_store), 12)

    await limit.check(start + 30 * HOUR)
    await limit.check(start + 31 * HOUR - MINUTE)
    assert len(told(caplog)) == 1
    assert (await stored(any_store)).status is Status.LIVE

    await limit.check(start + 31 * HOUR)
    assert (await stored(any_store)).status is Status.FINISHED


async def test_a_worker_that_starts_anew_neither_repeats_the_warning_nor_delays_the_stop(
    any_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    start = utc_now()
    await on_air(any_store, start)
    for minutes in (0, 20, 40, 59):
        await LiveLimit(transactions(any_store), 12).check(start + 11 * HOUR + minutes * MINUTE)
    assert len(told(caplog)) == 1

    await LiveLimit(transactions(any_store), 12).check(start + 12 * HOUR)

    assert (await stored(any_store)).status is Status.FINISHED


async def test_another_limit_is_warned_of_anew(any_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    start = utc_now()
    await on_air(any_store, start)
    for hours in (12, 24):
        await LiveLimit(transactions(any_store), hours).check(start + (hours - 1) * HOUR)

    assert len(told(caplog)) == 2
    assert (await stored(any_store)).status is Status.LIVE


async def test_what_waits_or_is_over_is_left_alone(any_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    long_ago = utc_now()
    for status in (Status.DRAFT, Status.SCHEDULED, Status.FINISHED, Status.ARCHIVED):
        await transactions(any_store).create(room(status, status=status, started_at=long_ago))
    limit = LiveLimit(transactions(any_store), 1)

    for hours in (10, 20):
        await limit.check(long_ago + hours * HOUR)

    assert told(caplog) == []
    assert {(await any_store.load(status)).room.version for status in ("draft", "scheduled", "finished")} == {1}  # type: ignore[union-attr]


async def test_a_webinar_that_cannot_be_stopped_holds_up_no_other(
    any_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    start = utc_now()
    await on_air(any_store, start)
    await transactions(any_store).create(room("bad", status=Status.LIVE, started_at=start, on_air_since=start))
    await any_store.call("HSET", any_store.keys.room("bad"), "record", "{")
    limit = LiveLimit(transactions(any_store), 1)
    await limit.check(start)

    await limit.check(start + HOUR)

    assert (await stored(any_store)).status is Status.FINISHED
    assert "bad could not be stopped" in "\n".join(told(caplog))
