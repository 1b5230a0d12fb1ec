"""Identifiers whose order is their time: UUID version 7 (RFC 9562), which indexes insert nearly twice as fast as random ones."""

import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RANDOM_A = (1 << 12) - 1
_RANDOM_B = (1 << 62) - 1


def uuid7(at: datetime) -> UUID:
    """A new id for something that happens at `at`."""
    milliseconds = (at - _EPOCH) // _MILLISECOND
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62 & _RANDOM_A) << 64 | 2 << 62 | random & _RANDOM_B)


def first_at(at: datetime) -> UUID:
    """Less than or equal to the id of everything that happens at `at` or later."""
    return UUID(int=max((at - _EPOCH) // _MILLISECOND, 0) << 80)
