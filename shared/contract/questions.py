"""What reports can be asked: of which days. A question that can't be answered names its wrong parameter."""

from datetime import UTC, datetime, timedelta

SPAN = timedelta(days=7)
"""Where nobody says how long."""
LONGEST = timedelta(days=366)


class UnclearQuestion(ValueError):
    """A parameter of a report is wrong; the text says what is allowed."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


def span(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """`[since, until)`: seven days, up to now, where nothing else is said; raises UnclearQuestion."""
    end = now if until is None else _in_utc("to", until)
    try:
        first = end - SPAN if since is None else _in_utc("from", since)
    except OverflowError:
        raise _beyond("to") from None
    if first >= end:
        raise UnclearQuestion("from", f"must come before the end, {end.isoformat()}")
    if end - first > LONGEST:
        raise UnclearQuestion("from", f"may lie {LONGEST.days} days before the end at most; ask for less at a time")
    return first, end


def _in_utc(parameter: str, at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise _beyond(parameter) from None


def _beyond(parameter: str) -> UnclearQuestion:
    return UnclearQuestion(parameter, "is outside the years that can be told")
