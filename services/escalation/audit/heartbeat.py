"""The heartbeat: a check outside hears from us as long as all is well, and alarms when it no longer does.

A dead process, a dead host, a frozen loop and a broken invariant all look the same from there: silence.
"""

from http import HTTPStatus
from typing import Protocol

from services.escalation.channels.answers import Answer
from services.escalation.channels.client import HttpClient
from shared.runtime.logs import Log

_ANSWER_SECONDS = 5.0

_log = Log(__name__)


class Beating(Protocol):
    """Tells whoever is outside that all is well."""

    async def beat(self) -> bool:
        """Whether it was heard."""


class Heartbeat:
    """Asks for an address that only we know; never shown, for whoever knows it can keep the check silent."""

    def __init__(self, http: HttpClient, url: str) -> None:
        """An empty `url`: there is no check outside, and the metric alone tells."""
        self._http = http
        self._url = url
        self._failed = False

    async def beat(self) -> bool:
        """GET it once, without following redirects; says so once where that fails, and once when it works again."""
        if not self._url:
            return True
        answer = await self._http.get(self._url, {}, within=_ANSWER_SECONDS)
        if isinstance(answer, Answer):
            is_heard = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
            detail = f"HTTP {answer.status}"
        else:
            is_heard, detail = False, answer.detail
        if is_heard and self._failed:
            _log.info("heartbeat_heard", "The outside check hears the heartbeat again")
        elif not is_heard and not self._failed:
            _log.warning(
                "heartbeat_unheard",
                f"The outside check did not take the heartbeat: {detail}; look at DESKCLOCK_HEARTBEAT_URL, or it will alarm",
            )
        self._failed = not is_heard
        return is_heard
