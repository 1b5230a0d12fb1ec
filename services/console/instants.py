"""Instants on the command line."""

from datetime import UTC, datetime

import click


class Instant(click.ParamType[datetime]):
    """ISO 8601 with an offset, to the minute or finer: a time without one means another instant in each zone."""

    name = "instant"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Aware, in UTC; raises click.BadParameter."""
        if isinstance(value, datetime):
            return value
        text, at = value.strip(), None
        try:
            written = datetime.fromisoformat(text)
            if written.tzinfo is not None and len(text) > _DATE:
                at = written.astimezone(UTC)
        except (ValueError, OverflowError):
            at = None
        if at is None:
            self.fail(f"{value!r} is not an instant with an offset, as in 2026-06-05T10:00:00+02:00", param, ctx)
        return at


INSTANT = Instant()
_DATE = len("2026-06-05")
