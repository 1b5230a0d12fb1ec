"""Minutes of a simulated day as the instants that production code reckons with."""

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 6, 1, 8, tzinfo=UTC)


def instant(minute: float) -> datetime:
    """When that minute is."""
    return _START + timedelta(minutes=minute)
