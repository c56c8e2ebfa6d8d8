"""The time of day."""

from datetime import UTC, datetime, timedelta

from room_server.clock import utc_now


def test_now_is_utc_and_as_fine_as_a_millisecond() -> None:
    now = utc_now()

    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    assert timedelta() <= datetime.now(UTC) - now < timedelta(seconds=1)
