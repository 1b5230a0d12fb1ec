"""What a provider's HTTP answer means for a page: its class by status, and how long it asks to be left alone (R35, R37)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec
from msgspec import Struct

from services.escalation.domain.retry import Outcome, Result
from shared import timesource

_LONGEST_RETRY_AFTER = timedelta(hours=1)
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_PERHAPS_DONE = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_LONGEST_SAID = 200
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Answer(Struct, frozen=True, kw_only=True):
    """An HTTP response, its body cut at the client's bound."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    is_whole: bool = True
    """Whether the body was read to its end, in time and within the bound."""

    def json(self) -> dict[str, object]:
        """The body as a JSON object; empty where it is something else."""
        try:
            read = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    def text(self, *names: str) -> str:
        """The first of these members of a JSON body that is a text or a number, else an empty text."""
        read = self.json()
        for name in names:
            value = read.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
        return ""


def by_status(answer: Answer, *, is_keyed: bool, said: str = "", provider_id: str | None = None) -> Outcome:
    """The class of a status (R35); `said` is what the provider says of it, already fit to be shown.

    A gateway that says 502 or 504 may have passed the request on: unknown, where the provider would not notice it twice.
    """
    status = answer.status
    detail = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(result=Result.ACCEPTED, detail=detail, provider_id=provider_id)
    if status in _TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        result = Result.UNKNOWN if status in _PERHAPS_DONE and not is_keyed else Result.RETRYABLE
        return Outcome(result=result, detail=detail, retry_after=retry_after(answer.headers))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        detail = f"HTTP {status}: redirects are not followed; give the final address"
    return Outcome(result=Result.REJECTED, detail=detail)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """What `Retry-After` asks for, seconds or a date, at most an hour; None where it can't be read (R37)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), _LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    wait = at - datetime.fromtimestamp(timesource.unix_time(), UTC)
    return min(max(wait, timedelta()), _LONGEST_RETRY_AFTER)


def known_as(text: str, *secrets: str) -> str | None:
    """What a provider calls a page, where it looks like a name and holds no secret."""
    is_name = _NAME.fullmatch(text) is not None and not any(secret and secret in text for secret in secrets)
    return text if is_name else None


def shown(text: str, *secrets: str) -> str:
    """A provider's words in one short line, without the secrets that it may repeat."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST_SAID else f"{line[: _LONGEST_SAID - 1]}\N{HORIZONTAL ELLIPSIS}"
