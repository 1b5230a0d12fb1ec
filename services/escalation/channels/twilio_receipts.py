"""What Twilio says of a message or call that it took: whether it is Twilio who says it, and what it means.

A receipt is signed with the account's auth token over the address that was called and the form's fields in their order.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from urllib.parse import urlsplit

from msgspec import Struct

from services.escalation.channels.answers import shown

_PORTS = {"https": 443, "http": 80}
_SID = re.compile("[A-Za-z0-9]{1,64}")


class News(Enum):
    """What a receipt means for a page."""

    ARRIVED = auto()
    """A phone has the message, or was answered."""
    LOST = auto()
    """It won't arrive."""
    RINGS = auto()
    HAS_IT = auto()
    """Twilio has it, and works on it."""


class Receipt(Struct, frozen=True, kw_only=True):
    """One of them."""

    sid: str
    news: News
    detail: str


_NEWS = {
    "delivered": News.ARRIVED,
    "read": News.ARRIVED,
    "in-progress": News.ARRIVED,
    "completed": News.ARRIVED,
    "undelivered": News.LOST,
    "failed": News.LOST,
    "canceled": News.LOST,
    "busy": News.LOST,
    "no-answer": News.LOST,
    "ringing": News.RINGS,
}


def is_signed(signature: str, url: str, form: Sequence[tuple[str, str]], tokens: Iterable[str]) -> bool:
    """Whether one of these tokens signed it; takes the same time whatever is wrong.

    Twilio signs an address with its port or without, by its own rules: both are tried.
    """
    given = signature.encode("utf-8", "replace")
    fields = b"".join(f"{name}{value}".encode() for name, value in sorted(set(form)))
    is_one = False
    for token in tokens:
        for address in _spellings(url):
            made = base64.b64encode(hmac.new(token.encode(), address.encode() + fields, hashlib.sha1).digest())
            is_one |= hmac.compare_digest(made, given)
    return is_one


def read(form: Sequence[tuple[str, str]]) -> Receipt:
    """What a signed form says; of several fields of a name the first counts."""
    fields = dict(reversed(form))
    status = fields.get("MessageStatus") or fields.get("CallStatus") or ""
    named = _SID.match(fields.get("MessageSid") or fields.get("CallSid") or "")
    sid = named.group() if named else ""
    why = " ".join(fields[name] for name in ("ErrorCode", "ErrorMessage", "SipResponseCode") if fields.get(name))
    detail = shown(f"Twilio says {status or 'nothing'}{f': {why}' if why else ''}, {sid}")
    return Receipt(sid=sid, news=_NEWS.get(status, News.HAS_IT), detail=detail)


def _spellings(url: str) -> tuple[str, str]:
    """The address as it is, and with its port left out or the usual one put in."""
    parts = urlsplit(url)
    host = parts.netloc
    other = host.rpartition(":")[0] if parts.port is not None else f"{host}:{_PORTS.get(parts.scheme, 443)}"
    return url, parts._replace(netloc=other).geturl()
