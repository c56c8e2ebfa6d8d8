"""The one place that asks for the time of day; everything below is told."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The server's clock, UTC, to the millisecond: as fine as anything shown or stored needs."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
