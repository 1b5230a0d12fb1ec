"""Pages printed to a stream: the embedded default, and the last resort."""

import sys
from datetime import timedelta
from typing import TextIO

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.rendering import printable
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from shared.policy.document import Contact

_RULE = "-" * 72
_WHAT = {Kind.RESOLVE: "RESOLVED"}
"""What a page is headed with, where it isn't its kind."""


class Console:
    """Writes each page as a block of text."""

    name = "console"
    capabilities = Capabilities(
        is_keyed=False,
        concurrency=100,
        timeout=timedelta(seconds=5),
        per_account=100,
        per_second=1000.0,
        burst=1000.0,
    )

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def account(self, _contact: Contact) -> str:
        """There is one."""
        return self.name

    async def send(self, page: Page) -> Outcome:
        """Print it; a stream that is closed can be tried again."""
        stream = self._stream or sys.stdout
        what = _WHAT.get(page.kind, page.kind.upper())
        to = f"{page.recipient} ({page.person})" if page.person else page.recipient
        try:
            stream.write(f"{_RULE}\n{what} {page.id} to {to}\n{printable(page.text)}\n{_RULE}\n")
            stream.flush()
        except (OSError, ValueError) as error:
            return Outcome(result=Result.RETRYABLE, detail=f"the console can't be written to: {error}")
        return Outcome(result=Result.ACCEPTED)

    async def close(self) -> None:
        """Nothing to let go of."""
