"""Cursors of lists: opaque to whoever gets them, the last row of a page to us."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.escalation.store.reading import After
from shared.contract.problems import FieldError
from shared.web import bodies

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LENGTH = 24


def write(at: datetime, row_id: UUID) -> str:
    """The cursor after this row."""
    microseconds = (at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(microseconds.to_bytes(8, "big", signed=True) + row_id.bytes).decode()


def read(cursor: str | None) -> After | None:
    """The row a cursor stands for; raises `Refused` (422) where it isn't one of ours."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        if len(raw) != _LENGTH:
            raise ValueError
        at = _EPOCH + int.from_bytes(raw[:8], "big", signed=True) * _MICROSECOND
        return After(at, UUID(bytes=raw[8:]))
    except (binascii.Error, ValueError, OverflowError):
        raise bodies.invalid(
            (FieldError(parameter="cursor", detail="is not one of ours: send back `next_cursor` as it was given"),)
        ) from None
