"""Cursors of lists: the last row of a page, by time and id."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.escalation.store.reading import After
from shared.web import cursors

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LENGTH = 24


def write(at: datetime, row_id: UUID) -> str:
    """The cursor after this row."""
    microseconds = (at - _EPOCH) // _MICROSECOND
    return cursors.encode(microseconds.to_bytes(8, "big", signed=True) + row_id.bytes)


def read(cursor: str | None) -> After | None:
    """The row a cursor stands for; raises `Refused` (422) where it isn't one of ours."""
    if cursor is None:
        return None
    place = cursors.decode(cursor)
    if len(place) != _LENGTH:
        raise cursors.unknown()
    try:
        at = _EPOCH + int.from_bytes(place[:8], "big", signed=True) * _MICROSECOND
    except OverflowError:
        raise cursors.unknown() from None
    return After(at, UUID(bytes=place[8:]))
