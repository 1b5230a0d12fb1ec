"""Opaque cursors: where the next page begins, in a form that nobody is tempted to build by hand."""

import base64
import binascii

from shared.contract.problems import FieldError, Refused
from shared.web import bodies


def encode(place: bytes) -> str:
    """The cursor for a place."""
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def decode(cursor: str) -> bytes:
    """The place of a cursor; raises `Refused` where it can't be one of ours."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise unknown() from None


def unknown() -> Refused:
    """The refusal of a cursor that is not ours."""
    return bodies.invalid(
        (FieldError(parameter="cursor", detail="is not one of ours: send back `next_cursor` as it was given"),)
    )
