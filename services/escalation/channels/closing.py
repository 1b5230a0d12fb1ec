"""A `resolve` that is a request of its own for each page that it closes."""

import asyncio
from collections.abc import Awaitable, Callable

from services.escalation.channels import Closed, Page
from services.escalation.channels.rendering import closed
from services.escalation.domain.retry import Outcome, Result

_AT_ONCE = 4


async def close_each(page: Page, ask: Callable[[Closed], Awaitable[Outcome]]) -> Outcome:
    """Close all, a few at a time: accepted if all were, else the first that was not, so that all are tried again.

    Only for what may be asked twice. Nothing to close is accepted.
    """
    told = Outcome(result=Result.ACCEPTED, detail="there was nothing to close")
    pages = closed(page)
    for start in range(0, len(pages), _AT_ONCE):
        outcomes = await asyncio.gather(*(ask(one) for one in pages[start : start + _AT_ONCE]))
        for told in outcomes:
            if told.result is not Result.ACCEPTED:
                return told
    return told
