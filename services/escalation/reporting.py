"""Reports of paging, from the page ledger: how prompt it was."""

from datetime import datetime

from services.escalation.domain import promptness
from services.escalation.domain.promptness import Promptness
from services.escalation.store import reports
from shared.contract import questions
from shared.postgres import time as database_time
from shared.postgres.pool import Connection


async def paging(
    connection: Connection, tenant: str, since: datetime | None = None, until: datetime | None = None
) -> Promptness:
    """Pages stored in `[since, until)`, else in the last seven days, by the time that decides. Raises UnclearQuestion."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        first, end = questions.span(since, until, await database_time.now(connection))
        stages, methods = await reports.page_stages(connection, tenant, first, end)
        counted = await reports.page_counts(connection, tenant, first, end)
    return promptness.judge(first, end, counted, stages, methods)
