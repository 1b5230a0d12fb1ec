"""What becomes of the pages of an escalation that is over: one way for whoever ends it (escalation-rules R14).

Callers hold the escalation's row. A page is never silently moot: whoever got it hears that it is.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.ledger import QUERIES
from shared.postgres.pool import Connection


async def resolve(connection: Connection, escalation_ids: Sequence[UUID], now: datetime) -> None:
    """Cancel pages not yet begun, and queue one `resolve` for each address that was sent some, or may have been.

    Does nothing for escalations that are not resolved. A page that is being sent right now is left alone: call again when
    its outcome is stored. Calling twice queues nothing twice. A page that told of several is moot when the last of them is
    over.
    """
    groups = [row["id"] for row in await connection.fetch(QUERIES["lock_told_groups"], escalation_ids)]
    await connection.execute(QUERIES["resolve_pages"], escalation_ids, now)
    if groups:
        await connection.execute(QUERIES["resolve_groups"], groups, now)
