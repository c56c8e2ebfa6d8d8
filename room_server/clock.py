"""The one place that reads the time of day; the core takes it as an argument."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, in UTC, to the millisecond, as it is shown and stored."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
