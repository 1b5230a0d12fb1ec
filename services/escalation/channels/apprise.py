"""Copies to whatever Apprise can reach: for information only, never instead of a page.

Apprise waits in threads, by rules of each of its services. It gets a few of its own, that nothing else waits for: a service
that hangs holds copies up, and nobody's page. The URL of the service is the contact's secret.
"""

import asyncio
import importlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.rendering import cut, printable, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_SECONDS = 8.0
_LONGEST_TITLE = 250
_LONGEST_TEXT = 8000
_MISSING = "Apprise is not installed here: install `deskclock[apprise]`, or take the contact off the roster"
_UNREADABLE = "the secret {} is no URL that Apprise knows: see its list of services"

Notify = Callable[[str, str, str], Outcome]
"""Sends to a URL, with a title and a text; may take its time."""


class Apprise:
    """Tells Apprise's services."""

    name = "apprise"

    def __init__(self, secrets: Secrets, *, threads: int = 4, notify: Notify | None = None) -> None:
        self.capabilities = Capabilities(
            is_keyed=False,
            concurrency=threads,
            per_account=max(threads // 2, 1),
            timeout=timedelta(seconds=_SECONDS + 1),
            is_informational=True,
        )
        self._secrets = secrets
        self._free = threads
        self._notify = notify or _notify

    def account(self, contact: Contact) -> str:
        """By the reference of its URL."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Tell it once."""
        try:
            url = self._secrets.read(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        if self._free == 0:
            return Outcome(result=Result.RETRYABLE, detail="all of Apprise's threads wait for services that hang")
        answer = self._begin(url, cut(title(page), _LONGEST_TITLE), cut(printable(page.text), _LONGEST_TEXT))
        try:
            async with asyncio.timeout(_SECONDS):
                outcome = await asyncio.shield(answer)
        except TimeoutError:
            return Outcome(result=Result.UNKNOWN, detail="the service did not answer in time")
        return (
            outcome
            if outcome.detail != _UNREADABLE
            else Outcome(result=outcome.result, detail=_UNREADABLE.format(page.secret))
        )

    async def close(self) -> None:
        """Nothing waits for its threads: they end with the process."""

    def _begin(self, url: str, head: str, text: str) -> "asyncio.Future[Outcome]":
        """Start a thread; what it says, whenever that is."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._free -= 1

        def ended(outcome: Outcome) -> None:
            self._free += 1
            if not answer.done():
                answer.set_result(outcome)

        def work() -> None:
            try:
                outcome = self._notify(url, head, text)
            except Exception as error:  # noqa: BLE001 - whatever a service's code does, it is its own affair
                outcome = Outcome(result=Result.UNKNOWN, detail=f"Apprise failed: {type(error).__name__}")
            with suppress(RuntimeError):  # the loop is gone, and nobody asks
                loop.call_soon_threadsafe(ended, outcome)

        threading.Thread(target=work, name="apprise", daemon=True).start()
        return answer


def _notify(url: str, head: str, text: str) -> Outcome:
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        return Outcome(result=Result.REJECTED, detail=_MISSING)
    logging.getLogger("apprise").disabled = True  # it tells URLs, which are secrets
    service = apprise.Apprise()
    if not service.add(url):
        return Outcome(result=Result.REJECTED, detail=_UNREADABLE)
    if service.notify(body=text, title=head, body_format=apprise.NotifyFormat.TEXT):
        return Outcome(result=Result.ACCEPTED)
    return Outcome(result=Result.REJECTED, detail="the service did not take it, and Apprise does not say why")
